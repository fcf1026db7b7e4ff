//! Transactional producers of others, unchanged: librdkafka's (the first flow of KIP-890) and Java's (the second); and what
//! others' consumers read of what they wrote. The embedded broker and Kafka are asked the same.

use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use ottla_conformance::binary;
use ottla_conformance::kafka::{Consume, Java};
use ottla_conformance::process::Process;
use ottla_conformance::targets::{Target, unique};
use ottla_conformance::wait::until;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use crate::cases::{Case, Outcome};
use crate::isolation::{Stable, is_read};
use crate::kit::{PATIENCE, admin, equal, holds, topic, wait};
use crate::own_producers::Ours;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::both("transactions_of_librdkafka_interleave", |target| {
            interleaved(target, &mut Librdkafka::new(target))
        })
        .with_java()
        .and_kafka_3_9(),
        Case::both("transactions_of_java_interleave", |target| {
            interleaved(target, &mut JavaSide::new(target)?)
        })
        .with_java()
        .and_kafka_3_9(),
        Case::both("transactions_of_ottla_interleave", |target| interleaved(target, &mut Ours::new(target)))
            .with_java()
            .and_kafka_3_9(),
        Case::both("transactions_of_ottla_take_offsets_along", |target| {
            take_offsets_along(target, &mut Ours::new(target))
        })
        .and_kafka_3_9(),
        Case::both("transactions_of_librdkafka_take_offsets_along", |target| {
            take_offsets_along(target, &mut Librdkafka::new(target))
        }),
        Case::both("transactions_of_java_take_offsets_along", |target| {
            take_offsets_along(target, &mut JavaSide::new(target)?)
        })
        .with_java(),
        Case::both("transactions_of_librdkafka_are_fenced", librdkafka_is_fenced),
        Case::both("transactions_of_java_are_fenced", java_is_fenced).with_java(),
        Case::both("transactions_of_others_are_described_by_javas_tool", described_by_javas_tool).with_java(),
    ]
}

/// Transactional producers with names.
pub(crate) trait Producers {
    /// Makes one with this transactional id, or has one begin anew.
    fn init(&mut self, name: &str, id: &str) -> Outcome;
    fn begin(&mut self, name: &str) -> Outcome;
    /// Writes to partition 0, and waits until that is acknowledged.
    fn send(&mut self, name: &str, topic: &str, value: &str) -> Outcome;
    /// Commits an offset of partition 0 for a group.
    fn offsets(&mut self, name: &str, group: &str, topic: &str, offset: i64) -> Outcome;
    fn end(&mut self, name: &str, commit: bool) -> Outcome;
}

pub(crate) struct Librdkafka {
    bootstrap: String,
    producers: Vec<(String, BaseProducer)>,
}

impl Librdkafka {
    fn new(target: &Target) -> Self {
        Self::at(&target.bootstrap())
    }

    pub(crate) fn at(bootstrap: &str) -> Self {
        Self { bootstrap: bootstrap.to_owned(), producers: Vec::new() }
    }

    fn find(&self, name: &str) -> Result<&BaseProducer, Failed> {
        let found = self.producers.iter().find(|(known, _)| known == name);
        found.map(|(_, producer)| producer).ok_or_else(|| format!("no producer {name}").into())
    }
}

impl Producers for Librdkafka {
    fn init(&mut self, name: &str, id: &str) -> Outcome {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap).set("transactional.id", id).set("linger.ms", "0");
        config.set("reconnect.backoff.max.ms", "200");
        let producer: BaseProducer = config.create()?;
        producer.init_transactions(PATIENCE)?;
        self.producers.push((name.to_owned(), producer));
        Ok(())
    }

    fn begin(&mut self, name: &str) -> Outcome {
        Ok(self.find(name)?.begin_transaction()?)
    }

    fn send(&mut self, name: &str, topic: &str, value: &str) -> Outcome {
        let producer = self.find(name)?;
        producer
            .send(BaseRecord::<(), _>::to(topic).partition(0).payload(value))
            .map_err(|(error, _)| error)?;
        Ok(producer.flush(PATIENCE)?)
    }

    fn offsets(&mut self, name: &str, group: &str, topic: &str, offset: i64) -> Outcome {
        let mut config = ClientConfig::new();
        let consumer: BaseConsumer =
            config.set("bootstrap.servers", &self.bootstrap).set("group.id", group).create()?;
        let metadata = consumer.group_metadata().ok_or("no metadata of the group")?;
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(topic, 0, Offset::Offset(offset))?;
        Ok(self.find(name)?.send_offsets_to_transaction(&offsets, &metadata, PATIENCE)?)
    }

    fn end(&mut self, name: &str, commit: bool) -> Outcome {
        let producer = self.find(name)?;
        Ok(if commit { producer.commit_transaction(PATIENCE) } else { producer.abort_transaction(PATIENCE) }?)
    }
}

