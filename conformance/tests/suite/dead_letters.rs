//! Dead letters of Spring Kafka and of Kafka Connect beside ours: made of the same records, compared header by header, and
//! read by the other side.

use std::time::Duration;

use libtest_mimic::Failed;
use ottla::admin::NewTopic;
use ottla::dead_letters::{
    DeadLetter, DeadLetters, ErrorText, FailedRecord, Failure, Origin, Profile, RetryTopic,
};
use ottla::{Header, OwnedRecord, ProducerRecord, Timestamp};
use ottla_conformance::kafka::Java;
use ottla_conformance::process::Process;
use ottla_conformance::targets::{Target, unique};
use ottla_conformance::wait::until_some;

use crate::cases::{Case, Outcome};
use crate::kit::{PATIENCE, admin, consumer, equal, holds, producer, take, wait, within};

const PARTITIONS: i32 = 3;
/// Where Spring's records wait between their attempts: they fail three times.
const DELAYS: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(200)];

const LISTENER_FAILED: &str = "org.springframework.kafka.listener.ListenerExecutionFailedException";
const ILLEGAL_STATE: &str = "java.lang.IllegalStateException";

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::kafka("springs_and_connects_dead_letters_are_ottlas_and_each_reads_the_others", |target| {
            wait(all(target))
        })
        .with_spring(),
    ]
}

async fn all(target: &Target) -> Outcome {
    let scene = Scene::begin(target).await?;
    scene.dead_letters_are_springs_and_connects().await?;
    scene.hops_are_springs().await?;
    scene.spring_takes_a_record_that_ottla_has_retry().await
}

/// The program of conformance/java/DeadLetters.java, and its topics.
struct Scene<'t> {
    target: &'t Target,
    named: String,
    spring: Process,
    /// Of the records, so that no broker takes them for expired.
    written: Timestamp,
}

impl<'t> Scene<'t> {
    async fn begin(target: &'t Target) -> Result<Self, Failed> {
        let named = unique("dead-letters");
        let apart = ["failing", "failing-dlt", "ottla", "connect"].map(|name| (name, PARTITIONS));
        let hops = ["retried", "retried-retry-100", "retried-retry-200", "retried-dlt"].map(|name| (name, 1));
        let topics = apart.into_iter().chain(hops);
        let topics = topics.map(|(name, count)| NewTopic::new(format!("{named}-{name}")).partitions(count));
        for (_, created) in admin(target).await?.create_topics(topics).await? {
            created?;
        }
        let mut java = Java::get()?.program_with_spring("DeadLetters.java")?;
        java.arg(target.bootstrap()).arg(&named);
        let spring = Process::spawn_with_input(&java)?;
        let written = Timestamp(Timestamp::from(std::time::SystemTime::now()).0 - 600_000);
        Ok(Self { target, named, spring, written })
    }

    fn topic(&self, name: &str) -> String {
        format!("{}-{name}", self.named)
    }

    async fn write(&self, records: impl IntoIterator<Item = ProducerRecord<'_>>) -> Outcome {
        let producer = producer(self.target).await?;
        for record in records {
            drop(within("room for a record", producer.send(record)).await??);
        }
        Ok(within("records that are acknowledged", producer.close()).await??)
    }

    /// The first records of a topic, by partition.
    async fn read(&self, name: &str, partitions: i32, count: usize) -> Result<Vec<OwnedRecord>, Failed> {
        let topic = self.topic(name);
        let mut reader = consumer(self.target).build().await?;
        reader.assign((0..partitions).map(|partition| (topic.as_str(), partition)))?;
        let taken = take(&mut reader, count).await;
        let mut records = taken.map_err(|failed| format!("{failed:?}\n{}", self.spring.stderr()))?;
        records.sort_by_key(|record| (record.partition(), record.offset()));
        Ok(records)
    }

    /// What the program has printed of this kind with this beginning, once it has.
    fn printed(&self, kind: &str, begins: &str) -> Result<Vec<String>, Failed> {
        let beginning = format!("{kind}\t{begins}\t");
        let line = until_some(PATIENCE, &beginning, || {
            self.spring.lines().into_iter().find_map(|line| line.strip_prefix(&beginning).map(str::to_owned))
        })
        .map_err(|expired| format!("{expired}: {}\n{}", self.spring.stdout(), self.spring.stderr()))?;
        Ok(line.split('\t').map(str::to_owned).collect())
    }

