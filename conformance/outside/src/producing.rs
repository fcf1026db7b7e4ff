//! Records on their way.

use ottla::{
    Cause, Producer, SendError,
    producer::{
        Delivered, DeliveredFuture, Delivery, HeaderKey, Partitioner, Partitioning, Payload,
        ProducerInterceptor, ProducerRecord, RecordParts, TrySendError, Unplaced, partition_for_key,
    },
};

use crate::{ORDERS, Outcome, configuring, equal};

/// [`ORDERS`] orders, and then what is none.
pub(crate) async fn all(servers: &str, topic: &str) -> Outcome {
    let producer = configuring::producer(servers).interceptor(Numbers).build().await?;
    for n in 0..ORDERS {
        let value = format!("{{\"id\":{n}}}");
        let delivered = deliver(&producer, record(topic, n.to_string(), "number", value)).await?;
        equal((delivered.partition, delivered.offset), (0, Some(i64::from(n))))?;
    }
    let delivery = at_once(&producer, record(topic, "none", b"number", "no order"));
    later(delivery.map_err(|error| error.to_string())?).await?;
    equal(obstacles(&producer), Vec::new())?;
    equal(partition_for_key(b"42", 1), 0)?;
    let builder = configuring::producer(servers).partitioner(Last);
    equal(is_own(builder.settings().partitioning()), true)?;
    Ok(producer.close().await?)
}

fn is_own(partitioning: &Partitioning) -> bool {
    matches!(partitioning, Partitioning::Own(_))
}

/// The last partition for all.
#[derive(Debug)]
struct Last;

impl Partitioner for Last {
    fn partition(&self, record: &Unplaced<'_>) -> Option<i32> {
        record.available.last().copied()
    }
}

/// Looks at each record, and changes none.
struct Numbers;

impl ProducerInterceptor for Numbers {
    fn on_send<'a>(&self, record: ProducerRecord<'a>) -> ProducerRecord<'a> {
        let RecordParts { headers, .. } = record.parts();
        if headers.is_empty() { record.header("number", "1") } else { record }
    }

    fn on_acknowledgement(&self, _record: &RecordParts<'_>, _outcome: Result<&Delivered, &SendError>) {}
}

fn record<'a>(
    topic: &'a str,
    key: impl Into<Payload<'a>>,
    header: impl Into<HeaderKey<'a>>,
    value: impl Into<Payload<'a>>,
) -> ProducerRecord<'a> {
    ProducerRecord::to(topic).key(key).header(header, "1").value(value)
}

async fn deliver(producer: &Producer, record: ProducerRecord<'_>) -> Result<Delivered, SendError> {
    producer.send(record).await?.await
}

fn at_once<'a>(producer: &Producer, record: ProducerRecord<'a>) -> Result<Delivery, TrySendError<'a>> {
    producer.try_send(record)
}

fn later(delivery: Delivery) -> DeliveredFuture {
    delivery.into_future()
}

fn obstacles(producer: &Producer) -> Vec<Cause> {
    producer.explain()
}
