#!/usr/bin/env bash
# kafkajs 2.2.4 (Node 20), Kafka 4.4.0
#
# No heartbeat is sent while a handler of `eachMessage` runs, though it only awaits: they are sent between messages. One that takes
# longer than `sessionTimeout` (30 s by default, 6 s here) loses its partitions, and what it has done cannot be committed. The
# member joins again and is given the same records: the group goes round, what was handled is handled again each time, and nothing
# is reported as failed. The way out is to call the `heartbeat` that `eachMessage` is given, from a timer.
#
# Seen of three records, of which the second takes 15 s, when it begins for the third time (-1: nothing is committed):
SEEN='began 3,3,0 ended 3,2,0 committed -1'

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
await admin.createTopics({ topics: [{ topic, numPartitions: 1 }], waitForLeaders: false });
while (!(await admin.fetchTopicOffsets(topic).catch(() => null))) {
  await new Promise((resolve) => setTimeout(resolve, 200));
}
const producer = kafka.producer();
await producer.connect();
await producer.send({ topic, messages: ["0", "1", "2"].map((value) => ({ value })) });
const began = [0, 0, 0], ended = [0, 0, 0];
const consumer = kafka.consumer({ groupId: topic, sessionTimeout: 6000 });
await consumer.connect();
await consumer.subscribe({ topics: [topic], fromBeginning: true });
await consumer.run({
  eachMessage: async ({ message }) => {
    began[message.offset] += 1;
    // Three rounds show it.
    if (began[1] === 3) {
      const [{ partitions }] = await admin.fetchOffsets({ groupId: topic, topics: [topic] });
      console.log(`began ${began} ended ${ended} committed ${partitions[0].offset}`);
      process.exit(0);
    }
    await new Promise((resolve) => setTimeout(resolve, message.offset === "1" ? 15000 : 10));
    ended[message.offset] += 1;
  },
});
EOF
seen=$(timeout 300 node program.mjs "$brokers" "session-$$") || differs "no third round within 300 s: $seen"
echo "$seen"
[[ $seen == "$SEEN" ]] || differs "not as stated"
