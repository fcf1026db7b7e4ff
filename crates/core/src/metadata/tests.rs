use std::time::Instant;

use ottla_protocol::{
    Timestamp,
    messages::{MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic},
};

use super::*;

fn now() -> Now {
    Now { mono: Instant::now(), wall: Timestamp(0) }
}

fn known() -> Metadata {
    Metadata::new(MetadataConfig::default(), Vec::new(), 7)
}

/// An answer of broker 1, which lists itself and broker 2, about a topic of one partition.
fn told(error_code: ErrorCode, led: Option<(i32, i32)>) -> MetadataResponse {
    let broker = |node_id| MetadataResponseBroker { node_id, port: 9092, ..Default::default() };
    let partition = |(leader_id, leader_epoch)| MetadataResponsePartition {
        leader_id,
        leader_epoch,
        ..Default::default()
    };
    let topic = MetadataResponseTopic {
        error_code,
        name: Some("t".to_owned()),
        topic_id: TopicId([1; 16]),
        partitions: led.into_iter().map(partition).collect(),
        ..Default::default()
    };
    MetadataResponse { brokers: vec![broker(1), broker(2)], topics: vec![topic], ..Default::default() }
}

fn leader(metadata: &Metadata) -> Option<(Option<NodeId>, i32)> {
    metadata.partition(&TopicPartition::new("t", 0)).map(|known| (known.leader, known.leader_epoch))
}

#[test]
fn a_broker_that_lags_behind_is_not_believed_about_an_older_leader() {
    let mut metadata = known();
    metadata.handle_response(told(ErrorCode::None, Some((2, 5))), now());
    metadata.handle_response(told(ErrorCode::None, Some((1, 4))), now());
    assert_eq!(leader(&metadata), Some((Some(NodeId(2)), 5)));
}

#[test]
fn an_error_that_may_pass_forgets_no_leader_epoch() {
    let mut metadata = known();
    metadata.handle_response(told(ErrorCode::None, Some((2, 5))), now());
    metadata.handle_response(told(ErrorCode::LeaderNotAvailable, None), now());
    assert_eq!(leader(&metadata), None, "there is none to be asked");
    metadata.handle_response(told(ErrorCode::None, Some((1, 4))), now());
    assert_eq!(leader(&metadata), Some((Some(NodeId(2)), 5)), "this is from before");
    metadata.handle_response(told(ErrorCode::None, Some((1, 6))), now());
    assert_eq!(leader(&metadata), Some((Some(NodeId(1)), 6)));
}

#[test]
fn a_topic_that_is_gone_and_made_anew_begins_anew() {
    let mut metadata = known();
    metadata.handle_response(told(ErrorCode::None, Some((2, 5))), now());
    metadata.handle_response(told(ErrorCode::UnknownTopicOrPartition, None), now());
    metadata.handle_response(told(ErrorCode::None, Some((1, 0))), now());
    assert_eq!(leader(&metadata), Some((Some(NodeId(1)), 0)));
}

#[test]
fn a_leader_that_is_not_among_the_brokers_is_none() {
    let mut metadata = known();
    metadata.handle_response(told(ErrorCode::None, Some((3, 5))), now());
    assert_eq!(leader(&metadata), Some((None, 5)));
}

#[test]
fn a_topic_that_is_not_there_is_told_to_the_log_once_and_once_when_it_is() {
    use crate::log::tests::told_while;

    let mut metadata = known();
    let mut answers = |errors: &[ErrorCode]| {
        let ((), log) = told_while(|| {
            for error in errors {
                metadata.handle_response(told(*error, error.is_ok().then_some((1, 0))), now());
            }
        });
        log
    };
    let missing = ErrorCode::UnknownTopicOrPartition;
    assert!(answers(&[missing]).is_empty(), "a broker may be about to create it");
    assert_eq!(
        answers(&[missing; 3]),
        ["WARN topic missing topic=\"t\" error=UNKNOWN_TOPIC_OR_PARTITION (3)"]
    );
    assert_eq!(answers(&[ErrorCode::None; 2]), ["INFO topic found topic=\"t\""]);
    assert!(answers(&[missing, ErrorCode::None, missing, ErrorCode::None]).is_empty());
}
