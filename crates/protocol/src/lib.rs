//! The Kafka wire protocol: bytes to values and back, without I/O and without a panic on any input.
//!
//! - [`api`]: keys, versions, and the frames around messages.
//! - [`messages`]: the messages, one API a file.
//! - [`records`]: record batches, the only data that is not copied out of a frame.
//! - [`ErrorCode`]: the one table of what a broker's error means.
//!
//! Source: the protocol guide, and the schema files of Kafka 4.4.0 with which a test compares every field.

pub mod api;
pub mod codec;
mod error_code;
pub mod messages;
pub mod records;
pub mod time;

pub use api::{ApiKey, Request, RequestHeader, Response, ResponseHeader};
pub use codec::{ClientInstanceId, DecodeError, Secret, TopicId};
pub use error_code::ErrorCode;
pub use time::{Now, Timestamp};
