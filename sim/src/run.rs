//! Which world a seed is run in.

use crate::{
    case::Case,
    mode::Mode,
    processing,
    report::{Failure, Report},
    transactions, world,
};

/// Runs a seed. `journal` keeps what happened, for a failure's sake.
pub fn run(case: &Case, journal: bool) -> Result<Report, Box<Failure>> {
    match case.mode {
        Mode::Transactions => transactions::run(case, journal),
        Mode::Processing => processing::run(case, journal),
        _ => world::run(case, journal),
    }
}
