//! Fills topics with Java's `ProducerPerformance`, which is to say: with the batches that Java's producer makes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ottla::ProducerRecord;
use ottla_bench_child::Values;
use ottla_conformance::kafka::Tools;

use crate::topics::Topics;

const PERFORMANCE: &str = "org.apache.kafka.tools.ProducerPerformance";
/// A run of the tool, so that none takes minutes.
const RECORDS_A_RUN: u64 = 2_500_000;
/// All payloads together: the tool holds them in memory, and picks one at random for each record.
const PAYLOADS: usize = 4_000_000;

/// What a topic is to hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load<'a> {
    pub(crate) partitions: u32,
    pub(crate) records: u64,
    pub(crate) size: usize,
    pub(crate) codec: &'a str,
    /// Further properties of the producer; by default it makes batches of 16 KiB.
    pub(crate) producer: &'a [&'a str],
}

/// Creates a topic and fills it.
pub(crate) fn fill(tools: &Tools, topic: &str, load: Load<'_>) -> Result<()> {
    eprintln!("loading {topic}: {} records of {} bytes, {}", load.records, load.size, load.codec);
    tools.create_topic(topic, load.partitions, 1, &[])?;
    let file = Payloads::write(load.size)?;
    let mut left = load.records;
    while left > 0 {
        let records = left.min(RECORDS_A_RUN);
        let mut args: Vec<String> = vec!["--topic".into(), topic.into(), "--throughput".into(), "-1".into()];
        args.extend(["--num-records".into(), records.to_string(), "--payload-file".into()]);
        args.push(file.path().to_str().context("a path that is not text")?.to_owned());
        args.extend(["--command-property".into(), format!("compression.type={}", load.codec)]);
        args.extend(load.producer.iter().map(|property| (*property).to_owned()));
        tools.run(PERFORMANCE, &args)?;
        left -= records;
    }
    Ok(())
}

/// Creates a topic and fills it with records of this size that have keys, as many in each partition as in the others: what is
/// handled partition by partition would else wait for the longest one. A key is one of about 100,000, and always in one partition.
pub(crate) fn fill_with_keys(
    topics: &Topics,
    topic: &str,
    partitions: u32,
    records: u64,
    size: usize,
) -> Result<()> {
    const KEYS: u64 = 100_000;
    eprintln!("loading {topic}: {records} records of {size} bytes with keys");
    topics.create(topic, partitions)?;
    let file = Payloads::write(size)?;
    let values = Values::read(file.path())?;
    let (partitions, mut random) = (u64::from(partitions), fastrand::Rng::with_seed(records));
    topics.fill(values.cycle(records).zip(0..).map(|(value, number)| {
        let partition = number % partitions;
        let key = random.u64(..KEYS / partitions) * partitions + partition;
        ProducerRecord::to(topic)
            .partition(partition as i32)
            .key(format!("{key:06}").into_bytes())
            .value(value)
    }))
}

/// A file of payloads, one a line, gone when dropped.
pub(crate) struct Payloads(PathBuf);

impl Payloads {
    pub(crate) fn write(size: usize) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("ottla-bench-{}-{size}", std::process::id()));
        let mut random = fastrand::Rng::with_seed(size as u64);
        let lines: Vec<String> =
            (0..(PAYLOADS / size).min(10_000)).map(|_| line(size, &mut random)).collect();
        fs::write(&path, lines.join("\n"))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Payloads {
    fn drop(&mut self) {
        // Left behind in a folder for temporary files, it harms nobody.
        let _ = fs::remove_file(&self.0);
    }
}

/// Such as a service would log: keys that repeat, numbers and words that vary.
fn line(size: usize, random: &mut fastrand::Rng) -> String {
    const WORDS: [&str; 12] = [
        "order",
        "customer",
        "accepted",
        "payment",
        "refused",
        "warehouse",
        "parcel",
        "shipped",
        "invoice",
        "returned",
        "discount",
        "country",
    ];
    let mut line = format!("{{\"id\":\"{:016x}\"", random.u64(..));
    while line.len() < size {
        let (key, value) = (random.choice(WORDS), random.choice(WORDS));
        let (key, value) = (key.unwrap_or_default(), value.unwrap_or_default());
        line.push_str(&format!(",\"{key}\":\"{value}-{}\"", random.u32(..100_000_000)));
    }
    line.truncate(size.saturating_sub(1));
    line.push('}');
    line
}
