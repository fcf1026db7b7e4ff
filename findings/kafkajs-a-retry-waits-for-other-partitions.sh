#!/usr/bin/env bash
# kafkajs 2.2.4 (Node 20), Kafka 4.4.0
#
# With `partitionsConsumedConcurrently` a record whose handler threw is not tried again before all that was fetched of the other
# partitions is handled, however short the back-off (100 ms here): one failure, and its partition stands still for as long as the longest
# of the other partitions' batches takes.
#
# Seen: partition 0 has one record, which fails once; partition 1 has eight of 2 s each.
SEEN='tried again after 8 of the 8 records of the other partition'

. "$(dirname "$0")/kafka.sh"
start_kafka
cd "$dir"
npm install --silent kafkajs@2.2.4 >/dev/null
cat >program.mjs <<'EOF'
import kafkajs from "kafkajs";

const [, , broker, topic] = process.argv;
const kafka = new kafkajs.Kafka({ brokers: [broker], logLevel: kafkajs.logLevel.NOTHING });
const admin = kafka.admin();
await admin.connect();
await admin.createTopics({ topics: [{ topic, numPartitions: 2 }], waitForLeaders: false });
while (!(await admin.fetchTopicOffsets(topic).catch(() => null))) {
  await new Promise((resolve) => setTimeout(resolve, 200));
}
const producer = kafka.producer();
await producer.connect();
await producer.send({ topic, messages: [0, 1, 1, 1, 1, 1, 1, 1, 1].map((partition) => ({ partition, value: "x" })) });
let calls = 0, others = 0;
const consumer = kafka.consumer({ groupId: topic, retry: { initialRetryTime: 100 } });
await consumer.connect();
await consumer.subscribe({ topics: [topic], fromBeginning: true });
await consumer.run({
  partitionsConsumedConcurrently: 2,
  eachMessage: async ({ partition }) => {
    if (partition === 1) {
      await new Promise((resolve) => setTimeout(resolve, 2000));
      others += 1;
    } else if (++calls === 1) {
      // When the other partition is at work.
      await new Promise((resolve) => setTimeout(resolve, 1000));
      throw new Error("once");
    } else {
      console.log(`tried again after ${others} of the 8 records of the other partition`);
      process.exit(0);
    }
  },
});
EOF
seen=$(timeout 300 node program.mjs "$brokers" "waits-$$") || differs "it is not tried again: $seen"
echo "$seen"
[[ $seen == "$SEEN" ]] || differs "not as stated"
