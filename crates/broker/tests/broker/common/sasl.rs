//! A client's side of SASL, written apart from the broker's.

use base64::{Engine as _, engine::general_purpose};
use hmac::{Hmac, KeyInit, Mac};
use ottla_broker::{ConnId, SaslMechanism, Secret};
use ottla_protocol::messages::*;
use sha2::{Digest, Sha256, Sha512};

use super::{World, millis};

pub fn plain(user: &str, password: &str) -> String {
    format!("\0{user}\0{password}")
}

/// An unsecured token with these claims.
pub fn token(claims: &str) -> String {
    let encode = |text: &str| general_purpose::URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode(claims))
}

/// The first message of OAUTHBEARER.
pub fn bearer(token: &str) -> String {
    format!("n,,\x01auth=Bearer {token}\x01\x01")
}

impl World {
    pub fn handshake(&mut self, conn: ConnId, mechanism: &str) -> SaslHandshakeResponse {
        self.ask(conn, 1, SaslHandshakeRequest { mechanism: mechanism.to_owned() })
    }

    /// Says this, which is answered at once.
    pub fn authenticate(&mut self, conn: ConnId, message: impl Into<Secret>) -> SaslAuthenticateResponse {
        self.ask(conn, 2, SaslAuthenticateRequest { auth_bytes: message.into() })
    }

    /// Says this, which is refused after the delay, and the connection closed. Returns what the client is told.
    pub fn refused(&mut self, conn: ConnId, message: impl Into<Secret>) -> String {
        self.send(conn, 2, SaslAuthenticateRequest { auth_bytes: message.into() });
        let told: SaslAuthenticateResponse = self.told_late(conn).expect("an answer");
        assert_eq!(told.error_code, ottla_broker::ErrorCode::SaslAuthenticationFailed);
        assert_eq!(told.session_lifetime_ms, 0);
        told.error_message.expect("a message")
    }

    /// What a connection is told before it is closed, 100 ms later.
    pub fn told_late<R: super::TryFromResponse>(&mut self, conn: ConnId) -> Option<R> {
        self.pass(millis(99));
        assert!(self.reply::<R>(conn).is_none() && !self.is_closed(conn), "told before the delay");
        self.pass(millis(1));
        assert!(self.is_closed(conn));
        self.reply(conn)
    }

    /// A connection of this user, by PLAIN.
    pub fn connect_as(&mut self, user: &str, password: &str) -> ConnId {
        let conn = self.connect(1);
        assert!(self.handshake(conn, "PLAIN").error_code.is_ok());
        assert!(self.authenticate(conn, plain(user, password)).error_code.is_ok());
        conn
    }
}

/// SCRAM as RFC 5802 has it.
pub struct Scram {
    mechanism: SaslMechanism,
    password: String,
    bare: String,
    nonce: String,
}

impl Scram {
    pub fn new(mechanism: SaslMechanism, user: &str, password: &str) -> Self {
        let nonce = "fyko+d2lbbFgONRv9qkxdawL".to_owned();
        let bare = format!("n={user},r={nonce}");
        Self { mechanism, password: password.to_owned(), bare, nonce }
    }

    pub fn first(&self) -> String {
        format!("n,,{}", self.bare)
    }

    /// The last message, and what the server has to say to it.
    pub fn last(&self, server_first: &[u8]) -> (String, String) {
        let server_first = std::str::from_utf8(server_first).unwrap();
        let mut parts = server_first.split(',');
        let mut part = |name| parts.next().unwrap().strip_prefix(name).unwrap();
        let (nonce, salt, iterations) = (part("r="), part("s="), part("i=").parse::<u32>().unwrap());
        assert!(nonce.starts_with(&self.nonce) && (25..=26).contains(&(nonce.len() - self.nonce.len())));
        assert_eq!(iterations, 4096);
        let salt = general_purpose::STANDARD.decode(salt).unwrap();
        assert!((25..=26).contains(&salt.len()));

        let mut block = self.mac(self.password.as_bytes(), &[&salt[..], &[0, 0, 0, 1]].concat());
        let mut salted = block.clone();
        for _ in 1..iterations {
            block = self.mac(self.password.as_bytes(), &block);
            salted.iter_mut().zip(&block).for_each(|(salted, block)| *salted ^= block);
        }
        let unproven = format!("c=biws,r={nonce}");
        let said = format!("{},{server_first},{unproven}", self.bare);
        let client = self.mac(&salted, b"Client Key");
        let signature = self.mac(&self.hash(&client), said.as_bytes());
        let proof: Vec<u8> = client.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let server = self.mac(&self.mac(&salted, b"Server Key"), said.as_bytes());
        let encode = |bytes: &[u8]| general_purpose::STANDARD.encode(bytes);
        (format!("{unproven},p={}", encode(&proof)), format!("v={}", encode(&server)))
    }

    fn mac(&self, key: &[u8], bytes: &[u8]) -> Vec<u8> {
        fn mac<M: Mac + KeyInit>(key: &[u8], bytes: &[u8]) -> Vec<u8> {
            let mac = <M as KeyInit>::new_from_slice(key).unwrap();
            mac.chain_update(bytes).finalize().into_bytes().to_vec()
        }
        match self.mechanism {
            SaslMechanism::ScramSha512 => mac::<Hmac<Sha512>>(key, bytes),
            _ => mac::<Hmac<Sha256>>(key, bytes),
        }
    }

    fn hash(&self, bytes: &[u8]) -> Vec<u8> {
        match self.mechanism {
            SaslMechanism::ScramSha512 => Sha512::digest(bytes).to_vec(),
            _ => Sha256::digest(bytes).to_vec(),
        }
    }
}
