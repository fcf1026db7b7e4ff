//! From what rustls says of a failure to what users are told.

use std::io;

use ottla_core::{Disconnected, TlsFailure};
use rustls::{AlertDescription, CertificateError, Error};

/// A handshake came to nothing.
pub(super) fn of_handshake(error: &io::Error, has_certificate: bool) -> Disconnected {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, UnexpectedEof};
    match of_error(error, has_certificate) {
        Some(failure) => Disconnected::Tls(failure),
        None if matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted) => {
            Disconnected::Tls(TlsFailure::Closed)
        }
        None => Disconnected::Failed(error.to_string()),
    }
}

/// What TLS has to do with a failure to read or write; `None` where nothing.
pub(in crate::net) fn of_error(error: &io::Error, has_certificate: bool) -> Option<TlsFailure> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    Some(match error {
        Error::InvalidCertificate(why) => of_certificate(why),
        Error::AlertReceived(alert) => of_alert(*alert, has_certificate),
        Error::InvalidMessage(_) => TlsFailure::NotTls("what came is no TLS".to_owned()),
        Error::PeerIncompatible(why) => TlsFailure::NothingInCommon(format!("{why:?}")),
        other => TlsFailure::Other(other.to_string()),
    })
}

fn of_certificate(why: &CertificateError) -> TlsFailure {
    let text = why.to_string();
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsFailure::Expired(text),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            TlsFailure::NotYetValid(text)
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            TlsFailure::WrongHost(text)
        }
        CertificateError::UnknownIssuer => TlsFailure::UnknownAuthority(text),
        // It has signed itself, and does not say that it is for a server.
        _ if text.contains("CaUsedAsEndEntity") => {
            TlsFailure::UnknownAuthority("it is an authority's own, used for a server".to_owned())
        }
        _ => TlsFailure::BadCertificate(text),
    }
}

/// Under TLS 1.3 these come after the client's handshake has ended.
fn of_alert(alert: AlertDescription, has_certificate: bool) -> TlsFailure {
    use AlertDescription::{
        AccessDenied, BadCertificate, CertificateExpired, CertificateRequired, CertificateRevoked,
        CertificateUnknown, HandshakeFailure, InsufficientSecurity, ProtocolVersion, UnknownCA,
        UnsupportedCertificate,
    };
    let text = format!("its alert is {alert:?}");
    match alert {
        CertificateRequired => TlsFailure::CertificateRequired,
        BadCertificate
        | UnsupportedCertificate
        | CertificateRevoked
        | CertificateExpired
        | CertificateUnknown
        | UnknownCA
        | AccessDenied => match has_certificate {
            true => TlsFailure::CertificateRefused(text),
            false => TlsFailure::CertificateRequired,
        },
        ProtocolVersion | HandshakeFailure | InsufficientSecurity => TlsFailure::NothingInCommon(text),
        _ => TlsFailure::Other(format!("the broker ended TLS: {text}")),
    }
}
