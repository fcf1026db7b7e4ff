//! What to do where a broker and a client do not come together, by what is wrong.

use ottla::{SaslFailure, TlsFailure};

pub(super) fn for_tls(failure: &TlsFailure) -> &'static str {
    match failure {
        TlsFailure::UnknownAuthority(_) => {
            "name the authority that signed the broker's certificate in ssl.truststore.location (a PEM file will do)"
        }
        TlsFailure::Expired(_) => "give the broker a new certificate; or set this machine's clock right",
        TlsFailure::NotYetValid(_) => "set this machine's clock right, or wait",
        TlsFailure::WrongHost(_) => {
            "connect by a name that the certificate bears, or have one made that bears this one"
        }
        TlsFailure::CertificateRequired => {
            "give a client certificate: ssl.keystore.location, or ssl.keystore.certificate.chain and ssl.keystore.key"
        }
        TlsFailure::CertificateRefused(_) => {
            "have the client certificate signed by an authority that the broker trusts, for clients, and of today"
        }
        TlsFailure::NotTls(_) | TlsFailure::Closed => {
            "check the port, and security.protocol: this may be a listener without TLS"
        }
        TlsFailure::NothingInCommon(_) => {
            "check ssl.enabled.protocols and ssl.cipher.suites, here and at the broker"
        }
        _ => "check the ssl.* properties, and the files that they name",
    }
}

pub(super) fn for_sasl(failure: &SaslFailure) -> &'static str {
    match failure {
        SaslFailure::UnsupportedMechanism { .. } => {
            "set sasl.mechanism to one that the broker has, or have it enabled (sasl.enabled.mechanisms)"
        }
        SaslFailure::NotAskedFor => {
            "check the port, and security.protocol: this listener wants no authentication"
        }
        SaslFailure::Refused(_) => {
            "check user and password, and that the broker knows the user by this mechanism"
        }
        SaslFailure::BadServer(_) => "check whom you are connected to: it does not know the password",
        SaslFailure::NoToken(_) | SaslFailure::TokenUnavailable(_) => {
            "check where tokens come from: sasl.oauthbearer.token.endpoint.url, the client's id and secret"
        }
        _ => "look at the broker's log: it closed the connection while the client authenticated",
    }
}
