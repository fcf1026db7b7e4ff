#!/usr/bin/env bash
# ruststream-rdkafka 0.7.1 with ruststream 0.7.7 (librdkafka 2.12.1), Kafka 4.4.0; records of kafkajs 2.2.4
#
# With one worker a record that is answered by `HandlerOutcome::retry()` comes again before anything behind it. With
# `workers(8, by_key)` and `LaneKey::RecordKey` it does not: the lane goes on with the later records of the same key, and the one that
# failed comes after them, so that the last value of a key can be overwritten by an older one.
#
# It needs Rust 1.95 and a C compiler beside what all here need, and node.
#
# Seen of six records of one key, of which the first fails once:
SEEN='later records of its key were handled before it'

. "$(dirname "$0")/kafka.sh"
start_kafka
cd "$dir"
npm install --silent kafkajs@2.2.4 >/dev/null
cat >write.mjs <<'EOF'
import kafkajs from "kafkajs";

const [, , broker, topic] = process.argv;
const kafka = new kafkajs.Kafka({ brokers: [broker], logLevel: kafkajs.logLevel.NOTHING });
const admin = kafka.admin();
await admin.connect();
await admin.createTopics({ topics: [{ topic, numPartitions: 1 }], waitForLeaders: false });
while (!(await admin.fetchTopicOffsets(topic).catch(() => null))) {
  await new Promise((resolve) => setTimeout(resolve, 200));
}
const producer = kafka.producer();
await producer.connect();
await producer.send({ topic, messages: [...Array(6).keys()].map((n) => ({ key: "key", value: `${n}` })) });
process.exit(0);
EOF
mkdir src
cat >Cargo.toml <<'EOF'
[package]
name = "trial"
version = "0.0.0"
edition = "2024"

[dependencies]
ruststream = { version = "=0.7.7", features = ["macros", "json", "logging"] }
ruststream-rdkafka = "=0.7.1"
serde = { version = "1", features = ["derive"] }
bytes = "1"
tokio = { version = "1", features = ["full"] }
tracing = "0.1"

[workspace]
EOF
cat >src/main.rs <<'EOF'
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ruststream_rdkafka::prelude::*;
use serde::{Deserialize, Serialize};

static FAILED: AtomicBool = AtomicBool::new(false);

#[derive(Debug, Deserialize, Serialize, Outgoing)]
#[outgoing(name = "work")]
struct Number(u64);

fn env(name: &str) -> String {
    std::env::var(name).unwrap()
}

#[subscriber(
    KafkaTopic::new(env("TOPIC"))
        .group(env("TOPIC"))
        .start(StartOffset::Earliest)
        .commit(Commit::Tracked)
        .lane_key(LaneKey::RecordKey),
    workers(8, by_key)
)]
async fn handle(number: &Number) -> HandlerOutcome {
    tokio::time::sleep(Duration::from_millis(100)).await;
    if number.0 == 0 && !FAILED.swap(true, Ordering::SeqCst) {
        println!("failed 0");
        return HandlerOutcome::retry();
    }
    println!("handled {}", number.0);
    HandlerOutcome::ack()
}

#[ruststream::app]
fn app() -> impl App {
    RustStream::new(AppInfo::new("trial", "0.0.0")).with_broker(KafkaBroker::new([env("BROKERS")]), |b| {
        b.include(handle);
    })
}
EOF
cargo build --quiet
topic=overtaken-$$
node write.mjs "$brokers" "$topic"
: >log.seen
BROKERS=$brokers TOPIC=$topic "${CARGO_TARGET_DIR:-target}/debug/trial" run >>log.seen 2>log &
until grep -q "handled 0" log.seen; do
    kill -0 $! || differs "it ended: $(tail -n 3 log)"
    sleep 0.5
done
paste -sd, log.seen
seen=$(awk '/handled/ { if ($2 == 0) exit; before++ } END { print (before ? "later records of its key were" : "nothing was"), "handled before it" }' log.seen)
echo "$seen"
[[ $seen == "$SEEN" ]] || differs "not as stated"
