//! Records that flow through a group without a pause: who writes them, who is handed them, and what must be true of that.
//!
//! A [`Feed`] numbers the records of each partition and watches what the group commits; [`Member`]s are processes that
//! tell what they are handed; a [`History`] of both answers what was lost, repeated or late.

mod feed;
mod history;
mod member;

use std::time::SystemTime;

pub use feed::{Acked, Committed, Fed, Feed};
pub use history::{Delivery, History, quantile};
pub use member::{Log, Member};

/// Now, in milliseconds since 1970: the one clock that all processes of a machine share.
pub fn millis() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
