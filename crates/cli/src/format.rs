//! How a record is printed: kcat's `-f` and `-J`.

use std::io::Write;

use base64::prelude::{BASE64_STANDARD, Engine};
use ottla::{Record, TimestampType};

use crate::{escapes::escaped, failure::Failure};

/// How records are printed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// The value and a line feed.
    Value,
    Pieces(Vec<Piece>),
    Json,
}

/// A part of a `-f` format.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(Vec<u8>),
    Topic,
    Partition,
    Offset,
    Key,
    KeyLength,
    Value,
    ValueLength,
    Timestamp,
    Headers,
}

impl Format {
    /// Reads what `-f` was given.
    pub(crate) fn parse(format: &str) -> Result<Self, Failure> {
        let wrong = |what: &str, why: &str| Failure::usage(format!("-f: `{what}` {why}"));
        let mut pieces = Vec::new();
        let mut text = Vec::new();
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            let piece = match c {
                '\\' => {
                    text.push(escaped("-f", &mut chars)?);
                    continue;
                }
                '%' => match chars.next() {
                    Some('%') => {
                        text.push(b'%');
                        continue;
                    }
                    Some('t') => Piece::Topic,
                    Some('p') => Piece::Partition,
                    Some('o') => Piece::Offset,
                    Some('k') => Piece::Key,
                    Some('K') => Piece::KeyLength,
                    Some('s') => Piece::Value,
                    Some('S') => Piece::ValueLength,
                    Some('T') => Piece::Timestamp,
                    Some('h') => Piece::Headers,
                    Some(other) => {
                        return Err(wrong(
                            &format!("%{other}"),
                            "is no field; %t %p %o %k %s %T %h %K %S %%",
                        ));
                    }
                    None => return Err(wrong("%", "stands at the end; write %%")),
                },
                other => {
                    text.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes());
                    continue;
                }
            };
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            pieces.push(piece);
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        Ok(Self::Pieces(pieces))
    }

    /// Prints a record to memory.
    #[inline]
    pub(crate) fn write(&self, record: &Record<'_>, to: &mut Vec<u8>) {
        match self {
            Self::Value => {
                to.extend_from_slice(record.value().unwrap_or_default());
                to.push(b'\n');
            }
            Self::Pieces(pieces) => pieces.iter().for_each(|piece| piece.write(record, to)),
            Self::Json => write_json(record, to),
        }
    }
}

impl Piece {
    fn write(&self, record: &Record<'_>, to: &mut Vec<u8>) {
        match self {
            Self::Text(text) => to.extend_from_slice(text),
            Self::Topic => to.extend_from_slice(record.topic().as_bytes()),
            Self::Partition => number(record.partition().into(), to),
            Self::Offset => number(record.offset(), to),
            Self::Key => to.extend_from_slice(record.key().unwrap_or_default()),
            Self::KeyLength => number(length(record.key()), to),
            Self::Value => to.extend_from_slice(record.value().unwrap_or_default()),
            Self::ValueLength => number(length(record.value()), to),
            Self::Timestamp => number(millis(record), to),
            Self::Headers => {
                for (index, header) in record.headers().filter_map(Result::ok).enumerate() {
                    if index > 0 {
                        to.push(b',');
                    }
                    to.extend_from_slice(header.key);
                    to.push(b'=');
                    to.extend_from_slice(header.value.unwrap_or(b"NULL"));
                }
            }
        }
    }
}

fn length(bytes: Option<&[u8]>) -> i64 {
    bytes.map_or(-1, |bytes| bytes.len() as i64)
}

/// Its timestamp, as kcat prints it: -1 where it has none.
fn millis(record: &Record<'_>) -> i64 {
    record.timestamp().map_or(-1, |time| time.0)
}

fn number(number: i64, to: &mut Vec<u8>) {
    // Into memory: this cannot fail.
    let _ = write!(to, "{number}");
}

