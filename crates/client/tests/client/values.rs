//! Values that are shown or kept, as serde writes and reads them (the feature `serde`).

use ottla::{
    Cause, CommittedOffset, Consumer, DetachedRecord, ErrorCode, Event, GroupReason, LaneFailure, NodeId,
    Reason, Timestamp, TopicPartition,
};
use ottla_broker::{Config, Server};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// It is written so, and read again as it was.
fn is<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T, expected: Value) {
    let written = serde_json::to_value(value).unwrap();
    assert_eq!(written, expected);
    assert_eq!(serde_json::from_value::<T>(written).unwrap(), *value);
}

fn written(value: impl Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

#[test]
fn what_may_be_kept_is_read_as_it_was_written() {
    is(&TopicPartition::new("orders", 3), json!({"topic": "orders", "partition": 3}));
    is(&Timestamp(1_700_000_000_000), json!(1_700_000_000_000_i64));
    is(&NodeId(2), json!(2));
    let mut record = DetachedRecord::new(("orders", 3), 7);
    record.timestamp = Some(Timestamp(5));
    record.value = Some(b"v".to_vec());
    record.headers = vec![(b"h".to_vec(), None)];
    let expected = json!({
        "topic_partition": {"topic": "orders", "partition": 3},
        "offset": 7,
        "leader_epoch": null,
        "timestamp": 5,
        "timestamp_type": "create_time",
        "key": null,
        "value": [118],
        "headers": [[[104], null]],
    });
    is(&record, expected);
}

#[test]
fn a_committed_offset_needs_no_metadata_to_be_read_but_its_offset() {
    let committed: CommittedOffset = serde_json::from_value(json!({"offset": 5})).unwrap();
    assert_eq!(committed, CommittedOffset::from(5));
    assert!(serde_json::from_value::<CommittedOffset>(json!({"metadata": "m"})).is_err());
    let written = written(committed);
    assert_eq!((&written["offset"], &written["metadata"]), (&json!(5), &json!("")));
}

#[test]
fn reasons_bear_their_names_and_errors_kafkas() {
    assert_eq!(written(Reason::Paused), json!("paused"));
    let unknown = Reason::TopicUnknown(ErrorCode::UnknownTopicOrPartition);
    assert_eq!(written(unknown), json!({"topic_unknown": "UNKNOWN_TOPIC_OR_PARTITION"}));
    let failed = Reason::Failed(LaneFailure::OutOfRange { offset: 9, log_start: 12 });
    assert_eq!(written(failed), json!({"failed": {"out_of_range": {"offset": 9, "log_start": 12}}}));
    assert_eq!(written(GroupReason::Member { partitions: 2 }), json!({"member": {"partitions": 2}}));
    let refused = Cause::Broker { address: None, error: ErrorCode::Unlisted(999) };
    assert_eq!(written(refused), json!({"broker": {"address": null, "error": "UNLISTED (999)"}}));
}

#[test]
fn events_bear_their_names_and_partitions() {
    let revoked = Event::Revoked(vec![TopicPartition::new("orders", 3)]);
    assert_eq!(written(revoked), json!({"revoked": [{"topic": "orders", "partition": 3}]}));
}

#[tokio::test]
async fn an_explanation_can_be_written() {
    let server = Server::start_on_thread(Config::default(), ([127, 0, 0, 1], 0)).unwrap();
    let mut consumer = Consumer::builder().bootstrap_servers([server.bootstrap()]).build().await.unwrap();
    consumer.assign([("missing", 0)]).unwrap();
    let written = written(consumer.explain());
    assert_eq!(written["partitions"][0][0], json!({"topic": "missing", "partition": 0}));
    assert_eq!(written["group"], Value::Null);
}
