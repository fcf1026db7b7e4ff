//! What the targets of `fuzz/` reach of what is this module's own.

#![allow(missing_docs, reason = "it is no part of the crate's interface")]

use std::path::Path;

use ottla_protocol::Secret;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::pem;
use crate::error::BuildError;

/// The certificates of a file, and the key of one that is no PEM.
pub fn store(
    bytes: &Secret,
    kind: Option<&str>,
    password: Option<&Secret>,
    key_password: Option<&Secret>,
) -> [Result<(Vec<CertificateDer<'static>>, Option<PrivateKeyDer<'static>>), BuildError>; 2] {
    let path = Path::new("store");
    let store = pem::Store { property: "ssl.keystore.location", path, kind, password, key_password };
    let identity = store.kind_of(bytes).and_then(|kind| match kind {
        pem::Kind::Pem => {
            pem::key("ssl.keystore.key", "it", bytes, key_password).map(|key| (Vec::new(), Some(key)))
        }
        _ => store.identity(bytes).map(|(chain, key)| (chain, Some(key))),
    });
    [store.certificates(bytes).map(|certificates| (certificates, None)), identity]
}
