//! Authorities, certificates and keys that are made for a test, and a folder for their files.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use ottla_broker::Tls;
use pkcs8::{
    PrivateKeyInfoRef,
    der::{Decode as _, pem::LineEnding},
    pkcs5::pbes2,
};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair};

/// An authority of certificates.
pub(crate) struct Ca {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// For 127.0.0.1.
    pub(crate) fn sign(&self, name: &str) -> Identity {
        self.sign_for(name, "127.0.0.1", |_| ())
    }

    pub(crate) fn sign_for(
        &self,
        name: &str,
        host: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Identity {
        let mut params = params(name, host);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Identity { certificate, key: key.serialize_pem() }
    }

    /// A broker with a certificate of this authority.
    pub(crate) fn tls(&self) -> Tls {
        self.sign("broker").tls()
    }
}

impl Identity {
    pub(crate) fn self_signed() -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = params("broker", "127.0.0.1").self_signed(&key).unwrap().pem();
        Self { certificate, key: key.serialize_pem() }
    }

    pub(crate) fn tls(self) -> Tls {
        Tls::new(self.certificate, self.key)
    }

    /// Both in one text, as a key store in PEM has them.
    pub(crate) fn both(&self) -> String {
        format!("{}{}", self.key, self.certificate)
    }

    /// With the key encrypted, in the way that openssl has by default.
    pub(crate) fn encrypted(&self, password: &str) -> Self {
        let (_, der) = pkcs8::SecretDocument::from_pem(&self.key).unwrap();
        let way = pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(2048, b"salt of 16 bytes", [7; 16]);
        let key = PrivateKeyInfoRef::from_der(der.as_bytes()).unwrap();
        let key = key.encrypt_with_params(way.unwrap(), password).unwrap();
        let key = key.to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF).unwrap();
        Self { certificate: self.certificate.clone(), key: key.to_string() }
    }
}

fn params(name: &str, host: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Test");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// A folder of its own, which is removed with what is in it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("ottla-tls-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Writes a file. Its path.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
