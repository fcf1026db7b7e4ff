//! SCRAM (RFC 5802, RFC 7677): both sides prove that they know the password, and neither shows it.

use base64::{Engine, prelude::BASE64_STANDARD as BASE64};
use hmac::{Hmac, KeyInit, Mac};
use ottla_protocol::Secret;
use sha2::{Digest, Sha256, Sha512};

use super::{Errand, Said};
use crate::{disconnected::SaslFailure, words};

/// The most iterations that a broker may ask for. Kafka's default is 4,096, and OWASP's advice of 2023 for SHA-256 600,000;
/// these are half a second of computing. A broker that asks for more would have each client compute for minutes.
const MOST_ITERATIONS: u32 = 1_000_000;
/// RFC 7677.
const LEAST_ITERATIONS: u32 = 4096;
/// The longest message that is read. Kafka's have less than 200 bytes.
const LONGEST: usize = 4096;

/// Of which of the two mechanisms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are what they are called")]
pub enum ScramHash {
    Sha256,
    Sha512,
}

impl ScramHash {
    pub(super) fn mechanism(self) -> &'static str {
        match self {
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
        }
    }

    fn hash(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }

    fn hmac(self, key: &[u8], text: &[u8]) -> Vec<u8> {
        fn of<M: Mac + KeyInit>(key: &[u8], text: &[u8]) -> Vec<u8> {
            // A key of any length will do.
            let Ok(mac) = <M as KeyInit>::new_from_slice(key) else { return Vec::new() };
            mac.chain_update(text).finalize().into_bytes().to_vec()
        }
        match self {
            Self::Sha256 => of::<Hmac<Sha256>>(key, text),
            Self::Sha512 => of::<Hmac<Sha512>>(key, text),
        }
    }
}

/// The derivation of a key from a password.
#[derive(Debug)]
pub struct Derivation {
    hash: ScramHash,
    password: Secret,
    salt: Vec<u8>,
    iterations: u32,
}

impl Derivation {
    /// The key: milliseconds of computing, half a second at the most.
    pub fn run(&self) -> Secret {
        let (password, salt) = (self.password.expose(), &self.salt);
        match self.hash {
            ScramHash::Sha256 => {
                let mut key = vec![0; 32];
                pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, self.iterations, &mut key);
                key.into()
            }
            ScramHash::Sha512 => {
                let mut key = vec![0; 64];
                pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, self.iterations, &mut key);
                key.into()
            }
        }
    }
}

#[derive(Debug)]
pub(super) struct Scram {
    hash: ScramHash,
    password: Secret,
    nonce: String,
    /// What was said first, without the part for channel binding.
    first_bare: String,
    state: State,
}

#[derive(Debug)]
enum State {
    Begun,
    /// What the broker said first, and the nonce that it made of ours.
    Deriving {
        server_first: String,
        nonce: String,
    },
    /// The proof that is expected of the broker.
    Proving(Secret),
}

/// No channel binding, and nobody else is acted for.
const GS2_HEADER: &str = "n,,";

impl Scram {
    pub(super) fn new(
        hash: ScramHash,
        username: &str,
        password: &Secret,
        delegation_token: bool,
        nonce: String,
    ) -> Self {
        let username = username.replace('=', "=3D").replace(',', "=2C");
        let extension = if delegation_token { ",tokenauth=true" } else { "" };
        let first_bare = format!("n={username},r={nonce}{extension}");
        Self { hash, password: password.clone(), nonce, first_bare, state: State::Begun }
    }

    pub(super) fn first(&self) -> Secret {
        [GS2_HEADER, &self.first_bare].concat().into()
    }

    /// The broker spoke.
    pub(super) fn heard(&mut self, bytes: &Secret) -> Result<Said, SaslFailure> {
        let text = bytes.expose_text().filter(|text| text.len() <= LONGEST);
        let text = text.ok_or_else(|| bad("its message is no text, or too long"))?;
        if let Some(why) = attribute(text, 'e') {
            return Err(SaslFailure::Refused(why.to_owned()));
        }
        match &self.state {
            State::Begun => self.server_first(text),
            State::Proving(expected) => {
                let proof = attribute(text, 'v').and_then(|proof| BASE64.decode(proof).ok());
                // What is compared is of no use to an attacker on this side, so the time that it takes tells nothing.
                match proof.as_deref() == Some(expected.expose()) {
                    true => Ok(Said::Nothing),
                    false => Err(bad("it does not know the password")),
                }
            }
            State::Deriving { .. } => Err(bad("it speaks out of turn")),
        }
    }

    fn server_first(&mut self, text: &str) -> Result<Said, SaslFailure> {
        let nonce = attribute(text, 'r').filter(|nonce| nonce.len() > self.nonce.len());
        let nonce = nonce.filter(|nonce| nonce.starts_with(&self.nonce));
        let nonce = nonce.ok_or_else(|| bad("it did not add to the nonce"))?.to_owned();
        let salt = attribute(text, 's').and_then(|salt| BASE64.decode(salt).ok());
        let salt = salt.filter(|salt| !salt.is_empty()).ok_or_else(|| bad("it gives no salt"))?;
        let iterations = attribute(text, 'i').ok_or_else(|| bad("it gives no number of iterations"))?;
        let known = iterations.parse().ok().filter(|n| (LEAST_ITERATIONS..=MOST_ITERATIONS).contains(n));
        let iterations = known.ok_or_else(|| {
            bad(&format!("it asks for {iterations} iterations, not {LEAST_ITERATIONS} to {MOST_ITERATIONS}"))
        })?;
        self.state = State::Deriving { server_first: text.to_owned(), nonce };
        let (hash, password) = (self.hash, self.password.clone());
        Ok(Said::Run(Errand::Derive(Derivation { hash, password, salt, iterations })))
    }

    /// The key is there.
    pub(super) fn derived(&mut self, salted: &Secret) -> Result<Said, SaslFailure> {
        let State::Deriving { server_first, nonce } = &self.state else {
            return Err(bad("it speaks out of turn"));
        };
        let (hash, salted) = (self.hash, salted.expose());
        let without_proof = format!("c={},r={nonce}", BASE64.encode(GS2_HEADER));
        let signed = format!("{},{server_first},{without_proof}", self.first_bare);
        let client_key = Secret::from(hash.hmac(salted, b"Client Key"));
        let signature = hash.hmac(&hash.hash(client_key.expose()), signed.as_bytes());
        let proof: Vec<u8> =
            client_key.expose().iter().zip(signature).map(|(key, sign)| key ^ sign).collect();
        let server_key = Secret::from(hash.hmac(salted, b"Server Key"));
        let message = format!("{without_proof},p={}", BASE64.encode(proof));
        self.state = State::Proving(hash.hmac(server_key.expose(), signed.as_bytes()).into());
        Ok(Said::Message(message.into()))
    }
}

/// `NAME=value`, between commas.
fn attribute(text: &str, name: char) -> Option<&str> {
    text.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
}

fn bad(why: &str) -> SaslFailure {
    SaslFailure::BadServer(words::heard(why.to_owned()))
}
