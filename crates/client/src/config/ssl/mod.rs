//! What TLS goes by, as properties say it: whom to trust, what to show, and what to accept.
//!
//! Java's names and librdkafka's are understood: people bring files along that were written for the one or the other.

use std::path::PathBuf;

use ottla_protocol::Secret;

#[cfg(feature = "tls")]
use super::value::list;
use super::{
    property::{JavaDefault::*, Property, properties},
    value::{secret, text, text_or_none},
};
use crate::error::{BuildError, BuildErrorKind, Details as _};

properties! {
    Ssl;
    "ssl.cipher.suites": "IANA's names, with commas between", "", Same,
        "The cipher suites that may be used; all that the provider knows where none is given",
        cipher_suites = text;
    "ssl.enabled.protocols": "TLSv1.2, TLSv1.3", "TLSv1.2,TLSv1.3", Same,
        "The versions of TLS that may be used",
        protocols = text;
    "ssl.endpoint.identification.algorithm": "https, or empty", "https", Same,
        "Whether the broker's certificate has to be for the host that is connected to; empty: it need not, and a warning says so",
        endpoint = text;
    "ssl.key.password": "text", "", Same,
        "The password of an encrypted private key",
        key_password = secret;
    "ssl.keystore.certificate.chain": "PEM", "", Same,
        "The client's certificate, and those between it and an authority",
        chain = secret;
    "ssl.keystore.key": "PEM", "", Same,
        "The private key that goes with it: PKCS#8, encrypted or not",
        key = secret;
    "ssl.keystore.location": "path", "", Same,
        "A file with the client's certificate and private key. It is read again when it changes, for new connections",
        keystore = path;
    "ssl.keystore.password": "text", "", Same,
        "The password of that file, where it has one",
        keystore_password = secret;
    "ssl.keystore.type": "PEM, PKCS12, JKS", "", Other("JKS"),
        "What kind of file it is; where it is not said, the file tells",
        keystore_type = text_or_none;
    "ssl.truststore.certificates": "PEM", "", Same,
        "The authorities that are trusted; the system's where none are given",
        authorities = secret;
    "ssl.truststore.location": "path", "", Same,
        "A file with the authorities that are trusted. It is read again when it changes, for new connections",
        truststore = path;
    "ssl.truststore.password": "text", "", Same,
        "The password of that file, where it has one",
        truststore_password = secret;
    "ssl.truststore.type": "PEM, PKCS12, JKS", "", Other("JKS"),
        "What kind of file it is; where it is not said, the file tells",
        truststore_type = text_or_none;
}

/// librdkafka's names for the same.
pub(super) const LIBRDKAFKA: &[(&str, &str)] = &[
    ("ssl.ca.location", "ssl.truststore.location"),
    ("ssl.ca.pem", "ssl.truststore.certificates"),
    ("ssl.certificate.location", "ssl.keystore.location"),
    ("ssl.certificate.pem", "ssl.keystore.certificate.chain"),
    ("ssl.key.location", "ssl.keystore.key"),
    ("ssl.key.pem", "ssl.keystore.key"),
];

/// What was said of it.
#[derive(Debug, Clone)]
pub(crate) struct Ssl {
    pub(crate) cipher_suites: String,
    pub(crate) protocols: String,
    pub(crate) endpoint: String,
    pub(crate) key_password: Option<Secret>,
    pub(crate) chain: Option<Secret>,
    pub(crate) key: Option<Secret>,
    pub(crate) keystore: Option<PathBuf>,
    /// librdkafka has the key in a file of its own.
    pub(crate) key_file: Option<PathBuf>,
    pub(crate) keystore_password: Option<Secret>,
    pub(crate) keystore_type: Option<String>,
    pub(crate) authorities: Option<Secret>,
    pub(crate) truststore: Option<PathBuf>,
    pub(crate) truststore_password: Option<Secret>,
    pub(crate) truststore_type: Option<String>,
}

impl Default for Ssl {
    fn default() -> Self {
        Self {
            cipher_suites: String::new(),
            protocols: "TLSv1.2,TLSv1.3".to_owned(),
            endpoint: "https".to_owned(),
            key_password: None,
            chain: None,
            key: None,
            keystore: None,
            key_file: None,
            keystore_password: None,
            keystore_type: None,
            authorities: None,
            truststore: None,
            truststore_password: None,
            truststore_type: None,
        }
    }
}

impl Ssl {
    /// Sets the property, if it is one of Kafka's or of librdkafka's.
    pub(super) fn take_any(&mut self, key: &str, value: &str) -> Result<bool, BuildError> {
        match key {
            "ssl.key.location" => self.key_file = path(key, value)?,
            "enable.ssl.certificate.verification" if value.trim() == "true" => {}
            "enable.ssl.certificate.verification" => {
                let why = "a client that believes any certificate is as good as one without TLS: name the authority in \
                           ssl.truststore.location";
                return Err(BuildError::new(BuildErrorKind::UnsupportedProperty).property(key).detail(why));
            }
            // librdkafka's word for the empty one.
            "ssl.endpoint.identification.algorithm" if value.trim() == "none" => self.endpoint.clear(),
            _ => {
                let kafkas = LIBRDKAFKA.iter().find(|(theirs, _)| *theirs == key).map(|(_, kafkas)| *kafkas);
                return self.take(kafkas.unwrap_or(key), value);
            }
        }
        Ok(true)
    }

    /// Whether names in certificates are compared with the host's.
    #[cfg(feature = "tls")]
    pub(crate) fn verifies_host(&self) -> Result<bool, BuildError> {
        match self.endpoint.to_lowercase().as_str() {
            "https" => Ok(true),
            "" => Ok(false),
            _ => Err(BuildError::invalid(
                "ssl.endpoint.identification.algorithm",
                &self.endpoint,
                "https, or nothing",
            )),
        }
    }

    /// The versions and the cipher suites that may be used, by their names.
    #[cfg(feature = "tls")]
    pub(crate) fn allowed(&self) -> [Vec<String>; 2] {
        [&self.protocols, &self.cipher_suites].map(|text| list(text).collect())
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as every reader of values")]
fn path(_key: &str, text: &str) -> Result<Option<PathBuf>, BuildError> {
    Ok(Some(text.trim()).filter(|text| !text.is_empty()).map(PathBuf::from))
}
