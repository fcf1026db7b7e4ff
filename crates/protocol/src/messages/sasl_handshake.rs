//! SaslHandshake, API key 17: which mechanism a connection authenticates by (KIP-43). It knows no throttling.

use crate::{ErrorCode, codec::message::messages};

messages! {
    SaslHandshakeRequest(versions 0..=1, flexible 32767..) {
        mechanism: String,
    }

    SaslHandshakeResponse(versions 0..=1, flexible 32767..) {
        error_code: ErrorCode,
        mechanisms: Vec<String>,
    }
}
