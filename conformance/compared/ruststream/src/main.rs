//! ruststream-rdkafka with one handler, as it is by default but for what the environment says. MODE=tracked commits what is
//! acknowledged. FAILING is what becomes of a failure: `panic`, `drop`, `later` (a copy after 500 ms), else a retry. WORKERS is `lanes`
//! (8 by ORDER=KEY, or by partition) or `pool` (8). DEAD=1: three attempts, then dead letters in TOPIC.dlq.

use std::time::Duration;

use ruststream_rdkafka::context::keys::{Key, Offset};
use ruststream_rdkafka::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, Serialize, Outgoing)]
#[outgoing(name = "work")]
struct Work(u64, String, u64);

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn or(name: &str, default: &str) -> String {
    Some(env(name)).filter(|value| !value.is_empty()).unwrap_or(default.to_owned())
}

fn commit() -> Commit {
    if env("MODE") == "tracked" { Commit::Tracked } else { Commit::Auto }
}

fn lane_key() -> LaneKey {
    if env("ORDER") == "KEY" { LaneKey::RecordKey } else { LaneKey::default() }
}

async fn work(work: &Work, partition: i32, offset: i64, key: Option<bytes::Bytes>) -> HandlerOutcome {
    let key = key.map(|key| String::from_utf8_lossy(&key).into_owned()).unwrap_or_default();
    println!("begin {partition} {offset} {key}");
    tokio::time::sleep(Duration::from_millis(work.2)).await;
    let fails = work.1 == "fail";
    println!("{} {partition} {offset} {key}", if fails { "fail" } else { "end" });
    match (fails, env("FAILING").as_str()) {
        (false, _) => HandlerOutcome::ack(),
        (true, "panic") => panic!("refused"),
        (true, "drop") => HandlerOutcome::drop(),
        (true, "later") => HandlerOutcome::retry_after(Duration::from_millis(500)),
        (true, _) => HandlerOutcome::retry(),
    }
}

#[subscriber(
    KafkaTopic::new(env("TOPIC"))
        .group(env("GROUP"))
        .start(StartOffset::Earliest)
        .commit(commit())
        .lane_key(lane_key())
        .config("session.timeout.ms", "6000")
        .config("max.poll.interval.ms", or("PATIENCE", "300000"))
)]
async fn one(it: &Work, Ctx(partition): Ctx<Partition>, Ctx(offset): Ctx<Offset>, Ctx(key): Ctx<Key>) -> HandlerOutcome {
    work(it, partition, offset, key).await
}

#[subscriber(
    KafkaTopic::new(env("TOPIC"))
        .group(env("GROUP"))
        .start(StartOffset::Earliest)
        .commit(commit())
        .lane_key(lane_key())
        .config("session.timeout.ms", "6000")
        .config("max.poll.interval.ms", or("PATIENCE", "300000")),
    workers(8, by_key)
)]
async fn lanes(it: &Work, Ctx(partition): Ctx<Partition>, Ctx(offset): Ctx<Offset>, Ctx(key): Ctx<Key>) -> HandlerOutcome {
    work(it, partition, offset, key).await
}

#[subscriber(
    KafkaTopic::new(env("TOPIC"))
        .group(env("GROUP"))
        .start(StartOffset::Earliest)
        .commit(commit())
        .lane_key(lane_key())
        .config("session.timeout.ms", "6000")
        .config("max.poll.interval.ms", or("PATIENCE", "300000")),
    workers(8)
)]
async fn pool(it: &Work, Ctx(partition): Ctx<Partition>, Ctx(offset): Ctx<Offset>, Ctx(key): Ctx<Key>) -> HandlerOutcome {
    work(it, partition, offset, key).await
}

#[ruststream::app]
fn app() -> impl App {
    RustStream::new(AppInfo::new("trial", "0.0.0")).with_broker(KafkaBroker::new([env("BROKERS")]), |b| {
        match env("WORKERS").as_str() {
            "lanes" => { b.include(lanes); }
            "pool" => { b.include(pool); }
            _ if env("DEAD").is_empty() => { b.include(one); }
            _ => {
                b.include(one).max_attempts(nonzero!(3u32)).dead_letter(format!("{}.dlq", env("TOPIC")));
            }
        };
    })
}
