//! The headers of Spring Kafka, as 4.1.2 writes them: texts, numbers of four or eight bytes, and two times of as few bytes as they
//! need. There are two sets of names: of its dead letters, and of its retry topics with the dead letters behind them.

use std::borrow::Cow;

use super::{
    DeadLetterHeader, FailedRecord, Writing,
    encoding::{from_minimal, int, minimal, text, timestamp_type, utf8},
};

/// The names of one set. Those of a key's exception stand there instead where the key, and not the value, did not
/// deserialize: they are read, and never written.
pub(super) struct Names {
    pub(super) exception: &'static str,
    pub(super) cause: &'static str,
    pub(super) message: &'static str,
    pub(super) stacktrace: &'static str,
    pub(super) key_exception: &'static str,
    pub(super) key_message: &'static str,
    pub(super) key_stacktrace: &'static str,
    pub(super) topic: &'static str,
    pub(super) partition: &'static str,
    pub(super) offset: &'static str,
    pub(super) timestamp: &'static str,
    pub(super) timestamp_type: &'static str,
}

pub(super) const DEAD_LETTERS: Names = Names {
    exception: "kafka_dlt-exception-fqcn",
    cause: "kafka_dlt-exception-cause-fqcn",
    message: "kafka_dlt-exception-message",
    stacktrace: "kafka_dlt-exception-stacktrace",
    key_exception: "kafka_dlt-key-exception-fqcn",
    key_message: "kafka_dlt-key-exception-message",
    key_stacktrace: "kafka_dlt-key-exception-stacktrace",
    topic: "kafka_dlt-original-topic",
    partition: "kafka_dlt-original-partition",
    offset: "kafka_dlt-original-offset",
    timestamp: "kafka_dlt-original-timestamp",
    timestamp_type: "kafka_dlt-original-timestamp-type",
};

pub(super) const RETRY_TOPICS: Names = Names {
    exception: "kafka_exception-fqcn",
    cause: "kafka_exception-cause-fqcn",
    message: "kafka_exception-message",
    stacktrace: "kafka_exception-stacktrace",
    key_exception: "kafka_key-exception-fqcn",
    key_message: "kafka_key-exception-message",
    key_stacktrace: "kafka_key-exception-stacktrace",
    topic: "kafka_original-topic",
    partition: "kafka_original-partition",
    offset: "kafka_original-offset",
    timestamp: "kafka_original-timestamp",
    timestamp_type: "kafka_original-timestamp-type",
};

/// In both sets.
pub(super) const GROUP: &str = "kafka_dlt-original-consumer-group";
/// Four bytes: which attempt this was. A container of Spring's writes it where it is told to.
pub(super) const DELIVERY_ATTEMPT: &str = "kafka_deliveryAttempt";
/// As few bytes as it needs: the timestamp of the record in its first topic.
pub(super) const ORIGINAL_TIMESTAMP: &str = "retry_topic-original-timestamp";
/// Four bytes: which attempt the next one is.
pub(super) const ATTEMPTS: &str = "retry_topic-attempts";
/// As few bytes as it needs: when that attempt is due.
pub(super) const BACKOFF_TIMESTAMP: &str = "retry_topic-backoff-timestamp";

/// What each hop between retry topics adds again.
pub(super) const RETRY_NAMES: [&str; 3] = [ORIGINAL_TIMESTAMP, ATTEMPTS, BACKOFF_TIMESTAMP];

impl Names {
    /// Those that are in this set alone.
    pub(super) const fn own(&self) -> [&'static str; 12] {
        [
            self.exception,
            self.cause,
            self.message,
            self.stacktrace,
            self.key_exception,
            self.key_message,
            self.key_stacktrace,
            self.topic,
            self.partition,
            self.offset,
            self.timestamp,
            self.timestamp_type,
        ]
    }
}

pub(super) fn write(headers: &mut Vec<DeadLetterHeader<'_>>, writing: &Writing<'_, '_>) {
    headers.push(DeadLetterHeader::new(DELIVERY_ATTEMPT, writing.failure.attempts.to_be_bytes()));
    write_error(headers, writing, &DEAD_LETTERS);
    for (name, value) in origin(writing, &DEAD_LETTERS) {
        headers.push(DeadLetterHeader::new(name, value));
    }
}

pub(super) fn write_retry(headers: &mut Vec<DeadLetterHeader<'_>>, writing: &Writing<'_, '_>) {
    let Writing { record, failure, due } = *writing;
    write_error(headers, writing, &RETRY_TOPICS);
    // The first topic's stay.
    for (name, value) in origin(writing, &RETRY_TOPICS) {
        if !headers.iter().any(|header| header.key == name.as_bytes()) {
            headers.push(DeadLetterHeader::new(name, value));
        }
    }
    let told = record.last(ORIGINAL_TIMESTAMP).filter(|bytes| from_minimal(bytes).is_ok());
    let original = told.map_or_else(|| minimal(millis(record)), <[u8]>::to_vec);
    let next = failure.attempts.saturating_add(1);
    headers.push(DeadLetterHeader::new(ORIGINAL_TIMESTAMP, original));
    headers.push(DeadLetterHeader::new(ATTEMPTS, next.to_be_bytes()));
    headers.push(DeadLetterHeader::new(BACKOFF_TIMESTAMP, minimal(due.0)));
}

/// The topic that a record of a retry topic was read from at first.
pub(super) fn first_topic<'a>(record: &FailedRecord<'a>) -> Option<&'a str> {
    utf8(record.last(RETRY_TOPICS.topic)?).ok()
}

/// The number of an attempt, of four bytes, or of one as older versions had it.
pub(super) fn attempt(bytes: &[u8]) -> Result<u32, super::Unreadable> {
    match bytes {
        [attempt] => Ok(u32::from(*attempt)),
        _ => u32::try_from(int(bytes)?).map_err(|_| super::Unreadable::OutOfRange),
    }
}

/// The last failure alone is told: those of this set that are there are taken out.
fn write_error(headers: &mut Vec<DeadLetterHeader<'_>>, writing: &Writing<'_, '_>, names: &Names) {
    let failure = writing.failure;
    let (Some(first), Some(root)) = (failure.errors.first(), failure.errors.last()) else { return };
    let message = match failure.errors.len() {
        1 => Cow::Borrowed(&*first.message),
        _ => format!("{}; {}", first.message, root.message).into(),
    };
    let told = [
        (names.exception, first.type_name.clone()),
        (names.cause, root.type_name.clone()),
        (names.message, Some(message)),
        (names.stacktrace, Some(failure.trace().into())),
    ];
    for (name, value) in told {
        headers.retain(|header| header.key != name.as_bytes());
        headers.extend(value.map(|value| DeadLetterHeader::new(name, text(&value))));
    }
}

fn origin(writing: &Writing<'_, '_>, names: &Names) -> Vec<(&'static str, Vec<u8>)> {
    let Writing { record, failure, .. } = *writing;
    let means = timestamp_type(record.timestamp, record.timestamp_type);
    let mut origin = vec![
        (names.topic, record.topic.into()),
        (names.partition, record.partition.to_be_bytes().into()),
        (names.offset, record.offset.to_be_bytes().into()),
        (names.timestamp, millis(record).to_be_bytes().into()),
        (names.timestamp_type, means.into()),
    ];
    origin.extend(failure.group.as_ref().map(|group| (GROUP, group.as_bytes().to_vec())));
    origin
}

/// As Java has it, where -1 is none.
fn millis(record: &FailedRecord<'_>) -> i64 {
    record.timestamp.map_or(-1, |timestamp| timestamp.0)
}
