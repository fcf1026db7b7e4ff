#!/usr/bin/env bash
# aiokafka 0.14.0 (Python 3.11), Kafka 4.4.0
#
# With its defaults (enable_auto_commit=True, every 5 s), `async for record in consumer` commits a record's successor while the
# loop's body still works on that record. A process that is killed then has lost it: no member of the group is given it again.
# Java's consumer commits in `poll` alone, and so nothing that the body has not finished.
#
# Seen:
#   began 0, ended 0, began 1
#   committed while 1 is worked on: 2
#   after a kill, the next process begins with: 2

. "$(dirname "$0")/kafka.sh"
start_kafka
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet aiokafka==0.14.0
cat >"$dir/program.py" <<'EOF'
import asyncio, sys
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

what, brokers, topic = sys.argv[1:]


async def known(producer):
    try:
        return await producer.partitions_for(topic)
    except KafkaError:
        return None


async def prepare():
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=brokers)
    await producer.start()
    while not await known(producer):
        await asyncio.sleep(0.2)
    for number in range(4):
        await producer.send_and_wait(topic, str(number).encode())
    await producer.stop()


async def work():
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=brokers, group_id=topic, auto_offset_reset="earliest")
    await consumer.start()
    async for record in consumer:
        print("began", record.offset, flush=True)
        await asyncio.sleep(600 if record.offset > 0 else 0)
        print("ended", record.offset, flush=True)


async def committed():
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    offsets = await admin.list_consumer_group_offsets(topic)
    print(*(at.offset for at in offsets.values()))
    await admin.close()


asyncio.run({"prepare": prepare, "work": work, "committed": committed}[what]())
EOF
topic=in-hand-$$
run() { "$dir/venv/bin/python" "$dir/program.py" "$1" "$brokers" "$topic"; }

run prepare
"$dir/venv/bin/python" "$dir/program.py" work "$brokers" "$topic" >"$dir/first" & worker=$!
until grep -q "began 1" "$dir/first"; do sleep 0.2; done
sleep 12 # two commits
at=$(run committed)
kill -9 "$worker"
paste -sd, "$dir/first"
echo "committed while 1 is worked on: $at"
"$dir/venv/bin/python" "$dir/program.py" work "$brokers" "$topic" >"$dir/second" &
until grep -q began "$dir/second"; do sleep 0.2; done
next=$(head -n 1 "$dir/second")
echo "after a kill, the next process begins with: ${next#began }"
[[ $at == 2 ]] || differs "committed $at"
[[ $next == "began 2" ]] || differs "$next"
