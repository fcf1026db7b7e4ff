//! Certificates and keys, read from where properties say that they are.

use std::path::Path;

use ottla_protocol::Secret;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer},
};

use super::{
    of_the_system,
    pem::{self, Identity, Kind},
};
use crate::{
    config::{ssl::Ssl, wrong},
    error::BuildError,
};

/// Whom to trust, and what to show.
pub(super) struct Material {
    pub(super) roots: RootCertStore,
    pub(super) identity: Option<Identity>,
}

const TRUSTSTORE: &str = "ssl.truststore.location";
const AUTHORITIES: &str = "ssl.truststore.certificates";
const KEYSTORE: &str = "ssl.keystore.location";
const CHAIN: &str = "ssl.keystore.certificate.chain";
const KEY: &str = "ssl.keystore.key";

impl Material {
    pub(super) fn read(ssl: &Ssl) -> Result<Self, BuildError> {
        Ok(Self { roots: roots(ssl)?, identity: identity(ssl)? })
    }
}

/// The authorities that are trusted, and the property that said so.
pub(super) fn authorities(ssl: &Ssl) -> Result<(&'static str, Vec<CertificateDer<'static>>), BuildError> {
    Ok(match (&ssl.authorities, &ssl.truststore) {
        (Some(text), _) => (AUTHORITIES, pem::certificates(AUTHORITIES, "it", text)?),
        (None, Some(path)) => {
            let file = file(TRUSTSTORE, path)?;
            let store = pem::Store {
                property: TRUSTSTORE,
                path,
                kind: ssl.truststore_type.as_deref(),
                password: ssl.truststore_password.as_ref(),
                key_password: None,
            };
            (TRUSTSTORE, store.certificates(&file)?)
        }
        (None, None) => (TRUSTSTORE, of_the_system()?),
    })
}

fn roots(ssl: &Ssl) -> Result<RootCertStore, BuildError> {
    let (key, certificates) = authorities(ssl)?;
    let mut roots = RootCertStore::empty();
    if ssl.authorities.is_none() && ssl.truststore.is_none() {
        // What cannot be used of the system's is not this user's matter.
        roots.add_parsable_certificates(certificates);
        return Ok(roots);
    }
    for certificate in certificates {
        roots
            .add(certificate)
            .map_err(|why| wrong(key, format!("a certificate in it cannot be used: {why}")))?;
    }
    Ok(roots)
}

fn identity(ssl: &Ssl) -> Result<Option<Identity>, BuildError> {
    let password = ssl.key_password.as_ref();
    if let Some(path) = &ssl.keystore {
        let text = file(KEYSTORE, path)?;
        let store = pem::Store {
            property: KEYSTORE,
            path,
            kind: ssl.keystore_type.as_deref(),
            password: ssl.keystore_password.as_ref(),
            key_password: password,
        };
        if store.kind_of(&text)? != Kind::Pem {
            return store.identity(&text).map(Some);
        }
        let chain = store.certificates(&text)?;
        let key = match (&ssl.key_file, &ssl.key) {
            (Some(path), _) => key_of_file(path, password)?,
            (None, Some(text)) => pem::key(KEY, "it", text, password)?,
            (None, None) => pem::key(KEYSTORE, &name(path), &text, password)?,
        };
        return Ok(Some((chain, key)));
    }
    match (&ssl.chain, &ssl.key, &ssl.key_file) {
        (None, None, None) => Ok(None),
        (Some(chain), Some(key), _) => {
            Ok(Some((pem::certificates(CHAIN, "it", chain)?, pem::key(KEY, "it", key, password)?)))
        }
        (Some(chain), None, Some(path)) => {
            let key = key_of_file(path, password)?;
            Ok(Some((pem::certificates(CHAIN, "it", chain)?, key)))
        }
        (Some(_), None, None) => Err(wrong(KEY, "there is a certificate, and no private key for it")),
        (None, ..) => Err(wrong(CHAIN, "there is a private key, and no certificate for it")),
    }
}

/// A key that is in a file of its own, as librdkafka has it.
fn key_of_file(path: &Path, password: Option<&Secret>) -> Result<PrivateKeyDer<'static>, BuildError> {
    const LOCATION: &str = "ssl.key.location";
    pem::key(LOCATION, &name(path), &file(LOCATION, path)?, password)
}

fn name(path: &Path) -> String {
    path.display().to_string()
}

/// What a file holds. It may be a key: it is overwritten when it is dropped.
fn file(property: &str, path: &Path) -> Result<Secret, BuildError> {
    let bytes =
        std::fs::read(path).map_err(|error| wrong(property, format!("{}: {error}", path.display())))?;
    match bytes.is_empty() {
        true => Err(wrong(property, format!("{}: the file is empty", path.display()))),
        false => Ok(bytes.into()),
    }
}
