//! Consumers and the embedded broker in one thread and in virtual time, everything drawn from one `u64`.
//!
//! A seed makes a world: a producer, consumers with their users, a network that delays, loses and breaks, and
//! the broker's core, which speak to each other in bytes. After a time of trouble the faults stop, and what was
//! acknowledged must be delivered within a bound. Invariants are checked at each step; the first that is broken ends the
//! seed.
//!
//! - `case`: which seed, of which `mode`, is run; `shrink`: makes a failure smaller.
//! - `stage`: what all share: the time, what is to come, the network, chance, the journal.
//! - `plan`: what a seed contains, and `variety`: what only some have; `trouble`: its faults; `setup`: how its machines are
//!   configured.
//! - `member`: a consumer, and `parting`: how it ends; `role`: what it is there for; `handed`: what is in its user's hands; `user`: who
//!   reads from it, by his `habits`, what else he `calls`, and his rebalance `listener`.
//! - `checks`: what is checked of it; `beginnings`: where it begins to read; `wire`: what it asks of brokers, and gets.
//! - `logs`: what the logs hold, and how they lose their beginning.
//! - `source`: the producer.
//! - `truth`: what is known from outside: produced, delivered, done, committed.
//! - `world`: the loop; `deeds`: what the plan has in store; `late`: what arrives when its time is over.
//! - `watch`: what is looked at all the time; `places`: those of static members; `reasons`: what members say of themselves.
//! - `ending`: what must come true in the end; `rest`: what is tried then.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "where the simulation is wrong about itself it has to stop"
)]

mod beginnings;
mod calls;
mod case;
mod checks;
mod deeds;
mod dice;
mod ending;
mod epochs;
mod habits;
mod handed;
mod helper;
mod host;
mod late;
mod listener;
mod logs;
mod member;
mod mode;
mod parting;
mod places;
mod plan;
mod reasons;
mod report;
mod rest;
mod role;
mod setup;
mod shrink;
mod source;
mod stage;
mod trouble;
mod truth;
mod user;
mod variety;
mod watch;
mod wire;
mod world;

pub use case::{Bug, Case};
pub use mode::Mode;
pub use report::{Failure, Report, Summary};
pub use shrink::shrink;
pub use stage::{Line, Violation};
pub use world::run;
