#!/usr/bin/env bash
# ruststream-rdkafka 0.7.1 with ruststream 0.7.7 (librdkafka 2.12.1), Kafka 4.4.0; records of kafkajs 2.2.4
#
# `HandlerOutcome::retry_after` writes a copy of the record to its own topic. The copy has the key and no partition: librdkafka's
# partitioner places it, which is CRC-32 by default, while Java's clients, kafkajs and aiokafka place by murmur2. So most copies of records
# that those wrote are in another partition than their record: the key is in two partitions from then on, is worked on by two
# members at once, and no order holds it together. `producer_config("partitioner", "murmur2_random")` of `KafkaBroker` is the way out.
#
# It needs Rust 1.95 and a C compiler beside what all here need, and node.
#
# Seen:
SEEN='consistent_random (the default): 17 of 20 copies are in another partition than their record
murmur2_random: 0 of 20 copies are in another partition than their record'

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
await admin.createTopics({ topics: [{ topic, numPartitions: 6 }], waitForLeaders: false });
while (!(await admin.fetchTopicOffsets(topic).catch(() => null))) {
  await new Promise((resolve) => setTimeout(resolve, 200));
}
const producer = kafka.producer();
await producer.connect();
await producer.send({ topic, messages: [...Array(20).keys()].map((n) => ({ key: `key-${n}`, value: `${n}` })) });
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
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use ruststream_rdkafka::prelude::*;
use serde::{Deserialize, Serialize};

static SEEN: Mutex<BTreeSet<u64>> = Mutex::new(BTreeSet::new());

#[derive(Debug, Deserialize, Serialize, Outgoing)]
#[outgoing(name = "work")]
struct Number(u64);

fn env(name: &str) -> String {
    std::env::var(name).unwrap()
}

#[subscriber(KafkaTopic::new(env("TOPIC")).group(env("TOPIC")).start(StartOffset::Earliest).commit(Commit::Tracked))]
async fn handle(number: &Number, Ctx(partition): Ctx<Partition>) -> HandlerOutcome {
    let is_first = SEEN.lock().unwrap().insert(number.0);
    println!("{} {} {partition}", if is_first { "record" } else { "copy" }, number.0);
    if is_first { HandlerOutcome::retry_after(Duration::from_millis(100)) } else { HandlerOutcome::ack() }
}

#[ruststream::app]
fn app() -> impl App {
    let broker = match env("PARTITIONER").as_str() {
        "" => KafkaBroker::new([env("BROKERS")]),
        partitioner => KafkaBroker::new([env("BROKERS")]).producer_config("partitioner", partitioner),
    };
    RustStream::new(AppInfo::new("trial", "0.0.0")).with_broker(broker, |b| {
        b.include(handle);
    })
}
EOF
cargo build --quiet

tried() { # tried TOPIC PARTITIONER
    node write.mjs "$brokers" "$1"
    : >seen
    BROKERS=$brokers TOPIC=$1 PARTITIONER=$2 "${CARGO_TARGET_DIR:-target}/debug/trial" run >>seen 2>log &
    until (($(grep -c ^copy seen) >= 20)); do
        kill -0 $! || differs "it ended: $(tail -n 3 log)"
        sleep 0.5
    done
    kill $!
    sort -u seen | awk '
        { at[$1, $2] = $3 }
        END { for (n = 0; n < 20; n++) moved += at["record", n] != at["copy", n]
              print moved + 0 " of 20 copies are in another partition than their record" }'
}
seen="consistent_random (the default): $(tried "copies-$$" "")
murmur2_random: $(tried "others-$$" murmur2_random)"
echo "$seen"
[[ $seen == "$SEEN" ]] || differs "not as stated"
