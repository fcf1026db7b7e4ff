//! Writes records in transactions, of which some are aborted.

use std::time::Duration;

use ottla::{ProducerRecord, TransactionError, TransactionalProducer};

use super::{Asked, Failure, Orders, Pulse, tell};
use crate::line::{End, Id, LARGEST_TRANSACTION, Told, Value};

/// Between two transactions.
const PAUSE: Duration = Duration::from_millis(150);

/// Of how many transactions one is aborted.
const ABORTED: u64 = 5;

async fn producer(asked: &Asked) -> Result<TransactionalProducer, Failure> {
    let builder = TransactionalProducer::builder().properties(asked.of_producer())?;
    let builder = builder.transactional_id(asked.own::<String>("id")?);
    Ok(builder.transaction_timeout(Duration::from_secs(10)).build_transactional().await?)
}

pub(super) async fn run(asked: &Asked, orders: &Orders) -> Result<(), Failure> {
    let (topic, partitions): (String, u64) = (asked.own("topic")?, asked.own("partitions")?);
    let (writer, life): (u16, u16) = (asked.own("writer")?, asked.own("life")?);
    let mut rng = fastrand::Rng::with_seed(u64::from(writer) << 16 | u64::from(life));
    let (mut writes, mut pulse, mut transaction) = (producer(asked).await?, Pulse::new(), 0);
    while !orders.is_over() {
        let records = rng.u64(1..=LARGEST_TRANSACTION);
        let commits = rng.u64(0..ABORTED) > 0;
        let value = |index: u64| {
            let number = transaction * LARGEST_TRANSACTION + index;
            let partition = ((transaction + index) % partitions) as i32;
            Value { id: Id { writer, life, number }, partition, key: records }
        };
        let ended = one(&mut writes, &topic, (0..records).map(value), commits).await;
        let end = match &ended {
            Ok(end) => *end,
            Err(TransactionError::Aborted(_)) => End::Aborted,
            Err(_) => End::Unknown,
        };
        if let Err(error) = ended {
            tell(&Told::Error(format!("{error:#}")));
        } else {
            pulse.moved();
        }
        tell(&Told::Ended { transaction, end, records });
        transaction += 1;
        if !writes.is_usable() {
            writes = producer(asked).await?;
        }
        pulse.tick(0, || format!("{:?}", writes.explain()));
        tokio::time::sleep(PAUSE).await;
    }
    Ok(writes.close().await?)
}

async fn one(
    producer: &mut TransactionalProducer,
    topic: &str,
    values: impl Iterator<Item = Value>,
    commits: bool,
) -> Result<End, TransactionError> {
    let transaction = producer.begin().await?;
    for value in values {
        let record = ProducerRecord::to(topic).partition(value.partition).value(value.to_string());
        if let Err(error) = transaction.send(record).await {
            tell(&Told::Error(format!("{error:#}")));
            transaction.abort().await?;
            return Ok(End::Aborted);
        }
    }
    if commits {
        transaction.commit().await?;
        Ok(End::Committed)
    } else {
        transaction.abort().await?;
        Ok(End::Aborted)
    }
}
