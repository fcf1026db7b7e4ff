//! SaslHandshake and SaslAuthenticate where nobody is to authenticate: on a listener that does not ask for it, and of who
//! has done so. They are refused, as Kafka does, and the connection stays usable. What is asked in time never comes here: see
//! `security/session.rs`.

use ottla_protocol::{
    ErrorCode,
    messages::{SaslAuthenticateResponse, SaslHandshakeResponse},
};

pub(super) fn handshake(forced: Option<ErrorCode>) -> SaslHandshakeResponse {
    let error_code = forced.unwrap_or(ErrorCode::IllegalSaslState);
    SaslHandshakeResponse { error_code, ..Default::default() }
}

pub(super) fn authenticate(forced: Option<ErrorCode>) -> SaslAuthenticateResponse {
    let error_code = forced.unwrap_or(ErrorCode::IllegalSaslState);
    let message = match forced {
        Some(code) => code.to_string(),
        None => "SaslAuthenticate request received after successful authentication".to_owned(),
    };
    SaslAuthenticateResponse { error_code, error_message: Some(message), ..Default::default() }
}