pub(crate) struct JavaSide(Process);

impl JavaSide {
    fn new(target: &Target) -> Result<Self, Failed> {
        Self::at(&target.bootstrap())
    }

    pub(crate) fn at(bootstrap: &str) -> Result<Self, Failed> {
        let mut java = Java::get()?.program("Transactions.java");
        java.arg(bootstrap);
        Ok(Self(Process::spawn_with_input(&java)?))
    }

    /// What a call is answered: `ok`, or an exception.
    fn call(&mut self, call: &str) -> Result<String, Failed> {
        let answered = self.0.line_count();
        self.0.write(format!("{call}\n").as_bytes())?;
        until(PATIENCE, call, || self.0.line_count() > answered)
            .map_err(|expired| format!("{expired}: {}", self.0.stderr()))?;
        Ok(self.0.lines().pop().unwrap_or_default())
    }

    fn calls(&mut self, call: &str) -> Outcome {
        let answer = self.call(call)?;
        equal(call, answer.as_str(), "ok")
    }
}

impl Producers for JavaSide {
    fn init(&mut self, name: &str, id: &str) -> Outcome {
        self.calls(&format!("init {name} {id}"))
    }

    fn begin(&mut self, name: &str) -> Outcome {
        self.calls(&format!("begin {name}"))
    }

    fn send(&mut self, name: &str, topic: &str, value: &str) -> Outcome {
        self.calls(&format!("send {name} {topic} {value}"))
    }

    fn offsets(&mut self, name: &str, group: &str, topic: &str, offset: i64) -> Outcome {
        self.calls(&format!("offsets {name} {group} {topic} {offset}"))
    }

    fn end(&mut self, name: &str, commit: bool) -> Outcome {
        self.calls(&format!("{} {name}", if commit { "commit" } else { "abort" }))
    }
}

/// A topic that is written to, step by step, each of which is there before the next begins.
struct Log<'a> {
    topic: String,
    end: i64,
    plain: BaseProducer,
    watcher: BaseConsumer,
    producers: &'a mut dyn Producers,
}

impl<'a> Log<'a> {
    fn new(target: &Target, name: &str, producers: &'a mut dyn Producers) -> Result<Self, Failed> {
        let plain = ClientConfig::new().set("bootstrap.servers", target.bootstrap()).create()?;
        let topic = wait(topic(target, name, 1))?;
        Ok(Self { topic, end: 0, plain, watcher: reader(target, false)?, producers })
    }

    /// A record, or a marker, which brokers write by and by.
    fn grows(&mut self) -> Outcome {
        self.end += 1;
        let (topic, end) = (&self.topic, self.end);
        let high = || self.watcher.fetch_watermarks(topic, 0, PATIENCE).is_ok_and(|(_, high)| high == end);
        Ok(until(PATIENCE, &format!("a log end offset of {end}"), high)?)
    }

    fn send(&mut self, name: &str, value: &str) -> Outcome {
        self.producers.send(name, &self.topic, value)?;
        self.grows()
    }

    fn plain(&mut self, value: &str) -> Outcome {
        let record = BaseRecord::<(), _>::to(&self.topic).partition(0).payload(value);
        self.plain.send(record).map_err(|(error, _)| error)?;
        self.plain.flush(PATIENCE)?;
        self.grows()
    }

    fn end(&mut self, name: &str, commit: bool) -> Outcome {
        self.producers.end(name, commit)?;
        self.grows()
    }
}

fn reader(target: &Target, committed: bool) -> KafkaResult<BaseConsumer> {
    ClientConfig::new()
        .set("bootstrap.servers", target.bootstrap())
        .set("group.id", unique("reader"))
        .set("enable.auto.commit", "false")
        .set("isolation.level", if committed { "read_committed" } else { "read_uncommitted" })
        .create()
}

