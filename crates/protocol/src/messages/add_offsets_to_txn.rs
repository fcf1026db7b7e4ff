//! AddOffsetsToTxn, API key 25.

use crate::{ErrorCode, codec::message::messages};

messages! {
    AddOffsetsToTxnRequest(versions 0..=4, flexible 3..) {
        transactional_id: String,
        producer_id: i64,
        producer_epoch: i16,
        group_id: String,
    }

    AddOffsetsToTxnResponse(versions 0..=4, flexible 3..) {
        throttle_time_ms: i32,
        error_code: ErrorCode,
    }
}
