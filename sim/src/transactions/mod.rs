//! A world of transactions: what is written to an input topic in transactions is read, transformed and written to an output
//! topic with its offsets, exactly once, while producers crash, are fenced and time out, coordinators and leaders move, and
//! logs are cut.
//!
//! - `plan`: what a seed contains, and how that is drawn.
//! - `record`: what happened, as the checker reads it.
//! - `producing`, `consuming`: a machine of each kind, and what it says of itself for the record.
//! - `worker`, `writer`, `watcher`: who uses them. `actor`: any of the three.
//! - `world`: the loop; `deeds`: what the plan has in store; `ending`: what must come true in the end.

mod actor;
mod consuming;
mod deeds;
mod ending;
mod plan;
mod producing;
mod record;
mod watcher;
mod worker;
mod world;
mod writer;

pub(crate) use world::run;