type Read = Vec<(i64, String)>;

/// As many records as are expected, and what else comes within a moment.
fn take(reader: &BaseConsumer, expected: usize) -> Result<Read, Failed> {
    let (start, mut read) = (Instant::now(), Read::new());
    while read.len() < expected && start.elapsed() < PATIENCE {
        read.extend(next(reader, Duration::from_millis(100))?);
    }
    read.extend(next(reader, Duration::from_millis(300))?);
    Ok(read)
}

fn next(reader: &BaseConsumer, within: Duration) -> Result<Option<(i64, String)>, Failed> {
    let Some(message) = reader.poll(within) else { return Ok(None) };
    let message = message?;
    let value = String::from_utf8(message.payload().unwrap_or_default().to_vec())?;
    Ok(Some((message.offset(), value)))
}

fn assign(reader: &BaseConsumer, topic: &str) -> Outcome {
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset(topic, 0, Offset::Beginning)?;
    Ok(reader.assign(&partitions)?)
}

fn expected(records: &[(i64, &str)]) -> Read {
    records.iter().map(|(offset, value)| (*offset, (*value).to_owned())).collect()
}

fn interleaved(target: &Target, producers: &mut dyn Producers) -> Outcome {
    // A transaction that is open while the command is built would time out.
    binary::ottla()?;
    for name in ["a", "b"] {
        producers.init(name, &unique(name))?;
    }
    let mut log = Log::new(target, "interleaved", producers)?;
    log.producers.begin("a")?;
    log.send("a", "a0")?;
    log.producers.begin("b")?;
    log.send("b", "b1")?;
    log.plain("p2")?;
    log.send("a", "a3")?;
    log.end("b", false)?;
    log.plain("p5")?;
    log.end("a", true)?;
    log.producers.begin("b")?;
    log.send("b", "b7")?;
    log.end("b", true)?;
    log.producers.begin("a")?;
    log.send("a", "a9")?;
    log.end("a", false)?;
    log.plain("p11")?;
    log.producers.begin("a")?;
    log.send("a", "a12")?;
    log.plain("p13")?;
    let before = expected(&[(0, "a0"), (2, "p2"), (3, "a3"), (5, "p5"), (7, "b7"), (11, "p11")]);
    let after = expected(&[(12, "a12"), (13, "p13")]);

    let committed = reader(target, true)?;
    assign(&committed, &log.topic)?;
    equal("what is committed", take(&committed, before.len())?, before.clone())?;
    let everything = reader(target, false)?;
    assign(&everything, &log.topic)?;
    let all: Vec<String> = take(&everything, 10)?.into_iter().map(|(_, value)| value).collect();
    equal("everything", all.join(" "), "a0 b1 p2 a3 p5 b7 a9 p11 a12 p13".to_owned())?;
    let java = |count| -> Result<Read, Failed> {
        let consume = Consume::at(&log.topic, 0, 0).committed().messages(count);
        let read = target.tools()?.console_consume(&consume)?;
        Ok(read.into_iter().map(|record| (record.offset, record.value.unwrap_or_default())).collect())
    };
    equal("what is committed, in Java's eyes", java(before.len())?, before.clone())?;

    is_read(target, &Stable { topic: &log.topic, committed: &before, stable: 12, end: 14 })?;

    log.end("a", true)?;
    equal("and then", take(&committed, after.len())?, after.clone())?;
    let consume = Consume::at(&log.topic, 0, 0).committed().messages(before.len() + after.len());
    let read = target.tools()?.console_consume(&consume)?;
    let read: Read =
        read.into_iter().map(|record| (record.offset, record.value.unwrap_or_default())).collect();
    let all = [before, after].concat();
    equal("and then, in Java's eyes", read, all.clone())?;
    is_read(target, &Stable { topic: &log.topic, committed: &all, stable: 15, end: 15 })
}

