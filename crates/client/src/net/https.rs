//! What is asked over HTTP: by a blocking library, in threads beside the client's own.

use std::{sync::Arc, time::Duration};

use rustls::{crypto::ring, pki_types::CertificateDer};
use ureq::{
    Agent, Error,
    tls::{Certificate, RootCerts, TlsConfig},
};

/// Asks without following redirects, as whoever is sent elsewhere would show its secret there. An error status is an answer.
///
/// `authorities` are those that may sign servers' certificates.
pub(crate) fn agent(
    authorities: &[CertificateDer<'static>],
    connect_timeout: Duration,
    timeout: Duration,
) -> Agent {
    let roots: Vec<_> = authorities.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::from(roots))
        .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
        .build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .timeout_connect(Some(connect_timeout))
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        .max_redirects(0)
        .build();
    config.into()
}

/// Whether it stays so until somebody changes something.
pub(crate) fn stands(why: &Error) -> bool {
    match why {
        // An address or a certificate that is wrong.
        Error::BadUri(_) | Error::Tls(_) | Error::Rustls(_) => true,
        _ => is_untrusted(why),
    }
}

/// Whether it is about the server's certificate, which comes as a failure to read.
pub(crate) fn is_untrusted(why: &Error) -> bool {
    matches!(why, Error::Io(failed) if super::tls::of_error(failed, false).is_some())
}

/// A text as a part of a URL.
pub(crate) fn urlencode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
