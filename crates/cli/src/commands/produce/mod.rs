//! `ottla produce`: a record a line of stdin.
//!
//! Lines come in blocks from a thread of their own, as a read of stdin cannot be given up; records go out in the
//! producer's batches, whose buffer bounds how much is under way.

mod input;

use std::{
    borrow::Cow,
    time::{Duration, Instant},
};

use ottla::{
    Producer, ProducerBuilder, Transaction,
    producer::{DeliveredFuture, Delivery, ProducerRecord, TrySendError},
};

use self::input::{lines, read_blocks, split};
use super::topics::{APPEARANCE, check_name, existing};
use crate::{
    args::{Common, ProduceArgs},
    common::Clients,
    escapes::delimiter,
    failure::{Failure, tell},
    progress::Progress,
    signals::Stop,
    waiting::told,
};

pub(super) async fn run(args: &ProduceArgs, common: &Common, mut stop: Stop) -> Result<(), Failure> {
    check_name(args.topic())?;
    let template = Template::new(args)?;
    let clients = Clients::new(common)?;
    let mut builder = clients.producer()?.unknown_topic_grace(APPEARANCE);
    if let Some(codec) = &args.codec {
        builder = builder.properties([("compression.type", codec)])?;
    }
    if let Some(acks) = &args.acks {
        builder = builder.properties([("acks", acks)])?;
    }
    if let Some(id) = &args.transactional_id {
        let builder = builder.properties([("transactional.id", id)])?;
        check_topic(&clients, args).await?;
        return in_transaction(builder, &template, stop).await;
    }
    let producer = tokio::select! {
        () = stop.requested() => return Ok(()),
        producer = builder.build() => producer?,
    };
    check_topic(&clients, args).await?;
    let sent = tokio::select! {
        () = stop.requested() => Ok(()),
        sent = told(|| producer.explain(), send_all(To::Log(&producer), &template)) => sent,
    };
    // Also after an error: what was taken before is on its way. A flush first, as it can be asked what it waits for.
    let flushed = told(|| producer.explain(), producer.flush()).await.map_err(Failure::from);
    let closed = flushed.and(producer.close().await.map_err(Failure::from));
    sent.and(closed)
}

/// All records, or none: an input that fails, or is not read to its end, is aborted.
async fn in_transaction(
    builder: ProducerBuilder,
    template: &Template<'_>,
    mut stop: Stop,
) -> Result<(), Failure> {
    let mut producer = tokio::select! {
        () = stop.requested() => return Ok(()),
        producer = builder.build_transactional() => producer?,
    };
    let transaction = producer.begin().await?;
    let sent = tokio::select! {
        () = stop.requested() => Err(Failure::failed("stopped before the end of the input")),
        sent = send_all(To::Transaction(&transaction), template) => sent,
    };
    let ended = match sent {
        Ok(()) => transaction.commit().await.map_err(Failure::from),
        Err(failure) => {
            // What cannot be aborted now its coordinator aborts, once its time is up.
            let aborted =
                transaction.abort().await.err().map(|error| format!(" ({error})")).unwrap_or_default();
            Err(Failure::failed(format!(
                "{failure}; the transaction is aborted{aborted}: none of its records counts as written"
            )))
        }
    };
    let closed = producer.close().await.map_err(Failure::from);
    ended.and(closed)
}

/// What takes records.
enum To<'a> {
    Log(&'a Producer),
    Transaction(&'a Transaction<'a>),
}

impl To<'_> {
    async fn send(&self, record: ProducerRecord<'_>) -> Result<Delivery, Failure> {
        let sent = match self {
            Self::Log(producer) => producer.try_send(record),
            Self::Transaction(transaction) => transaction.try_send(record),
        };
        match (sent, self) {
            (Ok(delivery), _) => Ok(delivery),
            (Err(TrySendError::NotNow(record)), Self::Log(producer)) => Ok(producer.send(record).await?),
            (Err(TrySendError::NotNow(record)), Self::Transaction(transaction)) => {
                Ok(transaction.send(record).await?)
            }
            (Err(TrySendError::Failed(error)), _) => Err(error.into()),
        }
    }
}

