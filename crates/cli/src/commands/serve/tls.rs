//! TLS of `ottla serve`: its certificate and key, read once.

use std::{fmt::Display, fs, path::Path, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio_rustls::TlsAcceptor;

use crate::failure::Failure;

/// What speaks TLS 1.2 and 1.3 to those who come.
pub(super) fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, Failure> {
    let of = |flag: &'static str, path: &Path| {
        let path = path.display().to_string();
        move |why: &dyn Display| Failure::usage(format!("{flag} {path}: {why}"))
    };
    let (wrong, wrong_key) = (of("--tls-cert", certificate), of("--tls-key", key));
    let pem = fs::read(certificate).map_err(|error| wrong(&error))?;
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|error| wrong(&error))?;
    if chain.is_empty() {
        return Err(wrong(&"no certificate in PEM"));
    }
    let pem = ottla_broker::Secret::from(fs::read(key).map_err(|error| wrong_key(&error))?);
    let key = PrivateKeyDer::from_pem_slice(pem.expose())
        .map_err(|error| wrong_key(&format!("no private key in PEM that is not encrypted ({error})")))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| wrong(&format!("{error}; is the key that of this certificate?")))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
