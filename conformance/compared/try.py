#!/usr/bin/env python3
"""Tries one client in one scene, and prints what was seen: try.py PEER SCENE, with BROKERS in the environment.

A value is [number, "ok" or "fail", milliseconds to take]. A client prints `begin`, `end` or `fail`, partition, offset, key for
each call of its handler.
"""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

BROKERS = os.environ["BROKERS"]
PEERS = os.environ.get("PEERS", os.path.dirname(os.path.abspath(__file__)))


class Member:
    """A process, and the lines that it prints."""

    def __init__(self, peer, topic, group, name, began, **settings):
        self.lines, self.name, self.began = [], name, began
        env = dict(os.environ, TOPIC=topic, GROUP=group, **settings)
        self.log = open(f"/tmp/compared-{topic}{name}.log", "w")
        self.process = subprocess.Popen(
            ["bash", f"{PEERS}/{peer}.sh"], env=env, stdout=subprocess.PIPE, stderr=self.log, text=True, start_new_session=True)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append((time.time(), *line.split()))
            print(f"{time.time() - self.began:7.2f}{self.name} {line.rstrip()}", flush=True)

    def count(self, what):
        return sum(line[1] == what for line in self.lines)

    def has(self, *words):
        return any(line[1:1 + len(words)] == words for line in self.lines)

    def signal(self, number):
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)


def until(condition, limit):
    end = time.time() + limit * float(os.environ.get("PATIENT", 1))
    while not condition() and time.time() < end:
        time.sleep(0.05)
    return condition()


async def tell(topic, group):
    """What is committed, and what is in other topics that have this one's name in theirs."""
    admin = AIOKafkaAdminClient(bootstrap_servers=BROKERS)
    await admin.start()
    for partition, at in sorted((await admin.list_consumer_group_offsets(group)).items()):
        print(f"committed {partition.topic} {partition.partition}: {at.offset} {at.metadata!r}", flush=True)
    others = sorted(name for name in await admin.list_topics() if name != topic and topic in name)
    await admin.close()
    for other in others:
        consumer = AIOKafkaConsumer(other, bootstrap_servers=BROKERS, auto_offset_reset="earliest")
        await consumer.start()
        records = [record for some in (await consumer.getmany(timeout_ms=3000)).values() for record in some]
        print(f"topic {other}: {len(consumer.partitions_for_topic(other))} partitions, {len(records)} records")
        for record in records[:2]:
            print(f"  {record.partition}:{record.offset} {record.key} {record.value}")
            for name, value in record.headers:
                print(f"    {name} = {value[:60]!r}")
        await consumer.stop()


async def known(producer, topic):
    """The partitions that there are by now."""
    try:
        return await producer.partitions_for(topic)
    except KafkaError:
        return ()


async def write(topic, partitions, records):
    admin = AIOKafkaAdminClient(bootstrap_servers=BROKERS)
    await admin.start()
    names = [topic] + os.environ.get("ALSO", "").replace("TOPIC", topic).split()
    await admin.create_topics([NewTopic(name, partitions, 1) for name in names])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=BROKERS, enable_idempotence=True, request_timeout_ms=120000)
    await producer.start()
    while len(await known(producer, topic)) < partitions:
        await asyncio.sleep(0.5)
    sent = [await producer.send(topic, value.encode(), key.encode(), partition) for partition, key, value in records]
    await asyncio.gather(*sent)
    await producer.stop()


def value(number, do="ok", wait=50):
    return f'[{number},"{do}",{wait}]'


def of(scene):
    """Partitions, and records of (partition, key, value)."""
    if scene in ("fails", "letters"):
        return 2, [(p, f"k{n % 3}", value(n, "fail" if (p, n) == (0, 3) else "ok")) for n in range(10) for p in range(2)]
    if scene == "others":
        return 2, [(p, f"k{n % 3}", value(n, ("ok", "fail")[n == 3 and p == 0], (50, 3000)[p])) for n in range(10) for p in range(2)]
    if scene == "order":
        return 2, [(p, f"k{n % 4}", value(n, wait=500)) for n in range(8) for p in range(2)]
    if scene == "kill":
        return 1, [(0, f"k{n}", value(n, wait=100)) for n in range(3000)]
    if scene == "slow":
        return 2, [(p, f"k{n}", value(n, wait=20000 if (p, n) == (0, 3) else 50)) for n in range(10) for p in range(2)]
    if scene == "poison":
        return 1, [(0, f"k{n}", "[3," if n == 3 else value(n)) for n in range(10)]
    waits = {"gap": 25000, "stop": 5000, "long_stop": 90000}
    return 1, [(0, f"k{n}", value(n, wait=waits[scene] if n == 3 else 50)) for n in range(10)]


def main():
    peer, scene = sys.argv[1:]
    topic = f"{peer}-{scene.replace('_', '-')}-{os.getpid()}"
    group = f"{topic}.group"
    partitions, records = of(scene)
    asyncio.run(write(topic, partitions, records))
    began = time.time()
    first = Member(peer, topic, group, "", began)
    members = [first]
    if scene in ("fails", "letters", "others", "poison"):
        until(lambda: first.count("begin") > 0, 60)
        watched = time.time() + float(os.environ.get("FOR", 30))
        until(lambda: first.process.poll() is not None or time.time() > watched, 600)
    elif scene == "order":
        until(lambda: first.count("end") == len(records), 60)
        active, most, lines = {}, {}, {"all": 0}
        for _, what, *where in first.lines:
            if what not in ("begin", "end"):
                continue
            partition, _, key = where[:3]
            for kind, name in (("all", ""), ("partition", partition), ("key", partition + key)):
                active[kind, name] = active.get((kind, name), 0) + (1 if what == "begin" else -1)
                most[kind] = max(most.get(kind, 0), active[kind, name])
        print("at once:", most)
    elif scene == "gap":
        until(lambda: first.has("begin", "0", "3"), 60)
        time.sleep(15)
    elif scene in ("stop", "long_stop"):
        until(lambda: first.has("begin", "0", "3"), 60)
        time.sleep(1)
        asked = time.time()
        os.kill(first.process.pid, signal.SIGTERM)
        print(f"{asked - began:7.2f} SIGTERM", flush=True)
        first.process.wait(100)
        print(f"ended {time.time() - asked:.1f} s later with status {first.process.returncode}")
    elif scene == "kill":
        until(lambda: first.count("end") > 0, 60)
        time.sleep(12)
        first.signal(signal.SIGKILL)
        first.process.wait()
        ended = {line[1:4] for line in first.lines if line[1] == "end"}
        asyncio.run(tell(topic, group))
        second = Member(peer, topic, group, "'", began)
        members.append(second)
        until(lambda: second.count("end") > 0, 90)
        time.sleep(20)
        again = sum(line[1:4] in ended for line in second.lines)
        print(f"killed after {len(ended)}; {again} of them were handled again")
    elif scene == "slow":
        second = Member(peer, topic, group, "'", began)
        members.append(second)
        until(lambda: any(member.has("end", "0", "3") for member in members), 90)
        time.sleep(10)
        begins = [member.name for member in members for line in member.lines if line[1:4] == ("begin", "0", "3")]
        print(f"the slow record was begun {len(begins)} times")
    asyncio.run(tell(topic, group))
    for member in members:
        member.signal(signal.SIGKILL if scene in ("gap", "slow") else signal.SIGTERM)
    until(lambda: all(member.process.poll() is not None for member in members), 15)
    for member in members:
        member.signal(signal.SIGKILL)
    if scene == "fails":
        print("after the stop:")
        asyncio.run(tell(topic, group))


main()
