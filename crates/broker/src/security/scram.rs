//! SCRAM (RFC 5802, RFC 7677), without channel binding, as Kafka has it: refusals are told by code 58 and never by `e=`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use ottla_protocol::Secret;
use pbkdf2::pbkdf2_hmac;
use sha2::{Digest, Sha256, Sha512};

use super::{Credentials, SaslMechanism, Step, is_equal};

pub(super) const OTHER_AUTHORIZATION_ID: &str =
    "Authentication failed: Client requested an authorization id that is different from username";

/// What is kept of a password: enough to check it, and to prove to the client that it is known.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    salt: Vec<u8>,
    iterations: u32,
    stored: Secret,
    server: Secret,
}

impl Keys {
    pub(super) fn derive(
        mechanism: SaslMechanism,
        password: &[u8],
        salt: Vec<u8>,
        iterations: u32,
    ) -> Option<Self> {
        let salted = Secret::from(salted(mechanism, password, &salt, iterations));
        let client = Secret::from(mac(mechanism, salted.expose(), b"Client Key")?);
        let stored = hash(mechanism, client.expose()).into();
        let server = mac(mechanism, salted.expose(), b"Server Key")?.into();
        Some(Self { salt, iterations, stored, server })
    }
}

/// One client's way through the two steps.
#[derive(Debug)]
pub(crate) enum Exchange {
    /// Nothing has been said.
    First,
    /// The client has to prove that it knows the password.
    Final { user: String, keys: Keys, nonce: String, said: String },
}

impl Exchange {
    pub(super) fn step(
        &mut self,
        mechanism: SaslMechanism,
        message: &[u8],
        credentials: &mut Credentials,
    ) -> Step {
        let Ok(message) = std::str::from_utf8(message) else { return Step::Invalid };
        let stepped = match self {
            Self::First => self.first(mechanism, message, credentials),
            Self::Final { user, keys, nonce, said } => finish(mechanism, message, user, keys, nonce, said),
        };
        stepped.unwrap_or(Step::Invalid)
    }

    fn first(
        &mut self,
        mechanism: SaslMechanism,
        message: &str,
        credentials: &mut Credentials,
    ) -> Option<Step> {
        let first = ClientFirst::parse(message)?;
        let keys = credentials.keys(&first.user, mechanism)?.clone();
        if first.authorization_id.is_some_and(|id| id != first.user) {
            return Some(Step::Refused(OTHER_AUTHORIZATION_ID.to_owned()));
        }
        let nonce = format!("{}{}", first.nonce, credentials.nonce());
        let salt = STANDARD.encode(&keys.salt);
        let answer = format!("r={nonce},s={salt},i={}", keys.iterations);
        let said = format!("{},{answer}", first.bare);
        *self = Self::Final { user: first.user, keys, nonce, said };
        Some(Step::Continue(answer.into_bytes()))
    }
}

/// The proof is of everything that was said; so is the server's signature, by which it proves to know the password.
fn finish(
    mechanism: SaslMechanism,
    message: &str,
    user: &str,
    keys: &Keys,
    nonce: &str,
    said: &str,
) -> Option<Step> {
    let (unproven, proof) = message.rsplit_once(",p=")?;
    let mut parts = unproven.split(',');
    parts.next()?.strip_prefix("c=")?;
    if parts.next()?.strip_prefix("r=")? != nonce {
        return None;
    }
    let said = format!("{said},{unproven}");
    let signature = mac(mechanism, keys.stored.expose(), said.as_bytes())?;
    let proof = STANDARD.decode(proof).ok().filter(|proof| proof.len() == signature.len())?;
    let client: Vec<u8> = proof.iter().zip(&signature).map(|(proof, signed)| proof ^ signed).collect();
    if !is_equal(&hash(mechanism, &client), keys.stored.expose()) {
        return None;
    }
    let proof = STANDARD.encode(mac(mechanism, keys.server.expose(), said.as_bytes())?);
    let answer = format!("v={proof}").into_bytes();
    Some(Step::Done { user: user.to_owned(), answer, lifetime: None })
}

