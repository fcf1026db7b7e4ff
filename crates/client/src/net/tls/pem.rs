//! Files and texts with certificates and keys: PEM, and a word on what else they may be.

use std::path::Path;

use ottla_protocol::Secret;
use pkcs8::{EncryptedPrivateKeyInfoRef, der, pkcs5};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer,
    pem::{self, PemObject},
};

use super::effort::Effort;
#[cfg(feature = "keystores")]
use super::{jks, stores, stores::Unopened};
use crate::{config::wrong, error::BuildError};

/// What kind of store a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Pem,
    Pkcs12,
    Jks,
}

/// A file that holds certificates, and it may be a key.
pub(super) struct Store<'a> {
    /// Whose value it is.
    pub(super) property: &'a str,
    pub(super) path: &'a Path,
    /// As it was said; where it was not, the bytes tell.
    pub(super) kind: Option<&'a str>,
    pub(super) password: Option<&'a Secret>,
    /// What opens the key in a store whose keys have passwords of their own.
    pub(super) key_password: Option<&'a Secret>,
}

/// A certificate and those between it and an authority, and the key that goes with it.
pub(super) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// How a store in JKS begins.
const JKS_MAGIC: [u8; 4] = [0xfe, 0xed, 0xfe, 0xed];
/// How DER begins: a sequence.
const DER: u8 = 0x30;
/// What a PKCS#12 store has first in its sequence: its version, the number 3. A certificate has another sequence there.
const PFX_VERSION: [u8; 3] = [2, 1, 3];

impl Store<'_> {
    pub(super) fn kind_of(&self, bytes: &Secret) -> Result<Kind, BuildError> {
        let bytes = bytes.expose();
        let seen = match bytes {
            _ if bytes.starts_with(&JKS_MAGIC) => Kind::Jks,
            _ if is_pkcs12(bytes) => Kind::Pkcs12,
            _ => Kind::Pem,
        };
        let said = match self.kind.map(str::to_uppercase).as_deref() {
            None => return Ok(seen),
            Some("PEM") => Kind::Pem,
            // Java's word for PKCS#12 is JKS, too: its loader looks at the file.
            Some("PKCS12" | "JKS") => return Ok(if seen == Kind::Pem { Kind::Pkcs12 } else { seen }),
            Some(other) => {
                let property = self.property.replace(".location", ".type");
                return Err(BuildError::invalid(&property, other, "PEM, PKCS12 or JKS"));
            }
        };
        Ok(said)
    }

    pub(super) fn certificates(&self, bytes: &Secret) -> Result<Vec<CertificateDer<'static>>, BuildError> {
        match self.kind_of(bytes)? {
            Kind::Pem => certificates(self.property, &self.path.display().to_string(), bytes),
            kind => self.of_store(kind, bytes).map(|(certificates, _)| certificates),
        }
    }

    pub(super) fn identity(&self, bytes: &Secret) -> Result<Identity, BuildError> {
        let (chain, key) = self.of_store(self.kind_of(bytes)?, bytes)?;
        let key = key.ok_or_else(|| self.wrong("there is no private key in it"))?;
        Ok((chain, key))
    }

    /// What a store of Java's holds.
    fn of_store(
        &self,
        kind: Kind,
        bytes: &Secret,
    ) -> Result<(Vec<CertificateDer<'static>>, Option<PrivateKeyDer<'static>>), BuildError> {
        let path = self.path.display();
        #[cfg(feature = "keystores")]
        {
            let opened = match kind {
                Kind::Jks => jks::read(bytes.expose(), self.password, self.key_password),
                _ => stores::pkcs12(bytes, self.password),
            };
            match opened {
                Ok((certificates, _)) if certificates.is_empty() => Err(self.wrong(&format!(
                    "there is no certificate in it; `keytool -list -keystore {path}` shows what there is"
                ))),
                Ok(content) => Ok(content),
                Err(Unopened::Password) => {
                    let password = self.property.replace(".location", ".password");
                    Err(wrong(
                        &password,
                        format!("it does not open {path}: it is the wrong one, or the store is damaged"),
                    ))
                }
                Err(Unopened::KeyPassword) => Err(wrong(
                    "ssl.key.password",
                    format!("the private key in {path} does not open by it, or by the store's"),
                )),
                Err(Unopened::Damaged(why)) => Err(self.wrong(&why)),
            }
        }
        #[cfg(not(feature = "keystores"))]
        {
            let _ = (bytes, kind, self.password, self.key_password);
            Err(self.wrong(&format!(
                "it is a key store of Java's, which this build does not read: enable the feature `keystores` of the crate, \
                 or make PEM of it by `openssl pkcs12 -in {path} -out store.pem -nodes`; of one in JKS `keytool \
                 -importkeystore -srckeystore {path} -destkeystore store.p12 -deststoretype PKCS12` first makes PKCS#12"
            )))
        }
    }

    fn wrong(&self, why: &str) -> BuildError {
        wrong(self.property, format!("{}: {why}", self.path.display()))
    }
}

