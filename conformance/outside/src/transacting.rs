//! Records that appear as a whole or not at all.

use std::{future::ready, sync::Arc, time::Duration};

use ottla::{
    Consumer, Processor, ProducerBuilder, ProducerRecord, SendError, Transaction, TransactionError,
    TransactionSender, TransactionalProducer, TransformError,
    error::{
        AbortedError, AbortedErrorKind, FatalError, FatalErrorKind, Fault, UnansweredError,
        UnansweredErrorKind,
    },
    processor::{EachMessage, Message, Outputs, TransactionalProcessor},
};
use tokio::sync::Notify;

use crate::{Outcome, administering, configuring, equal};

pub(crate) async fn all(servers: &str, topic: &str) -> Outcome {
    let copies = format!("{topic}-copy");
    administering::create(servers, &copies).await?;
    let mut older = producer(servers, topic).await?;
    let transaction = older.begin().await?;
    let sender = elsewhere(&transaction);
    sender.send(ProducerRecord::to(copies.as_str()).value("of nobody")).await?.await?;
    let mut producer = producer(servers, topic).await?;
    let ended = transaction.commit().await;
    equal(ended.as_ref().err().map(passes), Some(false))?;
    match ended {
        Err(TransactionError::Fatal(error)) => {
            equal(of_fatal(&error), (FatalErrorKind::Fenced, Fault::Caller))?
        }
        other => return Err(format!("not fenced: {other:?}").into()),
    }
    let mut consumer = configuring::consumer(servers).group_id(format!("{topic}-copies")).subscribe([topic]);
    consumer = consumer.enable_auto_commit(false).auto_offset_reset(ottla::OffsetReset::Earliest);
    let mut consumer = consumer.build().await?;
    let mut copied = 0;
    while copied == 0 {
        copied = copy(&mut producer, &mut consumer, &copies).await?;
    }
    consumer.close().await?;
    producer.close().await?;
    process(servers, topic, copies).await
}

/// The first record by a processor: it is to be copied once more.
async fn process(servers: &str, topic: &str, to: String) -> Outcome {
    let mut consumer = configuring::consumer(servers).group_id(format!("{topic}-once")).subscribe([topic]);
    consumer = consumer.auto_offset_reset(ottla::OffsetReset::Earliest);
    let producer = configuring::producer(servers).transactional_id(format!("{topic}-once"));
    let copied = Arc::new(Notify::new());
    let copying = copying(in_transactions(consumer, producer), to, copied.clone());
    Ok(copying.run_until(copied.notified()).await?)
}

fn in_transactions(consumer: ottla::ConsumerBuilder, producer: ProducerBuilder) -> TransactionalProcessor {
    Processor::new(consumer).transactional(producer)
}

fn copying(processor: TransactionalProcessor, to: String, copied: Arc<Notify>) -> EachMessage {
    processor.each_message(move |message, out| {
        copied.notify_one();
        ready(write(&message, &out, &to))
    })
}

fn write(message: &Message, out: &Outputs, to: &str) -> Result<(), SendError> {
    out.push(ProducerRecord::to(to).value(message.value()))
}

async fn producer(servers: &str, id: &str) -> Result<TransactionalProducer, ottla::BuildError> {
    configuring::producer(servers).transactional_id(id).build_transactional().await
}

fn elsewhere(transaction: &Transaction<'_>) -> TransactionSender {
    transaction.sender()
}

async fn copy(
    producer: &mut TransactionalProducer,
    consumer: &mut Consumer,
    to: &str,
) -> Result<usize, TransformError<SendError>> {
    let work = producer.transform(consumer, Duration::from_millis(200), async |records, transaction| {
        for record in records {
            drop(transaction.send(ProducerRecord::to(to).value(record.value())).await?);
        }
        Ok(())
    });
    work.await
}

fn of_fatal(error: &FatalError) -> (FatalErrorKind, Fault) {
    (error.kind(), error.kind().fault())
}

/// What is to be done: nothing but another transaction, or something.
fn passes(error: &TransactionError) -> bool {
    match error {
        TransactionError::Aborted(error) => of_aborted(error) != AbortedErrorKind::MemberFenced,
        TransactionError::Fatal(_) => false,
        TransactionError::Unanswered(error) => of_unanswered(error) == UnansweredErrorKind::TimedOut,
    }
}

fn of_aborted(error: &AbortedError) -> AbortedErrorKind {
    error.kind()
}

fn of_unanswered(error: &UnansweredError) -> UnansweredErrorKind {
    error.kind()
}
