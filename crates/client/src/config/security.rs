//! Which of the four protocols a client speaks: with or without TLS, with or without SASL.

use super::{
    property::{JavaDefault::*, Property, properties},
    sasl::{Authentication, Sasl},
    ssl::Ssl,
};
use crate::error::{BuildError, BuildErrorKind, Details as _};

properties! {
    Secured;
    "security.protocol": "PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL", "PLAINTEXT", Same,
        "Whether connections are secured by TLS, and whether the client authenticates by SASL",
        protocol = protocol;
}

/// What the listener that is connected to asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum SecurityProtocol {
    #[default]
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

fn protocol(key: &str, text: &str) -> Result<SecurityProtocol, BuildError> {
    // librdkafka writes them small.
    match text.trim().to_uppercase().as_str() {
        "PLAINTEXT" => Ok(SecurityProtocol::Plaintext),
        "SSL" => Ok(SecurityProtocol::Ssl),
        "SASL_PLAINTEXT" => Ok(SecurityProtocol::SaslPlaintext),
        "SASL_SSL" => Ok(SecurityProtocol::SaslSsl),
        _ => Err(BuildError::invalid(key, text, "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL")),
    }
}

impl SecurityProtocol {
    fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    fn has_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

/// What was said of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Secured {
    pub(super) protocol: SecurityProtocol,
    pub(super) ssl: Ssl,
    pub(super) sasl: Sasl,
}

/// [`Secured`], valid.
#[derive(Debug, Clone, Default)]
pub(crate) struct SecurityConfig {
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<std::sync::Arc<crate::net::tls::Tls>>,
    pub(crate) authentication: Option<Authentication>,
}

impl Secured {
    /// Sets the property, if it is one of these.
    pub(super) fn take_any(&mut self, key: &str, value: &str) -> Result<bool, BuildError> {
        Ok(self.take(key, value)? || self.ssl.take_any(key, value)? || self.sasl.take_any(key, value)?)
    }

    pub(super) fn parse(&self) -> Result<SecurityConfig, BuildError> {
        if self.protocol.has_tls() && cfg!(not(feature = "tls")) {
            let error = BuildError::new(BuildErrorKind::UnsupportedProperty).property("security.protocol");
            return Err(error.detail("this build has no TLS: enable the feature `tls` of the crate"));
        }
        let authentication = self.protocol.has_sasl().then(|| self.sasl.parse(&self.ssl)).transpose()?;
        if authentication.as_ref().is_some_and(Authentication::shows_password) && !self.protocol.has_tls() {
            tracing::warn!(target: ottla_core::log::CONNECTION, "the password travels in the clear");
        }
        Ok(SecurityConfig {
            #[cfg(feature = "tls")]
            tls: self.tls()?,
            authentication,
        })
    }

    #[cfg(feature = "tls")]
    fn tls(&self) -> Result<Option<std::sync::Arc<crate::net::tls::Tls>>, BuildError> {
        let tls = self.protocol.has_tls().then(|| crate::net::tls::Tls::new(&self.ssl)).transpose()?;
        Ok(tls.map(std::sync::Arc::new))
    }
}
