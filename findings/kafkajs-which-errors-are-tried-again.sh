#!/usr/bin/env bash
# kafkajs 2.2.4 (Node 20), Kafka 4.4.0
#
# What a handler of `eachMessage` throws is tried again by its class. An `Error` has its record handled anew, five times more by
# default. A `SyntaxError`, as JSON.parse throws for a value that is no JSON, or a `TypeError`, as `null.field` does, is called once: the
# consumer crashes, and is not started again. `consumer.run` has resolved long before and rejects nothing: only a listener for
# `consumer.events.CRASH` is told.
#
# Seen:
SEEN='Error: calls 6, restart true
RangeError: calls 1, restart false
SyntaxError: calls 1, restart false
TypeError: calls 1, restart false'

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
const producer = kafka.producer();
await producer.connect();
for (const kind of [Error, RangeError, SyntaxError, TypeError]) {
  const name = `${topic}-${kind.name}`;
  await admin.createTopics({ topics: [{ topic: name, numPartitions: 1 }], waitForLeaders: false });
  while (!(await admin.fetchTopicOffsets(name).catch(() => null))) {
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  await producer.send({ topic: name, messages: [{ value: "x" }] });
  const consumer = kafka.consumer({ groupId: name, retry: { initialRetryTime: 50 } });
  await consumer.connect();
  await consumer.subscribe({ topics: [name], fromBeginning: true });
  let calls = 0;
  const crashed = new Promise((resolve) => {
    consumer.on(consumer.events.CRASH, ({ payload }) => { if (calls > 0) resolve(payload.restart); });
  });
  await consumer.run({ eachMessage: async () => { calls += 1; throw new kind("refused"); } });
  const restart = await crashed;
  console.log(`${kind.name}: calls ${calls}, restart ${restart}`);
  await consumer.disconnect();
}
process.exit(0);
EOF
seen=$(timeout 300 node program.mjs "$brokers" "errors-$$") || differs "it does not end: $seen"
echo "$seen"
[[ $seen == "$SEEN" ]] || differs "not as stated"
