//! TLS: the handshake, and whom a client's certificate is of.

use std::{io, sync::Arc, time::Duration};

use ottla_protocol::Secret;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::subject::subject;

/// How long a client whose handshake failed is read from after it is told, so that what it has sent does not destroy that.
const LINGER: Duration = Duration::from_secs(1);
/// The first byte of a handshake.
const HANDSHAKE: u8 = 0x16;
/// What Java's TLS says to what is no TLS: a fatal alert, `internal_error`.
const NOT_TLS: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 80];

/// TLS 1.2 and 1.3 on every listener of a server. All files are PEM, given as their content.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The server's certificate, and those that lead from it to its authority, in this order.
    pub certificate_chain: Vec<u8>,
    /// The private key of the certificate, not encrypted: PKCS#8, PKCS#1 or SEC1.
    pub key: Secret,
    /// Whether clients are asked for certificates.
    pub client_auth: ClientAuth,
}

/// Kafka's `ssl.client.auth`. The principal of a client with a certificate is its subject, such as `User:CN=alice,O=Test`; of one
/// without it is `User:ANONYMOUS`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// `none`: what a client has is not asked for.
    #[default]
    None,
    /// `requested`: a client may have none, but one that it has is checked.
    Requested {
        /// The certificates of the authorities that are trusted, as PEM.
        ca: Vec<u8>,
    },
    /// `required`.
    Required {
        /// The certificates of the authorities that are trusted, as PEM.
        ca: Vec<u8>,
    },
}

impl Tls {
    /// With this certificate and key, and no question for the client's.
    pub fn new(certificate_chain: impl Into<Vec<u8>>, key: impl Into<Secret>) -> Self {
        Self { certificate_chain: certificate_chain.into(), key: key.into(), client_auth: ClientAuth::None }
    }

    /// Which clients' certificates are asked for.
    #[must_use]
    pub fn client_auth(mut self, client_auth: ClientAuth) -> Self {
        self.client_auth = client_auth;
        self
    }

    pub(super) fn acceptor(&self) -> io::Result<TlsAcceptor> {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong("TLS", error))?;
        let (ca, required) = match &self.client_auth {
            ClientAuth::None => (None, false),
            ClientAuth::Requested { ca } => (Some(ca), false),
            ClientAuth::Required { ca } => (Some(ca), true),
        };
        let builder = match ca {
            None => builder.with_no_client_auth(),
            Some(ca) => builder.with_client_cert_verifier(verifier(ca, required, provider)?),
        };
        let chain = certificates("the server's certificate", &self.certificate_chain)?;
        let key = PrivateKeyDer::from_pem_slice(self.key.expose())
            .map_err(|error| wrong("the server's key", format!("no private key in PEM ({error})")))?;
        let config = builder
            .with_single_cert(chain, key)
            .map_err(|error| wrong("the server's certificate and key", error))?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn wrong(what: &str, why: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{what}: {why}"))
}

fn certificates(what: &str, pem: &[u8]) -> io::Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| wrong(what, error))?;
    if found.is_empty() { Err(wrong(what, "no certificate in PEM")) } else { Ok(found) }
}

fn verifier(
    ca: &[u8],
    required: bool,
    provider: Arc<CryptoProvider>,
) -> io::Result<Arc<dyn ClientCertVerifier>> {
    let what = "the clients' authority";
    let mut roots = RootCertStore::empty();
    for certificate in certificates(what, ca)? {
        roots.add(certificate).map_err(|error| wrong(what, error))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = if required { builder } else { builder.allow_unauthenticated() };
    Ok(Arc::new(AsKafka(builder.build().map_err(|error| wrong(what, error))?)))
}

/// Tells clients no more than Kafka does of what is wrong with a certificate: alert 46, whatever it is.
#[derive(Debug)]
struct AsKafka(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for AsKafka {
    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.0.verify_client_cert(end_entity, intermediates, now).map_err(|error| {
            Error::InvalidCertificate(CertificateError::Other(rustls::OtherError(Arc::new(error))))
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Does the handshake. Returns the principal of the client's certificate, too, where there is one.
pub(super) async fn accept(
    acceptor: TlsAcceptor,
    mut stream: TcpStream,
) -> io::Result<(TlsStream<TcpStream>, Option<String>)> {
    let mut first = [0; 1];
    if stream.peek(&mut first).await? == 1 && first != [HANDSHAKE] {
        // As Java's: it answers once it has the head of a record.
        stream.read_exact(&mut [0; 5]).await?;
        stream.write_all(&NOT_TLS).await?;
        linger(stream).await;
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the client does not speak TLS"));
    }
    match acceptor.accept(stream).into_fallible().await {
        Ok(stream) => {
            let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            let principal = certificate.and_then(|certificate| subject(certificate));
            let principal = principal.map(|subject| format!("User:{subject}"));
            Ok((stream, principal))
        }
        Err((error, stream)) => {
            linger(stream).await;
            Err(error)
        }
    }
}

/// Says no more, and lets the client read what was said: a socket that is closed with unread bytes is reset.
async fn linger(mut stream: TcpStream) {
    let drain = async {
        stream.shutdown().await?;
        while stream.read(&mut [0; 4096]).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(LINGER, drain).await;
}
