//! A world of processors: members of a group that handle the records of a topic by the rules of `ottla_core::processing`, while
//! handlers are slow, fail, hang and are told to end, while members come, go, crash and lose their partitions, positions are moved
//! and commits fail.
//!
//! - `plan`: what a seed contains, and how that is drawn; `rules`: how its processors are configured; `once`: what seeds have
//!   beside that whose processors commit in transactions; `exactly_once`: how they are drawn, and what must have come of them.
//! - `written`: what the logs hold.
//! - `judge`: keeps its own record of what is handed out, started, ended and committed, and holds it against what is promised:
//!   `attempts` and commits (`committed`) by themselves, and a worker that is `at_rest`. `tenure`: of one partition in one worker's
//!   hands; `told`: what a commit says is done.
//! - `worker`: a process, with the driver of its consumer; `pumping`: its pump; `handling`: its handlers; `listening`: what it does
//!   when partitions come and go; `keeper`: what it commits with in transactions; `keeping`:
//!   how it does; `outcomes`: what became of those; `closing`: its end.
//! - `world`: the loop; `deeds`: what the plan has in store; `ending`: what must come true in the end.

mod at_rest;
mod attempts;
mod closing;
mod committed;
mod deeds;
mod ending;
mod exactly_once;
mod handling;
mod judge;
mod keeper;
mod keeping;
mod listening;
mod once;
mod outcomes;
mod plan;
mod pumping;
mod rules;
mod tenure;
mod told;
mod worker;
mod world;
mod written;

pub(crate) use world::run;
