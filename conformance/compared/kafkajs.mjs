// kafkajs, as it is by default. CONCURRENCY is `partitionsConsumedConcurrently`, PATIENCE `sessionTimeout`.

import kafkajs from "kafkajs";

const { BROKERS, TOPIC, GROUP, CONCURRENCY, PATIENCE } = process.env;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const kafka = new kafkajs.Kafka({ brokers: BROKERS.split(",") });
const consumer = kafka.consumer({ groupId: GROUP, ...(PATIENCE && { sessionTimeout: Number(PATIENCE) }) });
await consumer.connect();
await consumer.subscribe({ topics: [TOPIC], fromBeginning: true });
consumer.on(consumer.events.CRASH, ({ payload }) => console.log("crash", payload.error.name, "restart", payload.restart));
process.once("SIGTERM", async () => {
  await consumer.disconnect();
  process.exit(0);
});
await consumer.run({
  partitionsConsumedConcurrently: Number(CONCURRENCY ?? 1),
  eachMessage: async ({ partition, message }) => {
    const where = [partition, message.offset, message.key.toString()].join(" ");
    console.log("begin", where);
    const [, what, wait] = JSON.parse(message.value);
    await sleep(wait);
    console.log(what === "ok" ? "end" : "fail", where);
    if (what !== "ok") throw new Error("refused");
  },
});
