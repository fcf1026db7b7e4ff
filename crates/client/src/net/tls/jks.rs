//! Key stores in JKS, which Java's `keytool` wrote until Java 9, and which many trust stores still are.
//!
//! No kept crate reads them: `jks` 0.3 allocates by the counts that it finds in the file. The format is that of
//! OpenJDK's `sun.security.provider.JavaKeyStore` (`KeyProtector` for the keys):
//!
//! ```text
//! store: magic u32, version u32 (1 or 2), count u32, entries, digest
//! entry: 1 u32, alias, date u64, protected key, count u32, certificates; or 2 u32, alias, date u64, certificate
//! alias: its length u16, text; certificate: in version 2 its type as the alias; its length u32, DER
//! ```
//!
//! The digest is SHA-1 of the password, a phrase, and all before it. A protected key is xored with a stream of
//! SHA-1 digests.

use ottla_protocol::Secret;
use pkcs8::der::{Decode, Reader as _, SliceReader, asn1::OctetStringRef};
use pkcs8::spki::AlgorithmIdentifierRef;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use sha1::{Digest, Sha1};

use super::stores::{Content, Unopened};

const PHRASE: &[u8] = b"Mighty Aphrodite";
const DIGEST: usize = 20;

/// Reads a store: its first key and that one's chain; where it has no key, its certificates.
///
/// Without the store's password nothing tells whether somebody changed it. A key opens with its own password, or else
/// with the store's.
pub(super) fn read(
    bytes: &[u8],
    password: Option<&Secret>,
    of_key: Option<&Secret>,
) -> Result<Content, Unopened> {
    let (body, digest) = bytes.split_last_chunk::<DIGEST>().ok_or_else(damaged)?;
    if let Some(password) = password {
        let seen = Sha1::new()
            .chain_update(utf16(password).expose())
            .chain_update(PHRASE)
            .chain_update(body)
            .finalize();
        if seen[..] != digest[..] {
            return Err(Unopened::Password);
        }
    }
    let mut rest = Rest(body);
    rest.u32()?;
    let version = rest.u32()?;
    if !matches!(version, 1 | 2) {
        return Err(Unopened::Damaged(format!("it has version {version} of JKS, and 1 and 2 are known")));
    }
    let mut trusted = Vec::new();
    for _ in 0..rest.u32()? {
        let tag = rest.u32()?;
        rest.text()?;
        rest.take(size_of::<u64>())?;
        match tag {
            1 => {
                let key = rest.bytes()?;
                let chain = (0..rest.u32()?).map(|_| rest.certificate(version)).collect::<Result<_, _>>()?;
                let password = of_key.or(password).ok_or(Unopened::KeyPassword)?;
                return Ok((chain, Some(PrivatePkcs8KeyDer::from(unlocked(key, password)?).into())));
            }
            2 => trusted.push(rest.certificate(version)?),
            _ => return Err(damaged()),
        }
    }
    Ok((trusted, None))
}

/// Opens a key: the content of an `EncryptedPrivateKeyInfo` is a salt, the key, and a digest of password and key.
fn unlocked(key: &[u8], password: &Secret) -> Result<Vec<u8>, Unopened> {
    let mut info = SliceReader::new(key).map_err(|_| damaged())?;
    let protected = info.sequence(|info| {
        AlgorithmIdentifierRef::decode(info)?;
        <&OctetStringRef>::decode(info)
    });
    let protected = protected.map_err(|_: pkcs8::der::Error| damaged())?.as_bytes();
    let (salt, rest) = protected.split_first_chunk::<DIGEST>().ok_or_else(damaged)?;
    let (locked, digest) = rest.split_last_chunk::<DIGEST>().ok_or_else(damaged)?;
    let password = utf16(password);
    let mut plain = Vec::with_capacity(locked.len());
    let mut stream = *salt;
    for block in locked.chunks(DIGEST) {
        stream = Sha1::new().chain_update(password.expose()).chain_update(stream).finalize().into();
        plain.extend(block.iter().zip(stream).map(|(byte, of_stream)| byte ^ of_stream));
    }
    let seen = Sha1::new().chain_update(password.expose()).chain_update(&plain).finalize();
    if seen[..] == digest[..] { Ok(plain) } else { Err(Unopened::KeyPassword) }
}