/// The certificates in a text: at least one.
pub(super) fn certificates(
    property: &str,
    of: &str,
    text: &Secret,
) -> Result<Vec<CertificateDer<'static>>, BuildError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.expose()).collect();
    let found = found.map_err(|why| damaged(property, of, &why))?;
    match found.is_empty() {
        true => Err(wrong(property, none(of, "certificate", "CERTIFICATE", text))),
        false => Ok(found),
    }
}

/// The private key in a text.
pub(super) fn key(
    property: &str,
    of: &str,
    text: &Secret,
    password: Option<&Secret>,
) -> Result<PrivateKeyDer<'static>, BuildError> {
    key_within(Effort::MOST, property, of, text, password)
}

fn key_within(
    most: Effort,
    property: &str,
    of: &str,
    text: &Secret,
    password: Option<&Secret>,
) -> Result<PrivateKeyDer<'static>, BuildError> {
    const PASSWORD: &str = "ssl.key.password";
    let old = || {
        let how = "openssl pkcs8 -topk8 -v2 aes-256-cbc -in old.key -out new.key";
        wrong(
            property,
            format!(
                "the private key in {of} is encrypted in an old way that is not read here: `{how}` makes another of it"
            ),
        )
    };
    if let Some(block) = encrypted(text) {
        let garbled = |why: &dyn std::fmt::Display| wrong(property, format!("{of} is damaged: {why}"));
        let (_, document) = pkcs8::SecretDocument::from_pem(block).map_err(|why| garbled(&why))?;
        let info = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).map_err(|why| match why {
            // The algorithm is none that is known; PBES1's are told as damaged ones.
            pkcs8::Error::Asn1(asn1)
                if matches!(
                    asn1.kind(),
                    der::ErrorKind::OidUnknown { .. }
                        | der::ErrorKind::Value { tag: der::Tag::ObjectIdentifier }
                ) =>
            {
                old()
            }
            why => garbled(&why),
        })?;
        let Some(password) = password else {
            return Err(wrong(
                PASSWORD,
                format!("the private key in {of} is encrypted: its password is needed"),
            ));
        };
        if let Some(why) = Effort::of_key(&info.encryption_algorithm).beyond(most) {
            return Err(wrong(property, format!("{of} is not read: {why}")));
        }
        use pkcs5::Error::{NoPbes1CryptSupport, UnsupportedAlgorithm};
        let key = info.decrypt(password.expose()).map_err(|why| match why {
            pkcs8::Error::EncryptedPrivateKey(NoPbes1CryptSupport | UnsupportedAlgorithm { .. }) => old(),
            _ => wrong(PASSWORD, format!("it does not open the private key in {of}: it is the wrong one")),
        })?;
        return Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into());
    }
    // What openssl wrote before there was PKCS#8.
    if text.expose_text().is_some_and(|text| text.contains("Proc-Type: 4,ENCRYPTED")) {
        return Err(old());
    }
    PrivateKeyDer::from_pem_slice(text.expose()).map_err(|why| match why {
        pem::Error::NoItemsFound => wrong(property, none(of, "private key", "PRIVATE KEY", text)),
        why => damaged(property, of, &why),
    })
}