    /// A record with headers that look like those of dead letters, and one of nulls.
    async fn dead_letters_are_springs_and_connects(&self) -> Outcome {
        let failing = self.topic("failing");
        let full = ProducerRecord::to(failing.as_str()).partition(1).key(b"\xff\x00").value("full");
        let full = full.header("own", b"\xfe").header("kafka_dlt-original-topic", "older");
        let full =
            full.header("kafka_dlt-exception-message", "older").header("__connect.errors.topic", "older");
        let nulls = ProducerRecord::to(failing.as_str()).partition(2).null_header("none");
        self.write([full, nulls].map(|record| record.timestamp(self.written))).await?;

        let sources = self.read("failing", PARTITIONS, 2).await?;
        let springs = self.read("failing-dlt", PARTITIONS, 2).await?;
        let connects = self.read("connect", PARTITIONS, 2).await?;
        for (source, theirs) in sources.iter().zip(&springs) {
            let outer = ErrorText::new("Listener failed").of_type(LISTENER_FAILED);
            let inner = ErrorText::new("no, ß").of_type(ILLEGAL_STATE);
            let failure = self.failure(2, vec![outer, inner]);
            let (source, theirs) = (FailedRecord::from(source), FailedRecord::from(theirs));
            let spring = DeadLetters::new().profile(Profile::Spring);
            let ours = spring.letter(&source, &failure, PARTITIONS as usize, Timestamp(0));
            same("Spring's dead letter", &ours, &theirs)?;
            equal("its topic", ours.topic.as_str(), theirs.topic)?;
            equal("its partition", ours.partition, Some(theirs.partition))?;
            // An exception's header of an older failure is taken out.
            let headers = source.headers.iter().copied();
            let headers = headers.filter(|header| header.key != b"kafka_dlt-exception-message").collect();
            let mut kept = source.clone();
            kept.headers = headers;
            came_back(Profile::Spring, &theirs, &kept)?;

            let mut ours = ours;
            ours.topic = self.topic("ottla");
            self.write([ProducerRecord::from(ours)]).await?;
            let place = |topic| format!("{}\t{}\t{}", self.topic(topic), source.topic, source.partition);
            let told = self.printed("letter", &place("failing-dlt"))?;
            equal("what Spring reads", self.printed("letter", &place("ottla"))?, told)?;
        }
        // Connect leaves the partition to the producer.
        for theirs in &connects {
            let theirs = FailedRecord::from(theirs);
            let origin = Origin::of(&theirs).ok_or("no dead letter")?;
            let source = sources.iter().find(|source| Ok(source.partition()) == origin.partition);
            let source = FailedRecord::from(source.ok_or("a source")?);
            let failure = self.failure(1, vec![ErrorText::new("no, ß").of_type(ILLEGAL_STATE)]);
            let connect = DeadLetters::to(self.topic("connect")).profile(Profile::Connect);
            let ours = connect.letter(&source, &failure, PARTITIONS as usize, Timestamp(0));
            same("Connect's dead letter", &ours, &theirs)?;
            equal("its timestamp", Some(ours.timestamp), theirs.timestamp)?;
            came_back(Profile::Connect, &theirs, &source)?;
        }
        equal("how many of Connect", connects.len(), 2)
    }

    /// A record that goes through Spring's retry topics: at each hop ours is made of what Spring made at the hop before.
    async fn hops_are_springs(&self) -> Outcome {
        let retried = self.topic("retried");
        let record =
            ProducerRecord::to(retried.as_str()).partition(0).key("key").value("value").header("own", "1");
        self.write([record.timestamp(self.written)]).await?;
        let mut hops = Vec::new();
        for name in ["retried", "retried-retry-100", "retried-retry-200", "retried-dlt"] {
            hops.extend(self.read(name, 1, 1).await?);
        }
        let letters = DeadLetters::new().profile(Profile::SpringRetry);
        let source = hops.first().map(FailedRecord::from).ok_or("no record")?;
        for (attempt, hop) in (1..).zip(hops.windows(2)) {
            let [from, theirs] = hop else { continue };
            let (from, theirs) = (FailedRecord::from(from), FailedRecord::from(theirs));
            let outer = ErrorText::new("Listener failed").of_type(LISTENER_FAILED);
            let inner = ErrorText::new("not yet").of_type(ILLEGAL_STATE);
            let mut failure = self.failure(attempt, vec![outer, inner]);
            failure.group = Some(retried.as_str().into());
            let delay = DELAYS.get(attempt as usize - 1);
            let due = Origin::of(&theirs).ok_or("no retry")?.due?;
            let ours = match delay {
                Some(delay) => {
                    let now = Timestamp(due.0 - delay.as_millis() as i64);
                    letters.retry(&from, &failure, *delay, 1, now)
                }
                None => letters.letter(&from, &failure, 1, due),
            };
            same(&format!("hop {attempt}"), &ours, &theirs)?;
            equal("its topic", ours.topic.as_str(), theirs.topic)?;
            let delays = RetryTopic::parse(theirs.topic).map(|topic| (topic.topic(), topic.delay()));
            equal("the topic's name", delays, delay.map(|delay| (retried.as_str(), *delay)))?;
            equal("its attempts", Origin::of(&theirs).ok_or("no retry")?.attempts, Ok(attempt))?;
            came_back(Profile::SpringRetry, &theirs, &source)?;
        }
        equal("how many hops", hops.len(), 4)
    }

