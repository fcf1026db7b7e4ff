// kafkajs, as its documentation has it: eachMessage, as many partitions at once as the lap has handlers, and commits as they come by
// default. It prints what the laps in Rust print.

import { readFileSync } from "node:fs";
import kafkajs from "kafkajs";

const named = {};
for (let i = 3; i + 1 < process.argv.length; i += 2) {
  named[process.argv[i].slice(2)] = process.argv[i + 1];
}
const PARTITIONS = 12;
const wanted = Number(named.records);
// A timer counts in milliseconds, and is never shorter than one.
const wait = Number(named["wait-micros"]) / 1000;
const partitionsConsumedConcurrently = Math.min(Number(named.concurrency), PARTITIONS);

const kafka = new kafkajs.Kafka({
  clientId: "bench",
  brokers: named.bootstrap.split(","),
  logLevel: kafkajs.logLevel.ERROR,
});

const called = performance.now();
let [records, bytes, handling, first, before, end, used] = [0, 0, 0, 0, null, 0, null];
let tell;
const all = new Promise((resolve) => { tell = resolve; });

const consumer = kafka.consumer({ groupId: named.group });
// The last one counts: a fetch that waits for more records holds up the end by seconds.
consumer.on(consumer.events.COMMIT_OFFSETS, () => {
  end = performance.now();
  used = process.cpuUsage(before);
});
await consumer.connect();
await consumer.subscribe({ topics: [named.topic], fromBeginning: true });
await consumer.run({
  partitionsConsumedConcurrently,
  eachMessage: async ({ message }) => {
    if (before === null) {
      first = performance.now();
      before = process.cpuUsage();
    }
    bytes += (message.key?.length ?? 0) + (message.value?.length ?? 0);
    if (wait > 0) {
      const start = performance.now();
      await new Promise((resolve) => setTimeout(resolve, wait));
      handling += performance.now() - start;
    }
    records += 1;
    if (records === wanted) {
      tell();
    }
  },
});
await all;
// What is done is committed at the end of each batch, which this waits for.
await consumer.stop();
const peak = /VmHWM:\s*(\d+)/.exec(readFileSync("/proc/self/status", "utf8"));
console.log(JSON.stringify({
  records,
  bytes,
  cpu_micros: used.user + used.system,
  seconds: (end - first) / 1000,
  seconds_of_all: (end - called) / 1000,
  vm_hwm_kib: Number(peak[1]),
  fetched: null,
  log: null,
  handling_micros: (handling / records) * 1000,
}));
await consumer.disconnect();