/// kcat's envelope. Headers are names and values in turn, as a name may stand twice.
///
/// JSON is text: bytes that are none are in base64, and the key `base64` names where, as in
/// `["key", "payload", "headers/3"]`.
fn write_json(record: &Record<'_>, to: &mut Vec<u8>) {
    let mut envelope = Envelope { to, base64: Vec::new() };
    envelope.raw("{\"topic\":");
    envelope.value("topic", Some(record.topic().as_bytes()));
    let tstype = match record.timestamp_type() {
        _ if record.timestamp().is_none() => "unknown",
        TimestampType::CreateTime => "create",
        TimestampType::LogAppendTime => "logappend",
        _ => "unknown",
    };
    let _ = write!(
        envelope.to,
        ",\"partition\":{},\"offset\":{},\"tstype\":\"{tstype}\",\"ts\":{},\"broker\":{}",
        record.partition(),
        record.offset(),
        millis(record),
        record.broker().0
    );
    for (index, header) in record.headers().filter_map(Result::ok).enumerate() {
        envelope.raw(if index == 0 { ",\"headers\":[" } else { "," });
        envelope.value(&format!("headers/{}", 2 * index), Some(header.key));
        envelope.raw(",");
        envelope.value(&format!("headers/{}", 2 * index + 1), header.value);
    }
    if record.headers().any(|header| header.is_ok()) {
        envelope.raw("]");
    }
    for (name, bytes) in [("key", record.key()), ("payload", record.value())] {
        let _ = write!(envelope.to, ",\"{name}\":");
        envelope.value(name, bytes);
    }
    envelope.end();
}

/// A JSON object that is being written.
struct Envelope<'a> {
    to: &'a mut Vec<u8>,
    /// Which values are in base64.
    base64: Vec<String>,
}

impl Envelope<'_> {
    fn raw(&mut self, text: &str) {
        self.to.extend_from_slice(text.as_bytes());
    }

    fn value(&mut self, name: &str, bytes: Option<&[u8]>) {
        // Into memory: this cannot fail.
        let _ = match bytes.map(|bytes| (std::str::from_utf8(bytes), bytes)) {
            None => serde_json::to_writer(&mut *self.to, &()),
            Some((Ok(text), _)) => serde_json::to_writer(&mut *self.to, text),
            Some((Err(_), bytes)) => {
                self.base64.push(name.to_owned());
                serde_json::to_writer(&mut *self.to, &BASE64_STANDARD.encode(bytes))
            }
        };
    }

    fn end(self) {
        if !self.base64.is_empty() {
            self.to.extend_from_slice(b",\"base64\":");
            let _ = serde_json::to_writer(&mut *self.to, &self.base64);
        }
        self.to.extend_from_slice(b"}\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(format: &str) -> Vec<Piece> {
        match Format::parse(format).unwrap() {
            Format::Pieces(pieces) => pieces,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_format_is_fields_and_text_between_them() {
        use Piece::{Headers, Key, KeyLength, Offset, Partition, Text, Timestamp, Topic, Value, ValueLength};
        let text = |text: &str| Text(text.into());
        assert_eq!(
            pieces("%t[%p]@%o: %k=%s\\n"),
            [Topic, text("["), Partition, text("]@"), Offset, text(": "), Key, text("="), Value, text("\n")]
        );
        assert_eq!(pieces("%T%h%K%S"), [Timestamp, Headers, KeyLength, ValueLength]);
    }

    #[test]
    fn escapes_are_kcats() {
        assert_eq!(pieces(r"\n\r\t\\\x41\x0a%%é"), [Piece::Text("\n\r\t\\A\n%é".into())]);
        assert_eq!(pieces(""), []);
    }

    #[test]
    fn what_is_no_field_and_no_escape_is_refused() {
        for wrong in ["%z", "%", "\\", "\\q", "\\x4", "\\xgg", "\\x+1"] {
            assert!(Format::parse(wrong).is_err(), "{wrong}");
        }
    }
}
