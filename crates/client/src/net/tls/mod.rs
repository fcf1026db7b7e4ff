//! TLS, by rustls: what was configured becomes what a connection is opened with, and is read again when its files change.

mod effort;
mod failure;
#[cfg(ottla_fuzzing)]
pub(crate) mod fuzzing;
#[cfg(feature = "keystores")]
mod jks;
mod material;
mod pem;
#[cfg(feature = "keystores")]
mod stores;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use ottla_core::{ConnId, Disconnected, TlsFailure, log};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, HandshakeKind, ProtocolVersion, SignatureScheme,
    SupportedCipherSuite,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, UnixTime},
    version,
};
use tokio::io::BufReader;
use tokio_rustls::{TlsConnector, client::TlsStream};

pub(super) use self::failure::of_error;
use self::material::Material;
use super::opening::Transport;
use crate::{
    config::{ssl::Ssl, wrong},
    error::{BuildError, BuildErrorKind, Details as _},
};

/// How much is read off a socket at once: rustls by itself asks for some 4 KiB, and each question of the kernel costs more than to
/// copy what came.
const READ_AHEAD: usize = 64 << 10;

/// How a client's connections are secured. Connections share the sessions that brokers may resume.
#[derive(Debug)]
pub(crate) struct Tls {
    ssl: Ssl,
    current: Mutex<Current>,
}

#[derive(Debug, Clone)]
struct Current {
    config: Arc<ClientConfig>,
    /// Whether a client certificate is shown to a broker that asks for one.
    has_certificate: bool,
    files: Vec<Stamp>,
}

/// A file, as it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    seen: Option<(SystemTime, u64)>,
}

impl Stamp {
    fn of(path: &Path) -> Self {
        let seen = std::fs::metadata(path).ok().and_then(|meta| Some((meta.modified().ok()?, meta.len())));
        Self { path: path.to_owned(), seen }
    }

    /// All the files, as they are now.
    fn all(ssl: &Ssl) -> Vec<Self> {
        let files = [&ssl.truststore, &ssl.keystore, &ssl.key_file].into_iter().flatten();
        files.map(|path| Self::of(path)).collect()
    }
}

impl Tls {
    /// Reads all that was configured.
    pub(crate) fn new(ssl: &Ssl) -> Result<Self, BuildError> {
        let current = Mutex::new(read(ssl)?);
        if !ssl.verifies_host()? {
            tracing::warn!(target: log::CONNECTION, "host names are not compared with certificates");
        }
        Ok(Self { ssl: ssl.clone(), current })
    }

    /// What a new connection goes by. Where a file has changed, it is read again; if it cannot be, what was read before
    /// stays in use.
    fn current(&self) -> Current {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let files = Stamp::all(&self.ssl);
        if files != current.files {
            match read(&self.ssl) {
                Ok(new) => {
                    tracing::info!(target: log::CONNECTION, "certificates read again");
                    *current = new;
                }
                Err(why) => {
                    tracing::warn!(target: log::CONNECTION, %why, "certificates not read again");
                    // Not again before something changes: from how it was before it was read, as a key may follow its
                    // certificate a moment later.
                    current.files = files;
                }
            }
        }
        current.clone()
    }

    /// Agrees with the broker upon TLS.
    pub(super) async fn secure<S: Transport>(
        &self,
        host: &str,
        stream: S,
    ) -> Result<Secured<S>, Disconnected> {
        let failed = |why: String| Disconnected::Tls(TlsFailure::WrongHost(why));
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| failed(format!("`{host}` is no name that a certificate could bear")))?;
        let Current { config, has_certificate, .. } = self.current();
        let stream = BufReader::with_capacity(READ_AHEAD, stream);
        match TlsConnector::from(config).connect(name, stream).await {
            Ok(stream) => Ok(Secured { stream, has_certificate }),
            Err(error) => Err(failure::of_handshake(&error, has_certificate)),
        }
    }
}

/// A connection upon which TLS is spoken.
pub(super) struct Secured<S> {
    pub(super) stream: TlsStream<BufReader<S>>,
    pub(super) has_certificate: bool,
}

