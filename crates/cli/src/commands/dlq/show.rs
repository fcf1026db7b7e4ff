//! `ottla dlq show`.

use std::fmt::Write as _;

use base64::prelude::{BASE64_STANDARD, Engine};
use ottla::{
    Record,
    dead_letters::{FailedRecord, Origin, Unreadable},
};
use serde_json::{Map, Value};

use super::letters::{Letters, Selection};
use crate::{
    args::Common,
    common::Clients,
    failure::Failure,
    output::{harmless, print},
};

/// How many bytes of a key, a value or a header people are shown.
const SHOWN: usize = 200;

pub(super) async fn run(
    letters: &str,
    count: Option<u64>,
    json: bool,
    common: &Common,
) -> Result<(), Failure> {
    let selection = Selection::parse(letters)?;
    let mut letters = Letters::open(&Clients::new(common)?, &selection, None).await?;
    let mut left = count.unwrap_or(u64::MAX);
    'all: while let Some(records) = letters.next().await? {
        for record in records.iter().filter(|record| letters.has(record)) {
            if left == 0 {
                break 'all;
            }
            left -= 1;
            let letter = FailedRecord::from(&record);
            let origin = Origin::of(&letter);
            print(&match json {
                true => format!("{}\n", object(&record, &letter, origin.as_ref())),
                false => text(&record, &letter, origin.as_ref()),
            })?;
        }
    }
    letters.close().await;
    Ok(())
}

/// One object. What is not known is null; bytes that are no text are in base64, and `base64` names them.
fn object(record: &Record<'_>, letter: &FailedRecord<'_>, origin: Option<&Origin<'_>>) -> Value {
    let mut base64 = Vec::new();
    let mut bytes =
        |name: String, bytes: Option<&[u8]>| match bytes.map(|bytes| (std::str::from_utf8(bytes), bytes)) {
            None => Value::Null,
            Some((Ok(text), _)) => text.into(),
            Some((Err(_), bytes)) => {
                base64.push(name);
                BASE64_STANDARD.encode(bytes).into()
            }
        };
    let mut object = Map::new();
    let mut set = |name: &str, value: Value| drop(object.insert(name.to_owned(), value));
    set("topic", record.topic().into());
    set("partition", record.partition().into());
    set("offset", record.offset().into());
    set("ts", record.timestamp().map(|time| time.0).into());
    set("profile", origin.map(|origin| format!("{:?}", origin.profile).to_lowercase()).into());
    set("origin_topic", known(origin, |origin| origin.topic));
    set("origin_partition", known(origin, |origin| origin.partition));
    set("origin_offset", known(origin, |origin| origin.offset));
    set("origin_ts", known(origin, |origin| origin.timestamp.map(|time| time.0)));
    set("group", known(origin, |origin| origin.group));
    set("attempts", known(origin, |origin| origin.attempts));
    set("message", known(origin, |origin| origin.message.clone()));
    set("error_type", known(origin, |origin| origin.error_type.clone()));
    set("cause_type", known(origin, |origin| origin.cause_type.clone()));
    set("trace", known(origin, |origin| origin.trace.clone()));
    let headers = origin.map_or(&letter.headers, |origin| &origin.own_headers);
    let headers = headers.iter().flat_map(|header| [Some(header.key), header.value]);
    let headers = headers.enumerate().map(|(place, part)| bytes(format!("headers/{place}"), part));
    set("headers", headers.collect());
    set("key", bytes("key".to_owned(), letter.key));
    set("payload", bytes("payload".to_owned(), letter.value));
    if !base64.is_empty() {
        object.insert("base64".to_owned(), base64.into());
    }
    Value::Object(object)
}

fn known<'a, T: Into<Value>>(
    origin: Option<&Origin<'a>>,
    field: impl Fn(&Origin<'a>) -> Result<T, Unreadable>,
) -> Value {
    origin.and_then(|origin| field(origin).ok()).map_or(Value::Null, Into::into)
}

/// For people: a line what it is, and what is known of it below.
fn text(record: &Record<'_>, letter: &FailedRecord<'_>, origin: Option<&Origin<'_>>) -> String {
    let mut text = format!("{} offset {}\n", record.topic_partition(), record.offset());
    let mut line = |name: &str, what: &str| {
        let mut lines = what.lines();
        // Into memory: this cannot fail.
        let _ = writeln!(text, "  {name:<9} {}", lines.next().unwrap_or_default());
        for more in lines {
            let _ = writeln!(text, "  {:<9} {more}", "");
        }
    };
    match origin {
        None => line("from", "not told: no dead letter"),
        Some(origin) => {
            let told = |known: Result<String, Unreadable>| known.unwrap_or_else(|why| format!("({why})"));
            let topic = told(origin.topic.map(ToOwned::to_owned));
            let partition = told(origin.partition.map(|it| it.to_string()));
            let offset = told(origin.offset.map(|it| it.to_string()));
            line("from", &format!("{topic}-{partition} offset {offset}"));
            line("group", &told(origin.group.map(ToOwned::to_owned)));
            line("attempts", &told(origin.attempts.map(|it| it.to_string())));
            line("error", &told(origin.message.clone().map(|it| it.into_owned())));
            if let Ok(error_type) = &origin.error_type {
                line("type", error_type);
            }
            if let Ok(trace) = &origin.trace {
                line("trace", trace);
            }
        }
    }
    for header in origin.map_or(&letter.headers, |origin| &origin.own_headers) {
        line("header", &format!("{}={}", shown(Some(header.key)), shown(header.value)));
    }
    line("key", &shown(letter.key));
    line("value", &shown(letter.value));
    text
}

/// As much of it as fits, on one line.
fn shown(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else { return "null".to_owned() };
    let shown = bytes.get(..SHOWN).unwrap_or(bytes);
    let text = String::from_utf8_lossy(shown);
    let text = harmless(&text);
    match bytes.len() - shown.len() {
        0 => text.into_owned(),
        more => format!("{text}… ({more} more bytes)"),
    }
}
