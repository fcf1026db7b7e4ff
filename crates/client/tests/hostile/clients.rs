//! Clients that give up on an answer soon, and what scripts ask of them.

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

use ottla::{
    Admin, AdminBuilder, Cause, Consumer, ConsumerBuilder, OffsetReset, Producer, ProducerBuilder,
    ProducerRecord,
};
use ottla_protocol::{
    codec::RecordData,
    records::{BatchBuilder, Compression, Compressor, Header, set_base_offset},
};

use crate::broker::Hostile;

/// What anything may take that is to come about.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// How long an answer is waited for.
pub(crate) const ANSWER: Duration = Duration::from_secs(1);
const SHORT: Duration = Duration::from_millis(20);
const PAUSE: Duration = Duration::from_millis(100);

pub(crate) fn reader(broker: &Hostile) -> ConsumerBuilder {
    Consumer::builder()
        .bootstrap_servers([broker.bootstrap()])
        .auto_offset_reset(OffsetReset::Earliest)
        .wait_for_broker(false)
        .request_timeout(ANSWER)
        .connection_setup_timeout(ANSWER)
        .fetch_max_wait(PAUSE)
        .default_api_timeout(PATIENCE)
        .retry_backoff(SHORT)
        .retry_backoff_max(PAUSE)
        .reconnect_backoff(SHORT)
        .reconnect_backoff_max(PAUSE)
}

/// A consumer that reads partition 0 of `t`, by hand.
pub(crate) async fn assigned(broker: &Hostile) -> Consumer {
    let mut consumer = reader(broker).build().await.unwrap();
    consumer.assign([("t", 0)]).unwrap();
    consumer
}

pub(crate) fn writer(broker: &Hostile) -> ProducerBuilder {
    Producer::builder()
        .bootstrap_servers([broker.bootstrap()])
        .wait_for_broker(false)
        .request_timeout(ANSWER)
        .delivery_timeout(3 * ANSWER)
        .max_block(3 * ANSWER)
        .connection_setup_timeout(ANSWER)
        .linger(Duration::ZERO)
        .retry_backoff(SHORT)
        .retry_backoff_max(PAUSE)
        .reconnect_backoff(SHORT)
        .reconnect_backoff_max(PAUSE)
}

pub(crate) fn asker(broker: &Hostile) -> AdminBuilder {
    Admin::builder()
        .bootstrap_servers([broker.bootstrap()])
        .wait_for_broker(false)
        .request_timeout(ANSWER)
        .default_api_timeout(3 * ANSWER)
        .connection_setup_timeout(ANSWER)
        .retry_backoff(SHORT)
        .retry_backoff_max(PAUSE)
        .reconnect_backoff(SHORT)
        .reconnect_backoff_max(PAUSE)
}

pub(crate) fn record() -> ProducerRecord<'static> {
    ProducerRecord::to("t").partition(0).value("value")
}

/// A batch of records at these offsets.
pub(crate) fn batch(offsets: std::ops::Range<i64>) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Compression::None, 1 << 20);
    for _ in offsets.clone() {
        let headers: [Header<'_>; 0] = [];
        builder.append(1, None, Some(b"value"), headers).expect("room");
    }
    let mut batch = builder.finish(&mut Compressor::new());
    set_base_offset(&mut batch, offsets.start).unwrap();
    batch
}

pub(crate) fn records(bytes: Vec<u8>) -> Option<RecordData> {
    Some(RecordData::Owned(bytes))
}

/// Has so many records in partition 0.
pub(crate) fn filled(broker: &Hostile, records: i64) {
    let now = broker.server.now();
    broker.server.with_cluster(|cluster| cluster.append("t", 0, &batch(0..records), now)).unwrap();
}

/// Reads so many records of partition 0, from this offset on, without a gap.
pub(crate) async fn reads(consumer: &mut Consumer, offsets: std::ops::Range<i64>) {
    for offset in offsets {
        let received = tokio::time::timeout(PATIENCE, consumer.recv()).await;
        let received = received.unwrap_or_else(|_| panic!("no record {offset}: {}", consumer.explain()));
        assert_eq!(received.unwrap().unwrap().offset(), offset);
    }
}

/// Polls until `explain()`, or an error, says this.
pub(crate) async fn tells(consumer: &mut Consumer, what: &str) {
    let begin = Instant::now();
    let mut said = String::new();
    while begin.elapsed() < PATIENCE {
        said = consumer.explain().to_string();
        if said.contains(what) {
            return;
        }
        if let Err(error) = consumer.poll(SHORT).await {
            said = format!("{error:#}");
            if said.contains(what) {
                return;
            }
        }
    }
    panic!("`{what}` is never said; at last: {said}");
}

/// Asks again and again until the obstacles that a client tells of say this.
pub(crate) async fn obstructed(explain: impl Fn() -> Vec<Cause>, what: &str) {
    let begin = Instant::now();
    let mut said = String::new();
    while begin.elapsed() < PATIENCE {
        said = explain().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        if said.contains(what) {
            return;
        }
        tokio::time::sleep(SHORT).await;
    }
    panic!("`{what}` is never said; at last: {said}");
}

/// What an error says, with what is behind it. It names no more than anybody reads.
pub(crate) fn said<T, E: Display>(result: Result<T, E>) -> String {
    let Err(error) = result else { panic!("no error") };
    let said = format!("{error:#}");
    assert!(said.len() < 4000, "{} bytes", said.len());
    said
}

/// A member is closed, whatever the broker does.
pub(crate) async fn closes(consumer: Consumer) {
    let closed = tokio::time::timeout(PATIENCE, consumer.close_within(Duration::from_secs(2))).await;
    // Not all of it may come about before a hostile broker.
    _ = closed.expect("close returns");
}
