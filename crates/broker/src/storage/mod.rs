//! What survives the process: a directory with one journal, to which each thing that happens is appended before anybody is
//! told of it.
//!
//! The cluster decides, makes an [`Entry`] of what it decided, and has it kept ([`Cluster::keep`](crate::Cluster)): the entry is
//! written, then applied. What cannot be written is not applied, so that memory never holds more than the file. When the
//! directory is opened, the same entries are applied again, by the same code (`apply.rs`). A cluster without a directory
//! applies them and writes none.
//!
//! - `entry.rs`: what there is to keep, and its bytes;
//! - `frames.rs`: entries in a file, and how a file that was cut off is told from one that is damaged;
//! - `journal.rs`: the directory, its lock, appending;
//! - `snapshot.rs`: a state as entries, to which a journal is rewritten that has grown old.

mod apply;
mod entry;
mod frames;
#[cfg(ottla_fuzzing)]
pub(crate) mod fuzzing;
mod journal;
mod open;
mod snapshot;

pub(crate) use entry::{Entry, Kept, kept};
pub(crate) use journal::{Journal, Unkept};