impl<S> Secured<S> {
    /// For an operator's log.
    pub(super) fn tell(&self, span: &tracing::Span, conn: ConnId, host: &str) {
        let (_, session) = self.stream.get_ref();
        let resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
        let version = match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLSv1.3",
        };
        let suite = session.negotiated_cipher_suite();
        tracing::debug!(target: log::CONNECTION, parent: span, %conn, host, version, suite = suite.as_ref().map(name_of_suite), resumed, "secured");
    }
}

fn read(ssl: &Ssl) -> Result<Current, BuildError> {
    // The files are looked at before they are read: what changes in between is read again.
    let files = Stamp::all(ssl);
    let material = Material::read(ssl)?;
    let has_certificate = material.identity.is_some();
    Ok(Current { config: Arc::new(configure(ssl, material)?), has_certificate, files })
}

fn configure(ssl: &Ssl, material: Material) -> Result<ClientConfig, BuildError> {
    let [protocols, suites] = ssl.allowed();
    let provider = Arc::new(provider(&suites)?);
    let versions: Vec<_> = protocols.iter().map(|name| version_of(name)).collect::<Result<_, _>>()?;
    let none = |_| wrong("ssl.cipher.suites", "none of them is for the versions in ssl.enabled.protocols");
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(&versions);
    let builder = builder.map_err(none)?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(material.roots), provider).build();
    let verifier = verifier.map_err(|why| wrong("ssl.truststore.location", why.to_string()))?;
    let builder = match ssl.verifies_host()? {
        true => builder.with_webpki_verifier(verifier),
        false => builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyHost(verifier))),
    };
    let Some((chain, key)) = material.identity else { return Ok(builder.with_no_client_auth()) };
    builder.with_client_auth_cert(chain, key).map_err(|why| match why {
        Error::InconsistentKeys(_) => {
            wrong("ssl.keystore.key", "the private key does not fit the certificate: it was made for another")
        }
        why => {
            BuildError::new(BuildErrorKind::InvalidValue).property("ssl.keystore.key").detail(why.to_string())
        }
    })
}

fn provider(suites: &[String]) -> Result<CryptoProvider, BuildError> {
    const KEY: &str = "ssl.cipher.suites";
    let mut provider = ring::default_provider();
    if suites.is_empty() {
        return Ok(provider);
    }
    let known = |wanted: &String| {
        let found = provider.cipher_suites.iter().find(|suite| name_of_suite(suite) == *wanted).copied();
        found.ok_or_else(|| {
            let all: Vec<String> = provider.cipher_suites.iter().map(name_of_suite).collect();
            BuildError::invalid(KEY, wanted, format!("any of {}", all.join(", ")))
        })
    };
    provider.cipher_suites = suites.iter().map(known).collect::<Result<_, _>>()?;
    Ok(provider)
}

/// Java and IANA say TLS_AES_128_GCM_SHA256 where rustls says TLS13_AES_128_GCM_SHA256.
fn name_of_suite(suite: &SupportedCipherSuite) -> String {
    format!("{:?}", suite.suite()).replace("TLS13_", "TLS_")
}

fn version_of(name: &str) -> Result<&'static rustls::SupportedProtocolVersion, BuildError> {
    match name {
        "TLSv1.2" => Ok(&version::TLS12),
        "TLSv1.3" => Ok(&version::TLS13),
        _ => Err(BuildError::invalid("ssl.enabled.protocols", name, "TLSv1.2, TLSv1.3, or both")),
    }
}

/// Believes a certificate that is signed by somebody who is trusted, for whatever host.
#[derive(Debug)]
struct AnyHost(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyHost {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        use rustls::CertificateError::{NotValidForName, NotValidForNameContext};
        match self.0.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            // The name is compared last.
            Err(Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) => {
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// The authorities that are trusted.
#[cfg(any(feature = "oidc", feature = "schema-registry"))]
pub(crate) fn authorities(ssl: &Ssl) -> Result<Vec<CertificateDer<'static>>, BuildError> {
    material::authorities(ssl).map(|(_, certificates)| certificates)
}

/// The authorities that the system trusts.
fn of_the_system() -> Result<Vec<CertificateDer<'static>>, BuildError> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let why = found.errors.first().map_or_else(String::new, |error| format!(": {error}"));
        let why = format!("the system has no authorities that it trusts{why}; give a file with the broker's");
        return Err(wrong("ssl.truststore.location", why));
    }
    Ok(found.certs)
}
