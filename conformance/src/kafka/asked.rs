//! What Kafka's tools are asked for, and the arguments that say so.

use std::time::Duration;

use super::printed::NULL;

/// What `ProducerPerformance` is to write: by default 100 bytes a record, no codec, as fast as it can.
#[derive(Debug, Clone)]
pub struct Load {
    pub(super) topic: String,
    pub(super) records: usize,
    pub(super) size: usize,
    pub(super) codec: String,
    pub(super) per_second: Option<u32>,
    pub(super) properties: Vec<(String, String)>,
}

impl Load {
    /// So many records.
    pub fn new(topic: &str, records: usize) -> Self {
        let (size, codec) = (100, "none".to_owned());
        Self { topic: topic.to_owned(), records, size, codec, per_second: None, properties: Vec::new() }
    }

    /// The size of a record's value in bytes.
    pub fn size(mut self, bytes: usize) -> Self {
        self.size = bytes;
        self
    }

    /// `none`, `gzip`, `snappy`, `lz4` or `zstd`.
    pub fn codec(mut self, codec: &str) -> Self {
        self.codec = codec.to_owned();
        self
    }

    /// At most so many records a second.
    pub fn per_second(mut self, records: u32) -> Self {
        self.per_second = Some(records);
        self
    }

    /// A property of the Java producer.
    pub fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.properties.push((key.to_owned(), value.to_string()));
        self
    }
}

/// What a console consumer is to read.
#[derive(Debug, Clone)]
pub struct Consume {
    args: Vec<String>,
    idle: Option<Duration>,
}

impl Consume {
    /// All of a topic, from its beginning, by a group that nobody else uses.
    pub fn all(topic: &str) -> Self {
        Self::with(&["--topic", topic, "--from-beginning"])
    }

    /// As a member of a group, from its committed offsets, or the beginning.
    pub fn group(topic: &str, group: &str) -> Self {
        Self::with(&["--topic", topic, "--from-beginning", "--group", group])
    }

    /// One partition from an offset on, without a group.
    pub fn at(topic: &str, partition: i32, offset: i64) -> Self {
        let (partition, offset) = (partition.to_string(), offset.to_string());
        Self::with(&["--topic", topic, "--partition", &partition, "--offset", &offset])
    }

    fn with(args: &[&str]) -> Self {
        Self { args: strings(args), idle: Some(Duration::from_secs(15)) }
    }

    /// Ends after so many records.
    pub fn messages(mut self, count: usize) -> Self {
        self.args.extend(["--max-messages".to_owned(), count.to_string()]);
        self
    }

    /// Ends when no record has come for so long; 15 s by default.
    pub fn idle(mut self, limit: Duration) -> Self {
        self.idle = Some(limit);
        self
    }

    /// Goes on until it is stopped.
    pub fn forever(mut self) -> Self {
        self.idle = None;
        self
    }

    /// Reads no further than the last stable offset, and nothing of what was aborted.
    #[must_use]
    pub fn committed(mut self) -> Self {
        self.args.extend(strings(&["--isolation-level", "read_committed"]));
        self
    }

    /// A property of the Java consumer.
    pub fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.args.extend(["--command-property".to_owned(), format!("{key}={}", value.to_string())]);
        self
    }

    pub(super) fn args(&self) -> Vec<String> {
        let mut args = self.args.clone();
        if let Some(idle) = self.idle {
            args.extend(["--timeout-ms".to_owned(), idle.as_millis().to_string()]);
        }
        let printed = ["print.timestamp", "print.partition", "print.offset", "print.key"];
        args.extend(properties("--formatter-property", &printed.map(|setting| (setting, "true"))));
        args.extend(properties("--formatter-property", &[("null.literal", NULL)]));
        args
    }
}

pub(super) fn strings(args: &[&str]) -> Vec<String> {
    args.iter().map(|arg| (*arg).to_owned()).collect()
}

/// `OPTION key=value` for each.
pub(super) fn properties<'a>(
    option: &'a str,
    settings: &'a [(&str, &str)],
) -> impl Iterator<Item = String> + 'a {
    settings.iter().flat_map(move |(key, value)| [option.to_owned(), format!("{key}={value}")])
}
