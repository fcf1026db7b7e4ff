//! SaslAuthenticate, API key 36: what the mechanism has to say (KIP-152), and for how long it holds (KIP-368).

use crate::{
    ErrorCode,
    codec::{Secret, message::messages},
};

messages! {
    SaslAuthenticateRequest(versions 0..=2, flexible 2..) {
        auth_bytes: Secret,
    }

    SaslAuthenticateResponse(versions 0..=2, flexible 2..) {
        error_code: ErrorCode,
        error_message: Option<String>,
        auth_bytes: Secret,
        session_lifetime_ms: i64 [1..],
    }
}
