//! Consumers and the embedded broker in one thread and in virtual time, everything drawn from one `u64`.
//!
//! A seed makes a world: a producer, consumers with their users, a network that delays, loses and breaks, and
//! the broker's core, which speak to each other in bytes. After a time of trouble the faults stop, and what was
//! acknowledged must be delivered within a bound. Invariants are checked at each step; the first that is broken ends the
//! seed.
//!
//! - `case`: which seed, of which `mode`, is run; `shrink`: makes a failure smaller.
//! - `stage`: what all share: the time, what is to come, the network, chance, the journal.
//! - `plan`: what a seed contains, and `variety`: what only some have; `trouble`: its faults; `drawing`, `varying`: how all that is
//!   drawn. `setup`: what its machines have in common, and `configured`: how a consumer is set up by that.
//! - `client`: what a driver does, for the producer as for consumers; `host`: its connections and its alarm.
//! - `member`: a consumer, and `role`: what it is there for. What is known of it from outside, each by itself, with the
//!   invariants that it can check alone: `holdings` (what it has, and where that goes on), `membership` (what its coordinator
//!   has told it), `announced` (what its listener was told), `commits`, `volume`, `turns`; and its `user`, with his `habits`
//!   and what is `handed` to him.
//! - What adds to a member: `driving` (its turns), `events` (what it says happened), `reading`, `calls`, `subscribing`, `listener`,
//!   `parting` (what its user does), `helping` (what those of its other readers do), `checks`, `wire`, `beginnings`, `reasons`
//!   (what is held against all that). They import `member`, and it imports none of them.
//! - `logs`: what the logs hold; `trimming`: how they grow, and lose their beginning.
//! - `source`: the producer.
//! - `truth`: what is known from outside: produced, delivered, done, committed.
//! - `world`: the loop; `deeds`: what the plan has in store; `ghosts`, `late`: what arrives when its time is over.
//! - `watch`: what is looked at all the time; `leaders`: of partitions; `places`: those of static members.
//! - `transactions`: another world, of producers and consumers of transactions; `processing`: another, of processors, and `slip`: bugs of
//!   who drives them; `settled`: what logs hold by their markers; `run`: which world a seed is of; `pump`: what all do for the brokers.
//! - `phase`: how far a seed has come; `ending`: what must come true in the end; `rest`, `resting`: what is tried then.
//!
//! No two files import each other.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "where the simulation is wrong about itself it has to stop"
)]

mod announced;
mod beginnings;
mod between;
mod calls;
mod case;
mod checks;
mod client;
mod commits;
mod configured;
mod deeds;
mod dice;
mod drawing;
mod driving;
mod ending;
mod epochs;
mod events;
mod gather;
mod ghosts;
mod habits;
mod handed;
mod helper;
mod helping;
mod holdings;
mod host;
mod journal;
mod late;
mod leaders;
mod listener;
mod logs;
mod member;
mod membership;
mod mode;
mod parting;
mod phase;
mod places;
mod plan;
mod processing;
mod pump;
mod reading;
mod reasons;
mod report;
mod rest;
mod resting;
mod role;
mod run;
mod security;
mod settled;
mod setup;
mod shrink;
mod slip;
mod source;
mod stage;
mod subscribing;
mod transactions;
mod trimming;
mod trouble;
mod truth;
mod turns;
mod user;
mod variety;
mod varying;
mod volume;
mod watch;
mod wire;
mod world;

pub use case::{Bug, Case};
pub use mode::Mode;
pub use report::{Failure, Processed, Report, Summary, Transactions};
pub use run::run;
pub use shrink::shrink;
pub use slip::Slip;
pub use stage::{Line, Violation};