    /// A record of which only we know, in a retry topic: Spring waits until it is due, and carries it on.
    async fn spring_takes_a_record_that_ottla_has_retry(&self) -> Outcome {
        let retried = self.topic("retried");
        let mut record = FailedRecord::new(&retried, 0, 1_000_007);
        record.timestamp = Some(self.written);
        record.value = Some(b"ours");
        record.headers = vec![Header { key: b"own", value: Some(b"1") }];
        let failure = self.failure(1, vec![ErrorText::new("once").of_type("ottla::Once")]);
        let [delay, _] = DELAYS;
        // Later than the name of the topic says: the header tells when.
        let now = Timestamp(Timestamp::from(std::time::SystemTime::now()).0 + 1_000);
        let letters = DeadLetters::new().profile(Profile::SpringRetry);
        let ours = letters.retry(&record, &failure, delay, 1, now);
        equal("its topic", ours.topic.as_str(), self.topic("retried-retry-100").as_str())?;
        let due = RetryTopic::new(&retried, delay).due(now);
        self.write([ProducerRecord::from(ours)]).await?;

        let place = format!("{}\t{retried}\t0\t{}", self.topic("retried-dlt"), record.offset);
        let told = self.printed("dead", &place)?;
        let written = self.written.0.to_string();
        equal(
            "what Spring reads",
            told,
            [&written, &self.named, "Listener failed; not yet"].map(str::to_owned).to_vec(),
        )?;
        let handed: Vec<String> = self.spring.lines();
        let begins = format!("retried\t{}\t00000002\t", self.topic("retried-retry-100"));
        let times = handed.iter().filter_map(|line| line.strip_prefix(&begins)?.parse().ok());
        let last: i64 = times.max().ok_or("not handed out")?;
        holds(&format!("handed out at {last}, due at {}", due.0), last >= due.0)?;

        let letters = self.read("retried-dlt", 1, 2).await?;
        let letter = letters.last().map(FailedRecord::from).ok_or("no letter")?;
        let origin = Origin::of(&letter).ok_or("no dead letter")?;
        equal("its attempts", origin.attempts, Ok(3))?;
        equal("its group", origin.group, Ok(self.named.as_str()))?;
        came_back(Profile::SpringRetry, &letter, &record)
    }

    fn failure<'a>(&'a self, attempts: u32, errors: Vec<ErrorText<'a>>) -> Failure<'a> {
        let mut failure = Failure::after(attempts).of_group(self.named.as_str());
        failure.errors = errors;
        failure
    }
}

/// The same key, value and headers in the same order; but the stack trace is Java's.
fn same(what: &str, ours: &DeadLetter<'_>, theirs: &FailedRecord<'_>) -> Outcome {
    equal(&format!("{what}: key and value"), (ours.key, ours.value), (theirs.key, theirs.value))?;
    let ours: Vec<_> = ours.headers.iter().map(|header| without_trace(header.borrowed())).collect();
    let theirs: Vec<_> = theirs.headers.iter().map(|header| without_trace(*header)).collect();
    equal(&format!("{what}: headers"), ours, theirs)
}

fn without_trace(header: Header<'_>) -> (String, Option<&[u8]>) {
    let is_trace = header.key.ends_with(b"stacktrace");
    (header.key_lossy().into_owned(), header.value.filter(|_| !is_trace))
}

/// That a letter is read as one of this profile, and gives this record back.
fn came_back(profile: Profile, letter: &FailedRecord<'_>, source: &FailedRecord<'_>) -> Outcome {
    let origin = Origin::of(letter).ok_or("no dead letter")?;
    equal("the profile", origin.profile, profile)?;
    equal("the record", origin.record(letter).as_ref(), Some(source))
}
