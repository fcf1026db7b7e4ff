//! How numbers and texts stand in the values of headers.

use ottla_protocol::{Timestamp, records::TimestampType};

use super::Unreadable;

/// How many bytes of a text go into a header: an error may say as much as it likes, and a dead letter must fit into its topic.
pub const TEXT_MAX: usize = 8 << 10;

/// A text as far as it fits; a character is never cut.
pub(super) fn text(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_MAX)).unwrap_or_default()
}

/// The two's complement without leading bytes that say no more than the sign, the highest first, as Java's `BigInteger` has it: at
/// least one byte.
pub(super) fn minimal(number: i64) -> Vec<u8> {
    // The highest bit that differs from the sign, and the sign behind it.
    let bits = i64::BITS - (number ^ (number >> (i64::BITS - 1))).leading_zeros() + 1;
    let bytes = number.to_be_bytes();
    let skipped = bytes.len() - bits.div_ceil(8) as usize;
    bytes.get(skipped..).unwrap_or_default().to_vec()
}

/// The number of up to eight such bytes.
pub(super) fn from_minimal(bytes: &[u8]) -> Result<i64, Unreadable> {
    if bytes.len() > size_of::<i64>() {
        return Err(Unreadable::Length(bytes.len()));
    }
    let first = bytes.first().ok_or(Unreadable::Length(0))?;
    let sign = if first & 0x80 == 0 { 0 } else { -1 };
    Ok(bytes.iter().fold(sign, |number, byte| (number << 8) | i64::from(*byte)))
}

pub(super) fn int(bytes: &[u8]) -> Result<i32, Unreadable> {
    bytes.try_into().map(i32::from_be_bytes).map_err(|_| Unreadable::Length(bytes.len()))
}

pub(super) fn long(bytes: &[u8]) -> Result<i64, Unreadable> {
    bytes.try_into().map(i64::from_be_bytes).map_err(|_| Unreadable::Length(bytes.len()))
}

pub(super) fn utf8(bytes: &[u8]) -> Result<&str, Unreadable> {
    std::str::from_utf8(bytes).map_err(|_| Unreadable::NotUtf8)
}

pub(super) fn decimal<T: std::str::FromStr>(bytes: &[u8]) -> Result<T, Unreadable> {
    utf8(bytes)?.parse().map_err(|_| Unreadable::NotANumber)
}

/// A time, of which -1 is none.
pub(super) fn time(millis: i64) -> Result<Timestamp, Unreadable> {
    Timestamp::from_wire(millis).ok_or(Unreadable::NotTold)
}

const CREATE_TIME: &str = "CreateTime";
const LOG_APPEND_TIME: &str = "LogAppendTime";
const NO_TIMESTAMP_TYPE: &str = "NoTimestampType";

/// As Java names what the timestamp of a record means.
pub(super) fn timestamp_type(timestamp: Option<Timestamp>, means: TimestampType) -> &'static str {
    match (timestamp, means) {
        (None, _) => NO_TIMESTAMP_TYPE,
        (Some(_), TimestampType::LogAppendTime) => LOG_APPEND_TIME,
        (Some(_), _) => CREATE_TIME,
    }
}

pub(super) fn from_timestamp_type(bytes: &[u8]) -> Result<TimestampType, Unreadable> {
    match utf8(bytes)? {
        CREATE_TIME => Ok(TimestampType::CreateTime),
        LOG_APPEND_TIME => Ok(TimestampType::LogAppendTime),
        NO_TIMESTAMP_TYPE => Err(Unreadable::NotTold),
        _ => Err(Unreadable::NotATimestampType),
    }
}