/// `n,[a=authzid],n=user,r=nonce[,extensions]`.
struct ClientFirst<'a> {
    authorization_id: Option<String>,
    bare: &'a str,
    user: String,
    nonce: &'a str,
}

impl<'a> ClientFirst<'a> {
    fn parse(message: &'a str) -> Option<Self> {
        let (authorization_id, bare) = message.strip_prefix("n,")?.split_once(',')?;
        let authorization_id = match authorization_id {
            "" => None,
            id => Some(unescape(id.strip_prefix("a=")?)?),
        };
        let mut parts = bare.split(',');
        let user = unescape(parts.next()?.strip_prefix("n=")?)?;
        let nonce = parts.next()?.strip_prefix("r=").filter(|nonce| !nonce.is_empty())?;
        // By a delegation token, of which there are none here. Other extensions do not matter.
        let by_token = parts.any(|extension| extension == "tokenauth=true");
        (!by_token).then_some(Self { authorization_id, bare, user, nonce })
    }
}

/// A name as SCRAM writes it.
fn unescape(name: &str) -> Option<String> {
    let mut parts = name.split('=');
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        let (escaped, rest) = part.split_at_checked(2)?;
        plain.push(match escaped {
            "2C" => ',',
            "3D" => '=',
            _ => return None,
        });
        plain.push_str(rest);
    }
    Some(plain)
}

fn salted(mechanism: SaslMechanism, password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
    let mut salted = vec![0; if mechanism == SaslMechanism::ScramSha512 { 64 } else { 32 }];
    match mechanism {
        SaslMechanism::ScramSha512 => pbkdf2_hmac::<Sha512>(password, salt, iterations, &mut salted),
        _ => pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut salted),
    }
    salted
}

fn hash(mechanism: SaslMechanism, bytes: &[u8]) -> Vec<u8> {
    match mechanism {
        SaslMechanism::ScramSha512 => Sha512::digest(bytes).to_vec(),
        _ => Sha256::digest(bytes).to_vec(),
    }
}

/// HMAC takes keys of any length, so there always is one.
fn mac(mechanism: SaslMechanism, key: &[u8], bytes: &[u8]) -> Option<Vec<u8>> {
    fn mac<M: Mac + KeyInit>(key: &[u8], bytes: &[u8]) -> Option<Vec<u8>> {
        let mac = <M as KeyInit>::new_from_slice(key).ok()?;
        Some(mac.chain_update(bytes).finalize().into_bytes().to_vec())
    }
    match mechanism {
        SaslMechanism::ScramSha512 => mac::<Hmac<Sha512>>(key, bytes),
        _ => mac::<Hmac<Sha256>>(key, bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange of RFC 7677, chapter 3.
    #[test]
    fn the_exchange_of_rfc_7677_is_answered_as_it_is_printed_there() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let mechanism = SaslMechanism::ScramSha256;
        let keys = Keys::derive(mechanism, b"pencil", salt, 4096).unwrap();
        let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let said = format!("n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        let last = format!("c=biws,r={nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        let Some(Step::Done { answer, .. }) = finish(mechanism, &last, "user", &keys, nonce, &said) else {
            panic!("refused");
        };
        assert_eq!(answer, b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        let forged = last.replace("p=dHz", "p=eHz");
        assert!(finish(mechanism, &forged, "user", &keys, nonce, &said).is_none());
    }

    #[test]
    fn names_are_read_as_scram_writes_them() {
        assert_eq!(unescape("a=2Cb=3Dc").as_deref(), Some("a,b=c"));
        assert_eq!(unescape("a=2"), None);
        assert_eq!(unescape("a=41"), None);
        assert!(ClientFirst::parse("y,,n=a,r=b").is_none());
        assert!(ClientFirst::parse("n,,n=a,r=").is_none());
        assert!(ClientFirst::parse("n,,n=a,r=b,x=y,tokenauth=false").is_some());
    }
}
