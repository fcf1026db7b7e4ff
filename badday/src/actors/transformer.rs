//! Transforms records exactly once: reads, writes their values elsewhere, and commits both in one transaction.

use std::time::Duration;

use ottla::{Consumer, IsolationLevel, ProducerRecord, SendError, TransactionalProducer, TransformError};

use super::{Asked, CLOSE, Failure, Orders, Pulse, tell};
use crate::line::Told;

async fn producer(asked: &Asked) -> Result<TransactionalProducer, Failure> {
    let builder = TransactionalProducer::builder().properties(asked.of_producer())?;
    let builder = builder.transactional_id(asked.own::<String>("id")?);
    Ok(builder.transaction_timeout(Duration::from_secs(10)).build_transactional().await?)
}

pub(super) async fn run(asked: &Asked, orders: &Orders) -> Result<(), Failure> {
    let (topic, output): (String, String) = (asked.own("topic")?, asked.own("output")?);
    let builder = Consumer::builder().properties(asked.properties.iter().cloned())?;
    let builder = builder.enable_auto_commit(false).isolation_level(IsolationLevel::ReadCommitted);
    let mut consumer = builder.subscribe([topic.as_str()]).build().await?;
    let (mut writes, mut pulse) = (producer(asked).await?, Pulse::new());
    while !orders.is_over() {
        let round =
            writes.transform(&mut consumer, Duration::from_millis(200), async |records, transaction| {
                for record in records {
                    let record =
                        ProducerRecord::to(&output).partition(record.partition()).value(record.value());
                    drop(transaction.send(record).await?);
                }
                Ok::<_, SendError>(())
            });
        match round.await {
            Ok(0) => {}
            Ok(count) => {
                pulse.moved();
                tell(&Told::Round(count as u64));
            }
            Err(TransformError::Recv(error)) if error.is_final() => return Err(error.into()),
            Err(error) => {
                tell(&Told::Error(format!("{error:#}")));
                if !writes.is_usable() {
                    drop(writes);
                    writes = producer(asked).await?;
                }
            }
        }
        pulse.tick(consumer.deleted_unread(), || consumer.explain().to_string());
    }
    consumer.close_within(CLOSE).await?;
    Ok(writes.close().await?)
}
