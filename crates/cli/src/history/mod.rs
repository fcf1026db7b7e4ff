//! What was seen of logs and groups, look by look, and what follows from it: when a record was written, and whether a group
//! keeps up. It asks nobody and knows no clock: each look comes with its time.

mod ends;
mod kept;
mod lows;
mod status;
mod steps;
mod trend;

#[cfg(test)]
mod growing;
#[cfg(test)]
pub(crate) mod seeds;

pub(crate) use self::{
    ends::{Ends, Written},
    status::{Look, Looks, Status, WINDOW},
    trend::{Point, SPAN, Trend},
};
