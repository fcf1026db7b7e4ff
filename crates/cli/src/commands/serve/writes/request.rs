//! What a request to write must be: from a page of ours or from no page at all, JSON, and short.

use std::{fmt, future::poll_fn, net::SocketAddr, pin::Pin, time::Duration};

use hyper::{
    StatusCode,
    body::{Body as _, Incoming},
    header::{CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue, ORIGIN, WWW_AUTHENTICATE},
};
use serde_json::Value;
use tokio::time::timeout;

use super::{
    super::{
        http::{Answer, Hosts},
        routes::error,
    },
    parsed,
};

/// How long a body may be: a file of offsets is the longest.
pub(in crate::commands::serve) const BODY: usize = 1024 * 1024;
/// How long it may take to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why not.
#[derive(Debug)]
pub(super) struct Refused(pub(super) StatusCode, pub(super) String);

/// The answer. What is left of the request is not read.
pub(super) fn refusal(status: StatusCode, why: &str) -> Answer {
    let mut answer = error(status, why);
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    answer
}

/// Before anything else of it is looked at. There are no cookies, so that a page of another site has nothing to write with; it is told so
/// all the same.
pub(super) fn check(headers: &HeaderMap, hosts: &Hosts, local: SocketAddr) -> Result<(), Refused> {
    let foreign = || Refused(StatusCode::FORBIDDEN, "a page of another site may not write".to_owned());
    let mut origins = headers.get_all(ORIGIN).iter();
    if let Some(origin) = origins.next() {
        let own = origin.to_str().is_ok_and(|origin| hosts.are_origin(origin, local));
        if !own || origins.next().is_some() {
            return Err(foreign());
        }
    }
    if headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none") {
        return Err(foreign());
    }
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    match kind.eq_ignore_ascii_case("application/json") {
        true => Ok(()),
        false => Err(Refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "a write is application/json".to_owned())),
    }
}

/// The body, of which no more is held than may come.
pub(super) async fn read(mut body: Incoming) -> Result<Vec<u8>, Refused> {
    let too_large = || Refused(StatusCode::PAYLOAD_TOO_LARGE, format!("a body has {BODY} bytes at the most"));
    if body.size_hint().lower() > BODY as u64 {
        return Err(too_large());
    }
    let mut text = Vec::new();
    let whole = async {
        while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            let cut = |error| Refused(StatusCode::BAD_REQUEST, format!("the body is cut: {error}"));
            let Ok(bytes) = frame.map_err(cut)?.into_data() else { continue };
            if text.len() + bytes.len() > BODY {
                return Err(too_large());
            }
            text.extend_from_slice(&bytes);
        }
        Ok(())
    };
    timeout(PATIENCE, whole)
        .await
        .map_err(|_| Refused(StatusCode::REQUEST_TIMEOUT, "the body did not come".to_owned()))??;
    Ok(text)
}

/// What a plan is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) to: String,
    pub(super) value: Option<String>,
    pub(super) topics: Vec<String>,
}

/// In words, without what a file says.
impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to)?;
        match &self.value {
            Some(value) if self.to != "from-file" => write!(f, " {value}"),
            _ => Ok(()),
        }
    }
}

pub(super) fn asked(text: &[u8]) -> Result<Asked, Refused> {
    let Value::Object(mut keys) = parsed(text)? else { return Err(wrong("expected an object")) };
    let to = match keys.remove("to") {
        Some(Value::String(to)) => to,
        _ => return Err(wrong("to: expected a text, as in \"to-earliest\"")),
    };
    let value = match keys.remove("value") {
        None | Some(Value::Null) => None,
        Some(Value::String(value)) => Some(value),
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(_) => return Err(wrong("value: expected a text or a number")),
    };
    let topics = match keys.remove("topics") {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Array(topics)) => {
            topics.into_iter().map(|topic| topic.as_str().map(str::to_owned)).collect()
        }
        Some(_) => None,
    };
    let topics = topics.ok_or_else(|| wrong("topics: expected texts, as in [\"orders\", \"orders:0,2\"]"))?;
    match keys.keys().next() {
        None => Ok(Asked { to, value, topics }),
        Some(key) => Err(wrong(&format!("{key}: not known; a plan has to, value and topics"))),
    }
}

pub(super) fn confirmation(text: &[u8]) -> Result<String, Refused> {
    let value = parsed(text)?;
    match value.as_object().map(|keys| (keys.len(), keys.get("confirmation"))) {
        Some((1, Some(Value::String(id)))) => Ok(id.clone()),
        _ => Err(wrong("expected {\"confirmation\": \"...\"}, as the plan told it")),
    }
}

fn wrong(why: &str) -> Refused {
    Refused(StatusCode::BAD_REQUEST, why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_read_or_refused() {
        let read = |text: &str| asked(text.as_bytes()).map_err(|Refused(status, _)| status);
        let expected = |value: Option<&str>, topics: &[&str]| Asked {
            to: "to-offset".to_owned(),
            value: value.map(str::to_owned),
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
        };
        assert_eq!(read(r#"{"to":"to-offset","value":7}"#), Ok(expected(Some("7"), &[])));
        let all = r#"{"to":"to-offset","value":"-7","topics":["a","b:0"]}"#;
        assert_eq!(read(all), Ok(expected(Some("-7"), &["a", "b:0"])));
        assert_eq!(read(r#"{"to":"to-offset","value":null,"topics":null}"#), Ok(expected(None, &[])));
        for wrong in [
            "",
            "[]",
            "{}",
            "null",
            r#"{"to":7}"#,
            r#"{"to":"a","value":[]}"#,
            r#"{"to":"a","topics":"b"}"#,
            r#"{"to":"a","topics":[1]}"#,
            r#"{"to":"a","dry_run":false}"#,
        ] {
            assert_eq!(read(wrong), Err(StatusCode::BAD_REQUEST), "{wrong}");
        }
        for wrong in ["", "{}", r#"{"confirmation":1}"#, r#"{"confirmation":"a","more":1}"#, r#""a""#] {
            assert!(confirmation(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert_eq!(confirmation(br#"{"confirmation":"a"}"#).unwrap(), "a");
    }
}
