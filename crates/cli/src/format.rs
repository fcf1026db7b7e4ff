//! How a record is printed: kcat's `-f` and `-J`.

use std::io::Write;

use ottla::Record;

use crate::{
    escapes::{escaped, unescaped},
    failure::Failure,
    json::envelope,
};

/// How records are printed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Pieces {
        pieces: Vec<Piece>,
        /// What stands for a key or a value that is null or empty.
        null: &'static [u8],
    },
    /// An object, and what follows it.
    Json(Vec<u8>),
}

/// What of `consume`'s flags says how records are printed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look<'a> {
    pub(crate) format: Option<&'a str>,
    pub(crate) json: bool,
    pub(crate) key_delimiter: Option<&'a str>,
    pub(crate) delimiter: &'a str,
    pub(crate) null: bool,
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
    /// The same as 4 bytes, big-endian.
    ValueLengthBytes,
    Timestamp,
    Headers,
}

impl Format {
    /// As kcat puts the flags together: `-f` says all of it, or with `-J` by its beginning what follows an object.
    pub(crate) fn new(look: &Look<'_>) -> Result<Self, Failure> {
        let pieces = match look.format {
            Some(format) => Self::pieces(format)?,
            None => {
                let end = Piece::Text(unescaped("-D", look.delimiter)?);
                match look.key_delimiter.filter(|_| !look.json) {
                    Some(text) => vec![Piece::Key, Piece::Text(unescaped("-K", text)?), Piece::Value, end],
                    None if look.json => vec![end],
                    None => vec![Piece::Value, end],
                }
            }
        };
        if !look.json {
            return Ok(Self::Pieces { pieces, null: if look.null { b"NULL" } else { b"" } });
        }
        match pieces.into_iter().next() {
            Some(Piece::Text(end)) => Ok(Self::Json(end)),
            _ => Ok(Self::Json(Vec::new())),
        }
    }

    /// Reads what `-f` was given.
    fn pieces(format: &str) -> Result<Vec<Piece>, Failure> {
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
                    Some('R') => Piece::ValueLengthBytes,
                    Some('T') => Piece::Timestamp,
                    Some('h') => Piece::Headers,
                    Some(other) => {
                        return Err(wrong(
                            &format!("%{other}"),
                            "is no field; %t %p %o %k %s %T %h %K %S %R %%",
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
        Ok(pieces)
    }

    /// Prints a record to memory.
    #[inline]
    pub(crate) fn write(&self, record: &Record<'_>, to: &mut Vec<u8>) {
        match self {
            Self::Pieces { pieces, null } => pieces.iter().for_each(|piece| piece.write(record, null, to)),
            Self::Json(end) => {
                envelope(record, to);
                to.extend_from_slice(end);
            }
        }
    }
}

impl Piece {
    fn write(&self, record: &Record<'_>, null: &[u8], to: &mut Vec<u8>) {
        match self {
            Self::Text(text) => to.extend_from_slice(text),
            Self::Topic => to.extend_from_slice(record.topic().as_bytes()),
            Self::Partition => number(record.partition().into(), to),
            Self::Offset => number(record.offset(), to),
            Self::Key => to.extend_from_slice(or(record.key(), null)),
            Self::KeyLength => number(length(record.key()), to),
            Self::Value => to.extend_from_slice(or(record.value(), null)),
            Self::ValueLength => number(length(record.value()), to),
            // A record is no longer than its frame: what does not fit is none.
            Self::ValueLengthBytes => {
                to.extend_from_slice(&i32::try_from(length(record.value())).unwrap_or(-1).to_be_bytes());
            }
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

/// These, unless there are none.
fn or<'b>(bytes: Option<&'b [u8]>, null: &'b [u8]) -> &'b [u8] {
    bytes.filter(|bytes| !bytes.is_empty()).unwrap_or(null)
}

fn length(bytes: Option<&[u8]>) -> i64 {
    bytes.map_or(-1, |bytes| bytes.len() as i64)
}

/// Its timestamp, as kcat prints it: -1 where it has none.
pub(crate) fn millis(record: &Record<'_>) -> i64 {
    record.timestamp().map_or(-1, |time| time.0)
}

fn number(number: i64, to: &mut Vec<u8>) {
    // Into memory: this cannot fail.
    let _ = write!(to, "{number}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(format: &str) -> Vec<Piece> {
        Format::pieces(format).unwrap()
    }

    #[test]
    fn a_format_is_fields_and_text_between_them() {
        use Piece::{
            Headers, Key, KeyLength, Offset, Partition, Text, Timestamp, Topic, Value, ValueLength,
            ValueLengthBytes,
        };
        let text = |text: &str| Text(text.into());
        assert_eq!(
            pieces("%t[%p]@%o: %k=%s\\n"),
            [Topic, text("["), Partition, text("]@"), Offset, text(": "), Key, text("="), Value, text("\n")]
        );
        assert_eq!(pieces("%T%h%K%S%R"), [Timestamp, Headers, KeyLength, ValueLength, ValueLengthBytes]);
    }

    #[test]
    fn delimiters_stand_around_the_value_unless_a_format_says_it_all() {
        use Piece::{Key, Text, Value};
        let plain = Look { format: None, json: false, key_delimiter: None, delimiter: r"\n", null: false };
        let pieces = |look: Look<'_>| match Format::new(&look).unwrap() {
            Format::Pieces { pieces, .. } => pieces,
            other => panic!("{other:?}"),
        };
        assert_eq!(pieces(plain), [Value, Text("\n".into())]);
        let keyed = Look { key_delimiter: Some("::"), delimiter: r"\x00", ..plain };
        assert_eq!(pieces(keyed), [Key, Text("::".into()), Value, Text("\0".into())]);
        assert_eq!(pieces(Look { format: Some("%k"), ..keyed }), [Key]);
        let json = |look: Look<'_>| Format::new(&Look { json: true, ..look }).unwrap();
        assert_eq!(json(plain), Format::Json("\n".into()));
        assert_eq!(json(keyed), Format::Json("\0".into()));
        assert_eq!(json(Look { format: Some(r",\n%s;"), ..keyed }), Format::Json(",\n".into()));
        assert_eq!(json(Look { format: Some("%s;"), ..keyed }), Format::Json(Vec::new()));
    }

    #[test]
    fn escapes_are_kcats() {
        assert_eq!(pieces(r"\n\r\t\\\x41\x0a%%é"), [Piece::Text("\n\r\t\\A\n%é".into())]);
        assert_eq!(pieces(""), []);
    }

    #[test]
    fn what_is_no_field_and_no_escape_is_refused() {
        for wrong in ["%z", "%", "\\", "\\q", "\\x4", "\\xgg", "\\x+1"] {
            assert!(Format::pieces(wrong).is_err(), "{wrong}");
        }
    }
}
