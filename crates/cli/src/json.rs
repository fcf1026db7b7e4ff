//! kcat's `-J`: a record as an object.

use std::io::Write;

use base64::prelude::{BASE64_STANDARD, Engine};
use ottla::{Record, TimestampType};

use crate::format::millis;

/// kcat's envelope. Headers are names and values in turn, as a name may stand twice.
///
/// JSON is text: bytes that are none are in base64, and the key `base64` names where, as in
/// `["key", "payload", "headers/3"]`.
pub(crate) fn envelope(record: &Record<'_>, to: &mut Vec<u8>) {
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
        match bytes.map(|bytes| (std::str::from_utf8(bytes), bytes)) {
            None => self.raw("null"),
            Some((Ok(text), _)) => string(text, self.to),
            Some((Err(_), bytes)) => {
                self.base64.push(name.to_owned());
                string(&BASE64_STANDARD.encode(bytes), self.to);
            }
        }
    }

    fn end(self) {
        if !self.base64.is_empty() {
            self.to.extend_from_slice(b",\"base64\":");
            // Into memory: this cannot fail.
            let _ = serde_json::to_writer(&mut *self.to, &self.base64);
        }
        self.to.push(b'}');
    }
}

/// As kcat writes text: what is not needed is not escaped, and the digits of control characters are capitals.
fn string(text: &str, to: &mut Vec<u8>) {
    to.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)) {
        let (plain, from) = rest.split_at(at);
        to.extend_from_slice(plain);
        match from {
            [byte @ (b'"' | b'\\'), ..] => to.extend_from_slice(&[b'\\', *byte]),
            [8, ..] => to.extend_from_slice(b"\\b"),
            [b'\t', ..] => to.extend_from_slice(b"\\t"),
            [b'\n', ..] => to.extend_from_slice(b"\\n"),
            [12, ..] => to.extend_from_slice(b"\\f"),
            [b'\r', ..] => to.extend_from_slice(b"\\r"),
            // Into memory: this cannot fail.
            [byte, ..] => _ = write!(to, "\\u{byte:04X}"),
            [] => {}
        }
        rest = from.get(1..).unwrap_or_default();
    }
    to.extend_from_slice(rest);
    to.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_as_kcat_does_and_reads_back() {
        let text: String = (0..0x80).map(char::from).chain("é/<>&\u{2028}😀".chars()).collect();
        let mut written = Vec::new();
        string(&text, &mut written);
        assert_eq!(serde_json::from_slice::<String>(&written).unwrap(), text);
        let mut written = Vec::new();
        string("\u{b}\u{7f}\u{8}\"\\/", &mut written);
        assert_eq!(String::from_utf8(written).unwrap(), "\"\\u000B\u{7f}\\b\\\"\\\\/\"");
    }
}
