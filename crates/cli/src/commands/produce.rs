//! `ottla produce`: a record a line of stdin.
//!
//! Lines come in blocks from a thread of their own, as a read of stdin cannot be given up; records go out in the
//! producer's batches, whose buffer bounds how much is under way.

use std::{
    borrow::Cow,
    io::{Read, stdin},
    time::{Duration, Instant},
};

use ottla::{
    Producer,
    producer::{DeliveredFuture, Delivery, ProducerRecord, TrySendError},
};
use tokio::sync::mpsc;

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

/// How much is read at once, and how many such blocks may wait.
const BLOCK: usize = 256 << 10;
const BLOCKS: usize = 4;

pub(super) async fn run(args: &ProduceArgs, common: &Common, mut stop: Stop) -> Result<(), Failure> {
    if args.transactional_id.is_some() {
        return Err(Failure::not_yet("`produce --transactional-id`"));
    }
    check_name(&args.topic)?;
    let template = Template::new(args)?;
    let clients = Clients::new(common)?;
    let mut builder = clients.producer()?.unknown_topic_grace(APPEARANCE);
    if let Some(codec) = &args.codec {
        builder = builder.properties([("compression.type", codec)])?;
    }
    if let Some(acks) = &args.acks {
        builder = builder.properties([("acks", acks)])?;
    }
    let producer = tokio::select! {
        () = stop.requested() => return Ok(()),
        producer = builder.build() => producer?,
    };
    check_topic(&clients, args).await?;
    let sent = tokio::select! {
        () = stop.requested() => Ok(()),
        sent = told(|| producer.explain(), send_all(&producer, &template)) => sent,
    };
    // Also after an error: what was taken before is on its way. A flush first, as it can be asked what it waits for.
    let flushed = told(|| producer.explain(), producer.flush()).await.map_err(Failure::from);
    let closed = flushed.and(producer.close().await.map_err(Failure::from));
    sent.and(closed)
}

/// A producer would let brokers create the topic.
async fn check_topic(clients: &Clients, args: &ProduceArgs) -> Result<(), Failure> {
    let admin = clients.admin_beside()?.build().await?;
    let topics = told(|| admin.explain(), existing(&admin, std::slice::from_ref(&args.topic))).await;
    admin.close().await;
    let count = topics?.values().map(|topic| topic.partitions.len()).sum::<usize>();
    match args.partition {
        Some(number) if usize::try_from(number).is_ok_and(|number| number >= count) => {
            let why = format!("no such partition: there are {count}, from 0; choose one of these");
            Err(Failure::failed(format!("partition {}-{number}: {why}", args.topic)))
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
        let mut record = ProducerRecord::to(args.topic.as_str());
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

fn split<'l>(line: &'l [u8], delimiter: &[u8]) -> Option<(&'l [u8], &'l [u8])> {
    let at = match delimiter {
        [byte] => line.iter().position(|at| at == byte),
        delimiter => line.windows(delimiter.len()).position(|window| window == delimiter),
    }?;
    Some((line.get(..at)?, line.get(at + delimiter.len()..)?))
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
async fn send_all(producer: &Producer, template: &Template<'_>) -> Result<(), Failure> {
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
            last = Some(send(producer, record).await?);
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

async fn send(producer: &Producer, record: ProducerRecord<'_>) -> Result<Delivery, Failure> {
    match producer.try_send(record) {
        Ok(delivery) => Ok(delivery),
        Err(TrySendError::NotNow(record)) => Ok(producer.send(record).await?),
        Err(TrySendError::Failed(error)) => Err(error.into()),
    }
}

/// Each line of a block, without its end. A delimiter at the very end begins no further one.
fn lines<'b>(block: &'b [u8], delimiter: &'b [u8]) -> impl Iterator<Item = &'b [u8]> {
    let mut rest = block;
    std::iter::from_fn(move || {
        let block = Some(rest).filter(|block| !block.is_empty())?;
        let (line, behind) = split(block, delimiter).unwrap_or((block, &[]));
        rest = behind;
        Some(line)
    })
}

/// Blocks of whole lines; the last may lack its end.
///
/// The thread is not joined: a read of stdin ends when it likes, and the process does not wait for it.
fn read_blocks(delimiter: Vec<u8>) -> Result<mpsc::Receiver<std::io::Result<Vec<u8>>>, Failure> {
    let (sender, blocks) = mpsc::channel(BLOCKS);
    let read = move || {
        let mut stdin = stdin().lock();
        let mut block: Vec<u8> = Vec::with_capacity(BLOCK);
        let mut buffer = vec![0; BLOCK];
        loop {
            let count = match stdin.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return drop(sender.blocking_send(Err(error))),
            };
            let before = block.len();
            block.extend_from_slice(buffer.get(..count).unwrap_or_default());
            // Of which a part may have come before.
            let from = (before + 1).saturating_sub(delimiter.len());
            let Some(end) = last_end(&block, from, &delimiter) else { continue };
            let mut next = Vec::with_capacity(BLOCK);
            next.extend_from_slice(block.get(end..).unwrap_or_default());
            block.truncate(end);
            if sender.blocking_send(Ok(std::mem::replace(&mut block, next))).is_err() {
                return;
            }
        }
        if !block.is_empty() {
            // Nobody waits for it where the command has ended.
            let _ = sender.blocking_send(Ok(block));
        }
    };
    std::thread::Builder::new()
        .name("ottla-stdin".to_owned())
        .spawn(read)
        .map_err(|error| Failure::failed(format!("no thread to read stdin: {error}")))?;
    Ok(blocks)
}

/// Behind the last delimiter, of which none begins before `from`.
fn last_end(block: &[u8], from: usize, delimiter: &[u8]) -> Option<usize> {
    if let [byte] = delimiter {
        return Some(from + block.get(from..)?.iter().rposition(|at| at == byte)? + 1);
    }
    // As `lines` goes: a delimiter may overlap with itself.
    let mut rest = block.get(from..)?;
    let mut end = None;
    while let Some((_, behind)) = split(rest, delimiter) {
        rest = behind;
        end = Some(block.len() - behind.len());
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_its_lines_empty_ones_too() {
        let all = |block: &'static str, delimiter: &'static str| {
            lines(block.as_bytes(), delimiter.as_bytes()).collect::<Vec<_>>()
        };
        assert_eq!(all("a\nb\n", "\n"), [b"a", b"b"]);
        assert_eq!(all("a\n\nb", "\n"), [&b"a"[..], b"", b"b"]);
        assert_eq!(all("\n", "\n"), [b""]);
        assert_eq!(all("a\n::b::", "::"), [&b"a\n"[..], b"b"]);
    }

    #[test]
    fn a_block_ends_behind_its_last_delimiter_though_that_came_in_parts() {
        assert_eq!(last_end(b"a::b", 0, b"::"), Some(3));
        assert_eq!(last_end(b"a:::", 0, b"::"), Some(3));
        assert_eq!(last_end(b"ab:::", 2, b"::"), Some(4));
        assert_eq!(last_end(b"a:b", 0, b"::"), None);
    }

    #[test]
    fn a_key_ends_at_the_first_delimiter() {
        assert_eq!(split(b"a::b::c", b"::"), Some((&b"a"[..], &b"b::c"[..])));
        assert_eq!(split(b"::b", b"::"), Some((&b""[..], &b"b"[..])));
        assert_eq!(split(b"ab", b"::"), None);
        assert_eq!(split(b"", b":"), None);
    }
}
