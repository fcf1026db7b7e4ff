mod reading;
mod retry_topics;
mod round_trips;
mod writing;

use ottla_protocol::{Timestamp, records::Header};

use super::{DeadLetter, ErrorText, FailedRecord, Failure};

/// When the records of these tests were written, and when they are given up.
const WRITTEN: Timestamp = Timestamp(1_700_000_000_000);
const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn header<'a>(key: &'a str, value: &'a [u8]) -> Header<'a> {
    Header { key: key.as_bytes(), value: Some(value) }
}

/// The record that was observed: offset 7 of partition 2 of `orders`.
fn failed<'a>(headers: &[Header<'a>]) -> FailedRecord<'a> {
    FailedRecord {
        timestamp: Some(WRITTEN),
        key: Some(b"key"),
        value: Some(b"value"),
        headers: headers.to_vec(),
        ..FailedRecord::new("orders", 2, 7)
    }
}

/// As a handler under Spring fails: its exception within the listener's.
fn failure() -> Failure<'static> {
    let outer = ErrorText::new("Listener failed")
        .of_type("org.springframework.kafka.listener.ListenerExecutionFailedException");
    let inner = ErrorText::new("boom").of_type("java.lang.IllegalStateException");
    Failure { errors: vec![outer, inner], ..Failure::after(3).of_group("billing") }
}

/// The headers of a letter, names as text.
fn told<'l>(letter: &'l DeadLetter<'_>) -> Vec<(&'l str, &'l [u8])> {
    let headers = letter.headers.iter().map(super::DeadLetterHeader::borrowed);
    headers.map(|header| (std::str::from_utf8(header.key).unwrap(), header.value.unwrap())).collect()
}

/// The letter, as a consumer reads it from its topic.
fn consumed<'l>(letter: &'l DeadLetter<'_>) -> FailedRecord<'l> {
    FailedRecord {
        timestamp: Some(letter.timestamp),
        key: letter.key,
        value: letter.value,
        headers: letter.headers.iter().map(super::DeadLetterHeader::borrowed).collect(),
        ..FailedRecord::new(&letter.topic, letter.partition.unwrap_or_default(), 0)
    }
}
