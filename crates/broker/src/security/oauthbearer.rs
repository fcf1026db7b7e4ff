//! OAUTHBEARER (RFC 7628) with unsecured tokens, as Kafka's `OAuthBearerUnsecuredValidatorCallbackHandler` takes them.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ottla_protocol::Now;
use serde_json::Value;

use super::Step;

/// What is said to a token that is not taken: the client is to answer with one byte, and is then refused with this text.
const INVALID_TOKEN: &str = "{\"status\":\"invalid_token\"}";
const SEPARATOR: char = '\x01';

/// `refused` is whether a token was not taken before, in this exchange.
pub(super) fn check(message: &[u8], refused: &mut bool, now: Now) -> Step {
    if std::mem::take(refused) && message == [SEPARATOR as u8] {
        return Step::Refused(INVALID_TOKEN.to_owned());
    }
    let first = std::str::from_utf8(message).ok().and_then(ClientFirst::parse);
    let Some(ClientFirst { authorization_id, token }) = first else { return Step::Invalid };
    let Some((user, lifetime)) = validate(token, now) else {
        *refused = true;
        return Step::Continue(INVALID_TOKEN.into());
    };
    if !authorization_id.is_empty() && authorization_id != user {
        return Step::Refused(format!(
            "Authentication failed: Client requested an authorization id ({authorization_id}) that is different from the \
             token's principal name ({user})"
        ));
    }
    Step::Done { user, answer: Vec::new(), lifetime: Some(lifetime) }
}

/// `n,[a=authzid],^Aauth=Bearer TOKEN^A[key=value^A]^A`.
struct ClientFirst<'a> {
    authorization_id: &'a str,
    token: &'a str,
}

impl<'a> ClientFirst<'a> {
    fn parse(message: &'a str) -> Option<Self> {
        let (authorization_id, pairs) = message.strip_prefix("n,")?.split_once(",\x01")?;
        let authorization_id = match authorization_id {
            "" => "",
            id => id.strip_prefix("a=")?,
        };
        let mut token = None;
        for pair in pairs.strip_suffix("\x01\x01")?.split(SEPARATOR) {
            let (key, value) = pair.split_once('=')?;
            let printed = |c: char| c.is_ascii_graphic() || matches!(c, ' ' | '\t' | '\r' | '\n');
            if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphabetic()) {
                return None;
            }
            if value.is_empty() || !value.chars().all(printed) {
                return None;
            }
            if key == "auth" {
                let (scheme, bearer) = value.split_once(' ')?;
                // A second one is an extension by a name that is taken.
                if !scheme.eq_ignore_ascii_case("bearer") || token.replace(bearer.trim_start()).is_some() {
                    return None;
                }
            }
        }
        Some(Self { authorization_id, token: token? })
    }
}

/// Who the token is of, and for how long it holds.
fn validate(token: &str, now: Now) -> Option<(String, Duration)> {
    let mut parts = token.split('.');
    let (header, claims, signature) = (parts.next()?, parts.next()?, parts.next()?);
    if !signature.is_empty() || parts.next().is_some() {
        return None;
    }
    let read = |part: &str| -> Option<Value> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok()?).ok()
    };
    let claims = read(claims)?;
    if read(header)?.get("alg")?.as_str()? != "none" {
        return None;
    }
    let user = claims.get("sub")?.as_str().filter(|user| !user.is_empty())?;
    // Seconds, with a fraction maybe. A conversion saturates.
    let millis = |value: &Value| value.as_f64().map(|seconds| (seconds * 1000.0).round() as i64);
    let expires = millis(claims.get("exp")?)?;
    let issued = claims.get("iat").map(|issued| millis(issued).ok_or(())).transpose().ok()?;
    if issued.is_some_and(|issued| issued > now.wall.0 || issued >= expires) {
        return None;
    }
    let left = u64::try_from(expires.saturating_sub(now.wall.0)).ok().filter(|left| *left > 0)?;
    // An Instant that is out of range would be a panic; nobody waits for a hundred years.
    Some((user.to_owned(), Duration::from_millis(left).min(Duration::from_secs(100 * 365 * 86_400))))
}
