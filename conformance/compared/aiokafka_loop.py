"""aiokafka, as it is by default. PATIENCE is `max_poll_interval_ms`."""

import asyncio
import json
import os
import signal

from aiokafka import AIOKafkaConsumer


async def main():
    patience = int(os.environ.get("PATIENCE", 300000))
    consumer = AIOKafkaConsumer(
        os.environ["TOPIC"], bootstrap_servers=os.environ["BROKERS"], group_id=os.environ["GROUP"], auto_offset_reset="earliest",
        max_poll_interval_ms=patience, value_deserializer=json.loads)
    await consumer.start()
    # As a service does: SIGTERM cancels what runs, and `finally` stops the consumer.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
    try:
        async for record in consumer:
            where = f"{record.partition} {record.offset} {record.key.decode()}"
            print("begin", where, flush=True)
            _, what, wait = record.value
            await asyncio.sleep(wait / 1000)
            print("end" if what == "ok" else "fail", where, flush=True)
            if what != "ok":
                raise ValueError("refused")
    finally:
        await consumer.stop()
        print("stopped", flush=True)


asyncio.run(main())
