//! Key stores of Java's, in PKCS#12. Its own older format is in [`jks`](super::jks).

use ottla_core::caught;
use ottla_protocol::Secret;
use p12_keystore::error::Error;
use p12_keystore::{KeyStore, KeyStoreEntry, Pkcs12ImportPolicy};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::effort::Effort;

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
    within(Effort::MOST_OF_STORE, bytes, password)
}

fn within(most: Effort, bytes: &Secret, password: Option<&Secret>) -> Result<Content, Unopened> {
    if let Some(why) = Effort::of_store(bytes.expose()).beyond(most) {
        return Err(Unopened::Damaged(why));
    }
    let password = password.and_then(Secret::expose_text).unwrap_or_default();
    let open = || KeyStore::from_pkcs12(bytes.expose(), password, Pkcs12ImportPolicy::Relaxed);
    let store = caught(open).map_err(|panic| Unopened::Damaged(format!("it does not open: {panic}")))?;
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

#[cfg(test)]
mod tests {
    use p12_keystore::{EncryptionAlgorithm, MacAlgorithm};

    use super::*;

    #[test]
    fn a_store_whose_keys_take_more_rounds_than_are_allowed_is_not_opened() {
        let mut store = KeyStore::new();
        store.add_entry("key", KeyStoreEntry::Certificate(certificate()));
        let written = store
            .writer("secret")
            .encryption_algorithm(EncryptionAlgorithm::PbeWithHmacSha256AndAes256)
            .encryption_iterations(10)
            .mac_algorithm(MacAlgorithm::HmacSha256)
            .mac_iterations(5)
            .write();
        let (bytes, password) = (Secret::from(written.unwrap()), Secret::from("secret"));
        let opened = |rounds| within(Effort { rounds, ..Effort::MOST_OF_STORE }, &bytes, Some(&password));
        assert!(opened(15).is_ok_and(|(certificates, _)| certificates.len() == 1));
        let Err(Unopened::Damaged(why)) = opened(14) else { panic!("it is opened") };
        assert!(why.contains("15 rounds"), "{why}");
    }

    fn certificate() -> p12_keystore::Certificate {
        let made = rcgen::generate_simple_self_signed(["t".to_owned()]).unwrap();
        p12_keystore::Certificate::from_der(made.cert.der()).unwrap()
    }
}