/// A password as Java has it: two bytes a character.
fn utf16(password: &Secret) -> Secret {
    let text = password.expose_text().unwrap_or_default();
    text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>().into()
}

fn damaged() -> Unopened {
    Unopened::Damaged("it is damaged: it ends early, or has what no key store has".to_owned())
}

/// What is not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Unopened> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, Unopened> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or_else(damaged)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*bytes))
    }

    fn bytes(&mut self) -> Result<&'a [u8], Unopened> {
        let length = self.u32()?;
        self.take(usize::try_from(length).map_err(|_| damaged())?)
    }

    fn text(&mut self) -> Result<&'a [u8], Unopened> {
        let (length, rest) = self.0.split_first_chunk().ok_or_else(damaged)?;
        self.0 = rest;
        self.take(u16::from_be_bytes(*length).into())
    }

    fn certificate(&mut self, version: u32) -> Result<CertificateDer<'static>, Unopened> {
        if version == 2 {
            self.text()?;
        }
        Ok(CertificateDer::from(self.bytes()?.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    use rustls::pki_types::PrivateKeyDer;

    use super::*;

    // Made by keytool of Java 17: a P-256 key with a chain of one, and a store of two certificates.
    const KEY: &str = include_str!("jks/key.jks.base64");
    const TRUSTED: &str = include_str!("jks/trusted.jks.base64");
    // The same key out of a PKCS#12 store, by openssl.
    const PLAIN: &str = include_str!("jks/key.pkcs8.base64");

    fn decoded(text: &str) -> Vec<u8> {
        BASE64_STANDARD.decode(text.replace('\n', "")).unwrap()
    }

    fn opened(store: &str, password: Option<&str>, of_key: Option<&str>) -> Result<Content, Unopened> {
        let [password, of_key] = [password, of_key].map(|text| text.map(Secret::from));
        read(&decoded(store), password.as_ref(), of_key.as_ref())
    }

    #[test]
    fn a_key_opens_with_its_own_password_or_else_with_the_stores() {
        for (password, of_key) in [(Some("store-secret"), None), (None, Some("store-secret"))] {
            let Ok((chain, Some(PrivateKeyDer::Pkcs8(key)))) = opened(KEY, password, of_key) else {
                panic!("it does not open")
            };
            assert_eq!(chain.len(), 1);
            assert_eq!(key.secret_pkcs8_der(), decoded(PLAIN));
        }
        assert!(matches!(opened(KEY, Some("wrong"), None), Err(Unopened::Password)));
        for of_key in [None, Some("wrong")] {
            assert!(matches!(opened(KEY, None, of_key), Err(Unopened::KeyPassword)));
        }
    }

    #[test]
    fn a_store_of_authorities_opens_with_or_without_its_password() {
        for password in [Some("store-secret"), None] {
            let Ok((trusted, None)) = opened(TRUSTED, password, None) else { panic!("it does not open") };
            assert_eq!(trusted.len(), 2);
        }
        assert!(matches!(opened(TRUSTED, Some("wrong"), None), Err(Unopened::Password)));
    }

    #[test]
    fn a_store_that_ends_early_or_has_other_bytes_is_told_as_damaged() {
        for store in [KEY, TRUSTED] {
            let store = decoded(store);
            for end in 0..store.len() {
                // Whatever it is, it is told, and nothing is made room for that is not there.
                let _ = read(&store[..end], None, Some(&Secret::from("store-secret")));
                let mut other = store.clone();
                other[end] = 0xff;
                let _ = read(&other, None, Some(&Secret::from("store-secret")));
            }
            assert!(matches!(read(&store[..store.len() / 2], None, None), Err(Unopened::Damaged(_))));
        }
    }
}
