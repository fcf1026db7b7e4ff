//! Key stores of Java's, in PKCS#12. Its own older format is in [`jks`](super::jks).

use ottla_protocol::Secret;
use p12_keystore::error::Error;
use p12_keystore::{KeyStore, KeyStoreEntry, Pkcs12ImportPolicy};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// What a store holds: certificates, and it may be a private key, whose own come first.
pub(super) type Content = (Vec<CertificateDer<'static>>, Option<PrivateKeyDer<'static>>);

/// Why a store does not open.
pub(super) enum Unopened {
    /// It is not the store's.
    Password,
    /// There is none for the key, or it is not the key's.
    KeyPassword,
    Damaged(String),
}

/// Reads a store.
pub(super) fn pkcs12(bytes: &Secret, password: Option<&Secret>) -> Result<Content, Unopened> {
    let password = password.and_then(Secret::expose_text).unwrap_or_default();
    let store = KeyStore::from_pkcs12(bytes.expose(), password, Pkcs12ImportPolicy::Relaxed);
    let store = store.map_err(|why| match why {
        Error::MacError(_) => Unopened::Password,
        why => Unopened::Damaged(format!("it does not open: {why}; is its password right?")),
    })?;
    let owned = |certificate: &p12_keystore::Certificate| CertificateDer::from(certificate.as_der().to_vec());
    if let Some((_, chain)) = store.private_key_chain() {
        let key = PrivatePkcs8KeyDer::from(chain.key().as_der().to_vec());
        return Ok((chain.certs().iter().map(owned).collect(), Some(key.into())));
    }
    let certificates = store.entries().filter_map(|(_, entry)| match entry {
        KeyStoreEntry::Certificate(certificate) => Some(owned(certificate)),
        _ => None,
    });
    Ok((certificates.collect(), None))
}
