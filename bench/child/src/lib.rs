//! What a process that the bench starts is told, and what it prints: one [`Lap`], or the life of a member of a
//! group. Ottla's processes and those of the Rust peers share it; the Java and the Go ones print the same.

mod holding;
mod lap;
mod member;
mod meter;
mod peer;
mod processing;
mod transform;
mod watch;
mod write;

pub use holding::{Holding, Told, Way};
pub use lap::{Course, tls};
pub use member::{Deliveries, Membership, Orders, Protocol, now_millis};
pub use meter::{Lap, Log, Meter, cpu_of_children_micros, peak_of_children_kib, thread_cpu_micros};
pub use peer::{lap, peer};
pub use processing::{ByWhat, Processing};
pub use transform::Transforming;
pub use watch::{Delays, Watch, now_micros};
pub use write::{Values, Writing};
