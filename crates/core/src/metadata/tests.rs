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

#[test]
fn what_cannot_be_called_so_is_not_there() {
    let mut metadata = known();
    let mut answer = told(ErrorCode::None, Some((2, 5)));
    let long = "x".repeat(30_000);
    answer.brokers[0].host = long.clone();
    answer.brokers[1].rack = Some(long.clone());
    answer.topics.push(MetadataResponseTopic { name: Some(long), ..Default::default() });
    metadata.handle_response(answer, now());
    let node = |id| metadata.nodes().get(&NodeId(id));
    assert!(node(1).is_none() && node(2).unwrap().rack.is_none());
    assert_eq!(metadata.topics().keys().collect::<Vec<_>>(), ["t"]);
}

#[test]
fn brokers_that_are_named_beside_metadata_are_kept_up_to_a_bound_until_the_next_answer() {
    let mut metadata = known();
    metadata.handle_response(told(ErrorCode::None, Some((2, 5))), now());
    (10..5000).for_each(|id| metadata.learn_endpoint(id, "host", 9092));
    assert_eq!(metadata.nodes().len(), 2 + MOST_LEARNT);
    metadata.learn_endpoint(2, "moved", 9092);
    assert_eq!(metadata.address(NodeId(2)).unwrap().host, "moved");
    metadata.handle_response(told(ErrorCode::None, Some((2, 5))), now());
    assert_eq!(metadata.nodes().len(), 2);
    metadata.learn_endpoint(10, "host", 9092);
    assert!(metadata.address(NodeId(10)).is_some());
}

/// Brokers whose metadata lag behind for long are met in any cluster.
#[test]
fn a_leader_that_was_told_beside_metadata_and_is_a_broker_stands_however_often_an_older_one_is_told() {
    let mut metadata = known();
    metadata.handle_response(told(ErrorCode::None, Some((2, 5))), now());
    assert!(metadata.learn_leader(&TopicPartition::new("t", 0), NodeId(1), 6));
    for _ in 0..20 {
        metadata.handle_response(told(ErrorCode::None, Some((2, 5))), now());
    }
    assert_eq!(leader(&metadata), Some((Some(NodeId(1)), 6)));
}

#[test]
fn a_leader_that_was_told_beside_metadata_and_that_no_answer_confirms_is_given_up() {
    let mut metadata = known();
    metadata.handle_response(told(ErrorCode::None, Some((2, 5))), now());
    metadata.learn_endpoint(66, "nowhere", 9092);
    assert!(metadata.learn_leader(&TopicPartition::new("t", 0), NodeId(66), i32::MAX));
    for _ in 0..MOST_CONTRADICTIONS {
        assert_eq!(leader(&metadata).unwrap().1, i32::MAX, "a broker may lag behind");
        metadata.handle_response(told(ErrorCode::None, Some((2, 5))), now());
    }
    metadata.handle_response(told(ErrorCode::None, Some((2, 5))), now());
    assert_eq!(leader(&metadata), Some((Some(NodeId(2)), 5)));
}
