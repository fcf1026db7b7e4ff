//! How a record is printed: kcat's `-f` and `-J`.

use std::io::Write;

use ottla::{Record, TimestampType};

use crate::failure::Failure;

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
                    text.push(match chars.next() {
                        Some('n') => b'\n',
                        Some('r') => b'\r',
                        Some('t') => b'\t',
                        Some('0') => 0,
                        Some(same @ ('\\' | '%' | '"' | '\'')) => same as u8,
                        Some('x') => {
                            let digits = chars.as_str().get(..2).unwrap_or_default();
                            let is_hex =
                                digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                            let byte = u8::from_str_radix(digits, 16).ok().filter(|_| is_hex);
                            chars.nth(1);
                            byte.ok_or_else(|| wrong("\\x", "is followed by two hexadecimal digits"))?
                        }
                        Some(other) => {
                            return Err(wrong(&format!("\\{other}"), "is no escape; \\n \\r \\t \\\\ \\xHH"));
                        }
                        None => return Err(wrong("\\", "stands at the end; write \\\\")),
                    });
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
            Self::Timestamp => number(record.timestamp(), to),
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

fn number(number: i64, to: &mut Vec<u8>) {
    // Into memory: this cannot fail.
    let _ = write!(to, "{number}");
}

/// kcat's envelope. Headers are names and values in turn, as a name may stand twice.
fn write_json(record: &Record<'_>, to: &mut Vec<u8>) {
    to.extend_from_slice(b"{\"topic\":");
    string(record.topic().as_bytes(), to);
    let _ = write!(to, ",\"partition\":{},\"offset\":{}", record.partition(), record.offset());
    let tstype = match record.timestamp_type() {
        _ if record.timestamp() < 0 => "unknown",
        TimestampType::CreateTime => "create",
        TimestampType::LogAppendTime => "logappend",
    };
    let _ = write!(to, ",\"tstype\":\"{tstype}\",\"ts\":{},\"headers\":[", record.timestamp());
    for (index, header) in record.headers().filter_map(Result::ok).enumerate() {
        if index > 0 {
            to.push(b',');
        }
        string(header.key, to);
        to.push(b',');
        string_or_null(header.value, to);
    }
    to.extend_from_slice(b"],\"key\":");
    string_or_null(record.key(), to);
    to.extend_from_slice(b",\"payload\":");
    string_or_null(record.value(), to);
    to.extend_from_slice(b"}\n");
}

fn string_or_null(bytes: Option<&[u8]>, to: &mut Vec<u8>) {
    match bytes {
        Some(bytes) => string(bytes, to),
        None => to.extend_from_slice(b"null"),
    }
}

/// JSON is text: what is none becomes U+FFFD.
fn string(bytes: &[u8], to: &mut Vec<u8>) {
    let _ = serde_json::to_writer(to, &String::from_utf8_lossy(bytes));
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
