//! What a process that the bench starts is told, and what it prints: one [`Lap`] over a topic, or the life of a member
//! of a group. Ottla's processes and those of the Rust peers share it; the Java and the Go ones print the same.

mod lap;
mod member;
mod meter;
mod peer;

pub use lap::{Course, tls};
pub use member::{Deliveries, Membership, Orders, Protocol, now_millis};
pub use meter::{Lap, Log, Meter, peak_of_children_kib, thread_cpu_micros};
pub use peer::lap;