/// A producer would let brokers create the topic.
async fn check_topic(clients: &Clients, args: &ProduceArgs) -> Result<(), Failure> {
    let admin = clients.admin_beside()?.build().await?;
    let topics = told(|| admin.explain(), existing(&admin, &[args.topic().to_owned()])).await;
    admin.close().await;
    let count = topics?.values().map(|topic| topic.partitions.len()).sum::<usize>();
    match args.partition {
        Some(number) if usize::try_from(number).is_ok_and(|number| number >= count) => {
            let why = format!("no such partition: there are {count}, from 0; choose one of these");
            Err(Failure::failed(format!("partition {}-{number}: {why}", args.topic())))
        }
        _ => Ok(()),
    }
}

/// What all records have in common, and how a line becomes one.
#[derive(Debug)]
struct Template<'a> {
    record: ProducerRecord<'a>,
    /// Between records.
    delimiter: Vec<u8>,
    /// Between key and value.
    key_delimiter: Option<Vec<u8>>,
    /// What is empty is null.
    null: bool,
}

impl<'a> Template<'a> {
    fn new(args: &'a ProduceArgs) -> Result<Self, Failure> {
        let mut record = ProducerRecord::to(args.topic());
        if let Some(partition) = args.partition {
            record = record.partition(partition);
        }
        for header in &args.headers {
            let (key, value) = header
                .split_once('=')
                .filter(|(key, _)| !key.is_empty())
                .ok_or_else(|| Failure::usage(format!("-H {header}: expected KEY=VALUE")))?;
            record = record.header(key, value.as_bytes());
        }
        Ok(Self {
            record,
            delimiter: delimiter("-D", &args.delimiter)?,
            key_delimiter: args.key_delimiter.as_deref().map(|text| delimiter("-K", text)).transpose()?,
            null: args.null,
        })
    }

    /// The record, and whether it lacks the key that others have.
    fn of<'l>(&self, line: &'l [u8]) -> (ProducerRecord<'l>, bool)
    where
        'a: 'l,
    {
        let split = self.key_delimiter.as_deref().map(|delimiter| split(line, delimiter));
        let (key, value) = match split {
            Some(Some((key, value))) => (Some(key), value),
            Some(None) | None => (None, line),
        };
        let told = |bytes: &[u8]| !(self.null && bytes.is_empty());
        let mut record = self.record.clone();
        if let Some(key) = key.filter(|key| told(key)) {
            record = record.key(Cow::Borrowed(key));
        }
        if told(value) {
            record = record.value(Cow::Borrowed(value));
        }
        (record, matches!(split, Some(None)))
    }
}

/// Tells of lines without the delimiter of `-K`: of the first at once, of how many at the end.
#[derive(Debug, Default)]
struct Keyless(u64);

impl Keyless {
    fn seen(&mut self, line: u64, progress: &Progress) {
        if self.0 == 0 {
            progress.say(&format!("ottla: line {line} lacks the delimiter of -K: sent without a key"));
        }
        self.0 += 1;
    }

    fn end(self) {
        if self.0 > 1 {
            tell(format!("{} lines lack the delimiter of -K: they were sent without a key", self.0));
        }
    }
}

/// Until the input ends, or a record fails.
async fn send_all(to: To<'_>, template: &Template<'_>) -> Result<(), Failure> {
    let mut blocks = read_blocks(template.delimiter.clone())?;
    let progress = Progress::endless();
    let begun = Instant::now();
    let (mut count, mut keyless) = (0_u64, Keyless::default());
    // One delivery at a time is watched: the failure of one record is told while others are still to come.
    let mut watched: Option<DeliveredFuture> = None;
    loop {
        let block = tokio::select! {
            biased;
            delivered = wait(&mut watched) => {
                watched = None;
                delivered?;
                continue;
            }
            block = blocks.recv() => block,
        };
        let Some(block) = block else {
            keyless.end();
            return Ok(());
        };
        let block = block
            .map_err(|error| Failure::failed(format!("stdin: {error}; what was read before is sent")))?;
        let mut last = None;
        for line in lines(&block, &template.delimiter) {
            count += 1;
            let (record, lacks_key) = template.of(line);
            if lacks_key {
                keyless.seen(count, &progress);
            }
            last = Some(to.send(record).await?);
        }
        if watched.is_none() {
            watched = last.map(IntoFuture::into_future);
        }
        let rate = count as f64 / begun.elapsed().max(Duration::from_millis(1)).as_secs_f64();
        progress.set(count, &format!("records, {rate:.0}/s"));
    }
}

async fn wait(watched: &mut Option<DeliveredFuture>) -> Result<(), Failure> {
    match watched {
        Some(delivery) => delivery.await.map(|_| ()).map_err(Failure::from),
        None => std::future::pending().await,
    }
}
