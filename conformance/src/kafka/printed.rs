//! What Kafka's tools print, read back.

use std::collections::BTreeMap;

/// What the console consumer is told to print for null: no test's key or value.
pub(super) const NULL: &str = "\u{2400}";

/// A record that the console consumer printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumed {
    /// Its time: the producer's, or the broker's for a topic of `LogAppendTime`.
    pub timestamp: Option<i64>,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its key.
    pub key: Option<String>,
    /// Its value.
    pub value: Option<String>,
}

impl Consumed {
    /// The records in what a console consumer printed; a line of another form is skipped.
    pub fn parse(printed: &str) -> Vec<Self> {
        printed.lines().filter_map(Self::parse_line).collect()
    }

    /// Such as `CreateTime:1700000000000`, `Partition:0`, `Offset:7`, key and value, with tabs between.
    fn parse_line(line: &str) -> Option<Self> {
        let mut parts = line.splitn(5, '\t');
        let timestamp = parts.next()?.split_once("Time:").and_then(|(_, time)| time.parse().ok());
        let partition = parts.next()?.strip_prefix("Partition:")?.parse().ok()?;
        let offset = parts.next()?.strip_prefix("Offset:")?.parse().ok()?;
        let mut text = || parts.next().map(|text| (text != NULL).then(|| text.to_owned()));
        Some(Self { timestamp, partition, offset, key: text()?, value: text()? })
    }
}

/// A partition in `TopicCommand --describe`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionRow {
    /// Its number.
    pub partition: i32,
    /// Its leader, if it has one.
    pub leader: Option<i32>,
    /// The nodes that hold it.
    pub replicas: Vec<i32>,
    /// Those of them that are in sync.
    pub in_sync: Vec<i32>,
}

impl PartitionRow {
    pub(super) fn parse(line: &str) -> Option<Self> {
        let fields: BTreeMap<&str, &str> =
            line.split('\t').filter_map(|field| field.trim().split_once(": ")).collect();
        let nodes = |name| {
            let list: &str = fields.get(name)?;
            Some(list.split(',').filter_map(|node| node.trim().parse().ok()).collect())
        };
        Some(Self {
            partition: fields.get("Partition")?.trim().parse().ok()?,
            leader: fields.get("Leader")?.trim().parse().ok(),
            replicas: nodes("Replicas")?,
            in_sync: nodes("Isr")?,
        })
    }
}

/// A partition in `ConsumerGroupCommand --describe`; what it shows as `-` is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRow {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The committed offset.
    pub committed: Option<i64>,
    /// The end of the partition.
    pub end: Option<i64>,
    /// The difference.
    pub lag: Option<i64>,
    /// The member that owns it.
    pub member: Option<String>,
    /// Where that member is.
    pub host: Option<String>,
    /// What it calls itself.
    pub client: Option<String>,
}

impl GroupRow {
    pub(super) fn parse(printed: &str) -> Vec<Self> {
        let mut lines = printed.lines().skip_while(|line| !line.starts_with("GROUP"));
        let Some(header) = lines.next() else { return Vec::new() };
        let columns: Vec<&str> = header.split_whitespace().collect();
        let row = |line: &str| {
            let cells: BTreeMap<&str, &str> = columns.iter().copied().zip(line.split_whitespace()).collect();
            let text = |name| cells.get(name).filter(|cell| **cell != "-").map(|cell| (*cell).to_owned());
            let number = |name| text(name).and_then(|cell| cell.parse().ok());
            Some(Self {
                topic: text("TOPIC")?,
                partition: text("PARTITION")?.parse().ok()?,
                committed: number("CURRENT-OFFSET"),
                end: number("LOG-END-OFFSET"),
                lag: number("LAG"),
                member: text("CONSUMER-ID"),
                host: text("HOST"),
                client: text("CLIENT-ID"),
            })
        };
        lines.filter_map(row).collect()
    }
}
