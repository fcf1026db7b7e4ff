//! What a handler finds in its environment.

use base64::prelude::{BASE64_STANDARD, Engine};
use ottla::processor::Message;

/// All names. Those that a record does not set are taken out, as this process may be another's handler.
pub(super) const NAMES: [&str; 11] = [
    "OTTLA_TOPIC",
    "OTTLA_PARTITION",
    "OTTLA_OFFSET",
    "OTTLA_TIMESTAMP",
    "OTTLA_ATTEMPT",
    "OTTLA_KEY",
    "OTTLA_KEY_BASE64",
    "OTTLA_HEADERS",
    "OTTLA_HEADERS_BASE64",
    "OTTLA_GROUP",
    "OTTLA_NULL",
];

/// What is set for a record.
///
/// An environment holds text without NUL bytes: a key that is none is in `OTTLA_KEY_BASE64`, and `OTTLA_KEY` is not set. Headers are
/// JSON, names and values in turn, as `consume -J` has them; `OTTLA_HEADERS_BASE64` names the places of those in base64, from 0.
pub(super) fn of(message: &Message, group: &str) -> Vec<(&'static str, String)> {
    let mut set = vec![
        ("OTTLA_TOPIC", message.topic().to_owned()),
        ("OTTLA_PARTITION", message.partition().to_string()),
        ("OTTLA_OFFSET", message.offset().to_string()),
        ("OTTLA_ATTEMPT", message.attempt().to_string()),
        ("OTTLA_GROUP", group.to_owned()),
    ];
    if let Some(time) = message.timestamp() {
        set.push(("OTTLA_TIMESTAMP", time.0.to_string()));
    }
    if message.value().is_none() {
        set.push(("OTTLA_NULL", "1".to_owned()));
    }
    if let Some(key) = message.key() {
        set.push(match std::str::from_utf8(key) {
            Ok(text) if !text.contains('\0') => ("OTTLA_KEY", text.to_owned()),
            _ => ("OTTLA_KEY_BASE64", BASE64_STANDARD.encode(key)),
        });
    }
    let headers = message.headers().filter_map(Result::ok);
    let (headers, base64) = json(headers.flat_map(|header| [Some(header.key), header.value]));
    set.push(("OTTLA_HEADERS", headers));
    set.extend(base64.map(|places| ("OTTLA_HEADERS_BASE64", places)));
    set
}

/// Names and values as JSON, which writes NUL as an escape, and the places of those that are in base64, if there are any.
fn json<'a>(parts: impl Iterator<Item = Option<&'a [u8]>>) -> (String, Option<String>) {
    let mut base64: Vec<usize> = Vec::new();
    let values = parts.enumerate().map(|(place, bytes)| {
        match bytes.map(|bytes| (std::str::from_utf8(bytes), bytes)) {
            None => serde_json::Value::Null,
            Some((Ok(text), _)) => text.into(),
            Some((Err(_), bytes)) => {
                base64.push(place);
                BASE64_STANDARD.encode(bytes).into()
            }
        }
    });
    let values: serde_json::Value = values.collect();
    let places = (!base64.is_empty()).then(|| serde_json::Value::from(base64).to_string());
    (values.to_string(), places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_names_and_values_in_turn_and_bytes_that_are_no_text_are_named() {
        let parts = [Some(&b"a"[..]), Some(b"\0\"x"), Some(b"b"), None, Some(b"c"), Some(b"\xff")];
        let (headers, base64) = json(parts.into_iter());
        assert_eq!(headers, r#"["a","\u0000\"x","b",null,"c","/w=="]"#);
        assert_eq!(base64.as_deref(), Some("[5]"));
        assert_eq!(json(std::iter::empty()), ("[]".to_owned(), None));
    }
}
