//! SaslHandshake and SaslAuthenticate, on a listener that asks for no authentication: refused, as Kafka does, and the
//! connection stays usable.

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
    let message = "SaslAuthenticate request received after successful authentication";
    SaslAuthenticateResponse { error_code, error_message: Some(message.to_owned()), ..Default::default() }
}
