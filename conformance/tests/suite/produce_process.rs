//! `ottla produce`, as Java sees what it wrote.

use std::collections::{BTreeMap, BTreeSet};

use ottla_conformance::kafka::Consume;
use ottla_conformance::targets::Target;

use crate::cases::{Case, Outcome};
use crate::cli::{feed, ottla};
use crate::kit::{self, equal, topic, wait};

const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::kafka("the_console_consumer_reads_what_ottla_produce_wrote", java_reads),
        Case::kafka("keys_land_on_the_partitions_that_java_picks", partitions_of_keys),
    ]
}

fn java_reads(target: &Target) -> Outcome {
    const RECORDS: usize = 2000;
    let topic = wait(topic(target, "produced", 3))?;
    let mut written = BTreeSet::new();
    for codec in CODECS {
        let records = (0..RECORDS).map(|n| (format!("key {n}"), format!("{codec} value {n}")));
        let records: Vec<_> = records.collect();
        let lines: Vec<String> = records.iter().map(|(key, value)| format!("{key}::{value}")).collect();
        feed(&ottla(target, &["produce", &topic, "-K", "::", "-z", codec, "-H", "codec=it"])?, &lines)?;
        written.extend(records);
    }
    let consumed = target.tools()?.console_consume(&Consume::all(&topic).messages(RECORDS * CODECS.len()))?;
    equal("records", consumed.len(), RECORDS * CODECS.len())?;
    let read: BTreeSet<_> =
        consumed.into_iter().filter_map(|record| Some((record.key?, record.value?))).collect();
    equal("the same records", read == written, true)
}

fn partitions_of_keys(target: &Target) -> Outcome {
    let (javas, ours) = (wait(topic(target, "keys-java", 12))?, wait(topic(target, "keys-ottla", 12))?);
    // Of all lengths modulo 4, by which the hash reads them; some beyond ASCII.
    let keys: Vec<String> =
        (0..1000).map(|n| format!("{}-{n}", ["key", "k", "schlüssel", "鍵"][n % 4])).collect();
    let picked = target.tools()?.partitions_of_keys(&javas, &keys)?;
    equal("keys", picked.len(), keys.len())?;
    let lines: Vec<String> = keys.iter().map(|key| format!("{key}\tvalue")).collect();
    feed(&ottla(target, &["produce", &ours, "-K", "\t"])?, &lines)?;
    let records = wait(async {
        let mut consumer = kit::consumer(target).build().await?;
        consumer.assign((0..12).map(|partition| (ours.as_str(), partition)))?;
        kit::take(&mut consumer, keys.len()).await
    })?;
    let partition = |record: &ottla::OwnedRecord| {
        (String::from_utf8_lossy(record.key().unwrap_or_default()).into_owned(), record.partition())
    };
    equal("partitions", records.iter().map(partition).collect::<BTreeMap<_, _>>(), picked)
}