fn take_offsets_along(target: &Target, producers: &mut dyn Producers) -> Outcome {
    producers.init("a", &unique("a"))?;
    let input = wait(topic(target, "input", 1))?;
    let group = unique("group");
    let mut log = Log::new(target, "output", producers)?;
    let committed = || -> Result<Option<i64>, Failed> {
        let offsets = wait(async { Ok(admin(target).await?.committed_offsets(group.as_str()).await?) })?;
        Ok(offsets.values().next().map(|at| at.offset))
    };
    for (commit, offset, counts) in
        [(false, 3, None), (true, 5, Some(5)), (false, 7, Some(5)), (true, 9, Some(9))]
    {
        log.producers.begin("a")?;
        log.send("a", "out")?;
        log.producers.offsets("a", &group, &input, offset)?;
        log.end("a", commit)?;
        let mut last = None;
        until(PATIENCE, "the offset that counts", || {
            last = committed().ok().flatten();
            last == counts
        })
        .map_err(|expired| format!("{expired}: {last:?}, not {counts:?}"))?;
    }
    let reader = reader(target, true)?;
    assign(&reader, &log.topic)?;
    equal("the output", take(&reader, 2)?, expected(&[(2, "out"), (6, "out")]))
}

fn librdkafka_is_fenced(target: &Target) -> Outcome {
    let id = unique("fenced");
    let topic = wait(topic(target, "fenced", 1))?;
    let mut both = Librdkafka::new(target);
    both.init("old", &id)?;
    both.begin("old")?;
    both.send("old", &topic, "old")?;
    both.init("new", &id)?;
    let fenced = both.find("old")?.commit_transaction(PATIENCE);
    holds(
        &format!("fenced, and fatally: {fenced:?}"),
        matches!(&fenced, Err(KafkaError::Transaction(error))
            if error.is_fatal() && error.code() == RDKafkaErrorCode::Fenced),
    )?;
    both.begin("new")?;
    both.send("new", &topic, "new")?;
    both.end("new", true)?;
    let reader = reader(target, true)?;
    assign(&reader, &topic)?;
    equal("what counts", take(&reader, 1)?, expected(&[(2, "new")]))
}

fn java_is_fenced(target: &Target) -> Outcome {
    let id = unique("fenced");
    let topic = wait(topic(target, "fenced", 1))?;
    let mut both = JavaSide::new(target)?;
    for (name, first, told) in
        [("one", "send", "InvalidProducerEpochException"), ("two", "commit", "ProducerFencedException")]
    {
        both.init(name, &id)?;
        both.begin(name)?;
        both.send(name, &topic, "old")?;
        both.init(&format!("{name}-next"), &id)?;
        let call = if first == "send" { format!("send {name} {topic} x") } else { format!("{first} {name}") };
        let answer = both.call(&call)?;
        equal(&call, answer.as_str(), told)?;
    }
    both.begin("two-next")?;
    both.send("two-next", &topic, "new")?;
    both.end("two-next", true)?;
    let reader = reader(target, true)?;
    assign(&reader, &topic)?;
    equal("what counts", take(&reader, 1)?, expected(&[(4, "new")]))
}

fn described_by_javas_tool(target: &Target) -> Outcome {
    let (id, topic) = (unique("described"), wait(topic(target, "described", 1))?);
    let mut producers = Librdkafka::new(target);
    producers.init("a", &id)?;
    producers.begin("a")?;
    producers.send("a", &topic, "open")?;
    let rows = |args: &[&str]| -> Result<Vec<Vec<String>>, Failed> {
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        let told = target.tools()?.run("org.apache.kafka.tools.TransactionsCommand", &args)?;
        let row = |line: &str| line.split('\t').map(|cell| cell.trim().to_owned()).collect();
        Ok(told.lines().skip(1).map(row).collect())
    };
    let described = rows(&["describe", "--transactional-id", &id])?;
    let cells = described.first().ok_or("no row")?;
    let told = [1, 3, 4, 5, 8].map(|at| cells.get(at).cloned().unwrap_or_default());
    let expected = [id.as_str(), "0", "Ongoing", "60000", &format!("{topic}-0")];
    equal("the transaction", told, expected.map(str::to_owned))?;
    let described = rows(&["describe-producers", "--topic", &topic, "--partition", "0"])?;
    let cells = described.first().ok_or("no row")?;
    let told = [1, 2, 3, 5].map(|at| cells.get(at).cloned().unwrap_or_default());
    equal("the producer", told, ["0", "-1", "0", "0"].map(str::to_owned))?;
    producers.end("a", false)
}
