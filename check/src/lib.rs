//! Judges what a Kafka cluster and its clients did, from a history of what each process asked for and was told.
//!
//! A [`History`] is a flat list of timed operations: sends, polls, assignments, commits, transactions, crashes. It is
//! read from files of JSON lines, which any client can write; [`history`] is their format. [`judge`] holds it against
//! what Kafka promises, and returns a [`Report`] of what broke a promise, with the lines that prove it. The idea is that
//! of Jepsen's checker for queues like Kafka's.
//!
//! ```
//! use ottla_check::{History, Kind, judge};
//!
//! let lines = r#"
//! {"process":"w","at":1,"op":"send","partition":0,"value":"a","outcome":"ok","offset":0}
//! {"process":"w","at":2,"op":"send","partition":0,"value":"b","outcome":"ok","offset":1}
//! {"process":"r","at":3,"op":"assign","partitions":[{"partition":0}]}
//! {"process":"r","at":4,"op":"poll","records":[{"partition":0,"offset":0,"value":"a"}]}
//! {"process":"r","at":5,"op":"final","partition":0,"from":0,"to":2}
//! "#;
//! let mut history = History::default();
//! history.read("h.jsonl", lines.as_bytes())?;
//! let report = judge(&history)?;
//! assert_eq!(report.anomalies[0].kind, Kind::Lost);
//! assert_eq!(report.anomalies[0].offsets, [1]);
//! # Ok::<(), ottla_check::BadHistory>(())
//! ```
//!
//! What is uncertain is never held against anybody: a send that timed out may be in the log or not, and a commit that
//! timed out may have been taken, or be taken later.

#![warn(clippy::missing_errors_doc)]

pub mod history;
mod judge;
mod report;

pub use history::{BadHistory, History};
pub use judge::judge;
pub use report::{Anomaly, Counts, Evidence, Kind, Report};