/// What is wrong with PEM. The error's own text shows the line, in which a key may stand.
fn damaged(property: &str, of: &str, why: &pem::Error) -> BuildError {
    let why = match why {
        pem::Error::IllegalSectionStart { .. } => {
            "a line that begins with `-----BEGIN` goes on after its dashes; each such line stands alone"
        }
        pem::Error::MissingSectionEnd { .. } => "a `-----BEGIN` has no `-----END` of the same kind",
        pem::Error::Base64Decode(_) => "what stands between `-----BEGIN` and `-----END` is no base64",
        _ => "it cannot be read",
    };
    wrong(property, format!("{of} is damaged PEM: {why}"))
}

/// Whether these are the bytes of a PKCS#12 store.
fn is_pkcs12(bytes: &[u8]) -> bool {
    let content = match bytes {
        // The length takes as many bytes more as are told.
        [DER, long, rest @ ..] if *long > 0x80 => rest.get(usize::from(*long & 0x7f)..),
        [DER, _, rest @ ..] => Some(rest),
        _ => None,
    };
    content.is_some_and(|content| content.starts_with(&PFX_VERSION))
}

/// The block of an encrypted private key, where there is one.
fn encrypted(text: &Secret) -> Option<&str> {
    const BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
    const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";
    let text = text.expose_text()?;
    let from = text.find(BEGIN)?;
    let end = text.get(from..)?.find(END)? + from + END.len();
    text.get(from..end)
}

/// What to say of a text in which nothing was found.
fn none(of: &str, what: &str, label: &str, text: &Secret) -> String {
    let hint = match text.expose() {
        [DER, ..] => {
            "; it looks like DER, or like a key store: openssl x509 -inform der makes PEM of a certificate"
        }
        _ => "",
    };
    format!("there is no {what} in {of}: PEM is expected, with `-----BEGIN {label}-----`{hint}")
}

#[cfg(test)]
mod tests {
    use pkcs8::{
        PrivateKeyInfoRef,
        der::{Decode as _, pem::LineEnding},
        pkcs5::{pbes2, scrypt},
    };

    use super::*;

    #[test]
    fn a_key_that_takes_more_rounds_or_memory_than_is_allowed_is_not_opened() {
        let der = rcgen::KeyPair::generate().unwrap().serialize_der();
        let info = PrivateKeyInfoRef::from_der(&der).unwrap();
        let by_rounds = pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(9, b"saltsalt", [1; 16]).unwrap();
        let params = scrypt::Params::new(3, 2, 1).unwrap();
        let by_memory = pbes2::Parameters::generate_scrypt_aes256cbc(params, b"saltsalt", [1; 16]).unwrap();
        for (params, rounds, memory) in [(by_rounds, 9, 0), (by_memory, 16, 18 * 128)] {
            let locked = info.encrypt_with_params(params, "secret").unwrap();
            let locked = locked.to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF).unwrap();
            let (text, password) = (Secret::from(locked.as_str()), Secret::from("secret"));
            let opened = |most| key_within(most, "ssl.keystore.key", "it", &text, Some(&password));
            let most = Effort { rounds, of_one: rounds, memory };
            assert!(opened(most).is_ok());
            let error = opened(Effort { rounds: rounds - 1, ..most }).unwrap_err().to_string();
            assert!(error.contains("rounds"), "{error}");
            if let Some(memory) = memory.checked_sub(1) {
                assert!(opened(Effort { memory, ..most }).is_err());
            }
        }
    }
}
