//! EndTxn, API key 26.

use crate::{ErrorCode, codec::message::messages};

messages! {
    EndTxnRequest(versions 0..=5, flexible 3..) {
        transactional_id: String,
        producer_id: i64,
        producer_epoch: i16,
        committed: bool,
    }

    EndTxnResponse(versions 0..=5, flexible 3..) {
        throttle_time_ms: i32,
        error_code: ErrorCode,
        producer_id: i64 [5..] = -1,
        producer_epoch: i16 [5..] = -1,
    }
}
