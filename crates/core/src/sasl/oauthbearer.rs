//! OAUTHBEARER (RFC 7628, KIP-255): a token that somebody else has issued, and extensions (KIP-342).

use ottla_protocol::Secret;

use super::Said;
use crate::disconnected::SaslFailure;

/// A token, and what is said with it.
#[derive(Debug, Clone, Default)]
pub struct Token {
    /// The token as it was issued: a JWT, for the validators that brokers come with.
    pub token: Secret,
    /// Names, of letters, and values (KIP-342).
    pub extensions: Vec<(String, String)>,
}

/// Stands between the parts of a message.
const SEPARATOR: &str = "\x01";

#[derive(Debug, Default)]
pub(super) struct OAuthBearer {
    /// What the broker has against the token, where it has said so.
    objection: Option<String>,
}

impl OAuthBearer {
    pub(super) fn first(&self, token: &Token) -> Result<Said, SaslFailure> {
        let fits = |text: &[u8]| text.iter().all(|byte| (b' '..=b'~').contains(byte));
        let is_name = |name: &str| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphabetic()) && name != "auth"
        };
        if token.token.is_empty() || !fits(token.token.expose()) {
            let why = "the provider gave one that is empty, or has signs that no token has";
            return Err(SaslFailure::NoToken(why.to_owned()));
        }
        let wrong = |(name, value): &&(String, String)| !is_name(name) || !fits(value.as_bytes());
        if let Some((name, _)) = token.extensions.iter().find(wrong) {
            let why = format!("its extension {name:?} is not letters with a value of printable ASCII");
            return Err(SaslFailure::NoToken(why));
        }
        let mut message = ["n,,", SEPARATOR, "auth=Bearer "].concat().into_bytes();
        message.extend_from_slice(token.token.expose());
        message.extend_from_slice(SEPARATOR.as_bytes());
        for (name, value) in &token.extensions {
            message.extend_from_slice([name, "=", value, SEPARATOR].concat().as_bytes());
        }
        message.extend_from_slice(SEPARATOR.as_bytes());
        Ok(Said::Message(message.into()))
    }

    /// A broker that is content says nothing. One that is not says why, awaits this one byte, and then refuses.
    pub(super) fn heard(&mut self, bytes: &Secret) -> Result<Said, SaslFailure> {
        match (&self.objection, bytes.is_empty()) {
            (None, true) => Ok(Said::Nothing),
            (None, false) => {
                self.objection = Some(String::from_utf8_lossy(bytes.expose()).into_owned());
                Ok(Said::Message(SEPARATOR.into()))
            }
            (Some(objection), _) => Err(SaslFailure::Refused(objection.clone())),
        }
    }
}
