//! `ottla lag`: how far groups are behind the ends of their topics.

mod asked;
mod bytes;
mod exact;
mod places;
mod row;
mod watch;

use std::{
    collections::BTreeSet,
    io::{IsTerminal, stdout},
    time::Duration,
};

use ottla::{Admin, IsolationLevel};
use serde_json::Value;

use self::bytes::{LAG_BYTES, Sizes};
pub(super) use self::{
    asked::{Log, Seen},
    places::{Place, Placed, Places, Refused},
    row::{COLUMNS, Row, rows},
    watch::Watch,
};
use super::topics::with_admin;
use crate::{
    args::{Common, LagArgs},
    common::isolation,
    failure::{Failure, tell},
    output::{Table, print},
    signals::Stop,
};

/// How often it is looked, where nobody says so.
pub(super) const INTERVAL: Duration = Duration::from_secs(5);
/// Moves to the screen's corner, and clears it.
const CLEAR: &str = "\x1b[H\x1b[2J";

pub(super) async fn run(
    args: &LagArgs,
    common: &Common,
    verbose: bool,
    mut stop: Stop,
) -> Result<(), Failure> {
    let groups = args.groups.named();
    let lag = Lag { args, common, groups, verbose };
    if args.watch {
        return with_admin(common, async |admin| lag.watch(admin, &mut stop).await).await;
    }
    let mut watch = Watch::default();
    let looked = with_admin(common, async |admin| lag.look(admin, &mut watch).await);
    let (table, seen) = looked.await?;
    table.print(common.is_json())?;
    seen.notes.iter().for_each(tell);
    seen.failures.end()
}

struct Lag<'a> {
    args: &'a LagArgs,
    common: &'a Common,
    groups: Vec<String>,
    verbose: bool,
}

impl Lag<'_> {
    /// Looks once. Each row stands for itself: what is not known is a dash, and is told.
    async fn look(&self, admin: &Admin, watch: &mut Watch) -> Result<(Table, Seen), Failure> {
        let mut seen = Seen::ask(admin, &self.groups, &self.args.groups.filters).await?;
        watch.saw(&seen);
        if isolation(self.args.isolation.as_deref()) == IsolationLevel::ReadCommitted {
            seen.ask_stable(admin).await?;
        }
        let times = match self.args.exact {
            true => {
                let (times, missing) = exact::times(&seen, self.common).await?;
                seen.notes.extend(missing);
                Some(times)
            }
            false => None,
        };
        let sizes = match self.args.bytes {
            true => Some(Sizes::ask(admin, &mut seen).await?),
            false => None,
        };
        let columns: Vec<&str> = COLUMNS.into_iter().chain(sizes.as_ref().map(|_| LAG_BYTES)).collect();
        let mut table = Table::new(&columns);
        let mut without = Vec::new();
        for (group, description) in &seen.groups {
            let rows = rows(group, description, &seen, watch, times.as_ref());
            if rows.is_empty() {
                without.push(format!("`{group}` ({})", description.state));
            }
            for row in &rows {
                let mut cells: Vec<Value> = row.cells(group, description, watch.at()).into();
                cells.extend(sizes.as_ref().map(|sizes| Value::from(sizes.ahead(row))));
                table.push(cells);
            }
        }
        if !without.is_empty() {
            let without = without.join(", ");
            seen.notes.push(format!("neither a committed offset nor an assigned partition: {without}"));
        }
        if !self.verbose {
            table = table.without(&["LEADER-EPOCH"]);
        }
        if !self.args.watch {
            table = table.without(&["AT"]);
        }
        Ok((table, seen))
    }

    /// Looks again and again, until it is to stop. What goes wrong between is told, and once for as long as it lasts.
    async fn watch(&self, admin: &Admin, stop: &mut Stop) -> Result<(), Failure> {
        let (mut watch, mut told) = (Watch::default(), BTreeSet::new());
        let mut ticks = tokio::time::interval(self.args.interval.unwrap_or(INTERVAL));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut left = self.args.times.unwrap_or(u64::MAX);
        let mut is_first = true;
        while left > 0 {
            let looked = tokio::select! {
                () = stop.requested() => break,
                looked = async {
                    ticks.tick().await;
                    self.look(admin, &mut watch).await
                } => looked,
            };
            let notes: BTreeSet<String> = match looked {
                Ok((table, seen)) => {
                    self.separate(is_first)?;
                    table.print(self.common.is_json())?;
                    seen.failures.into_notes().chain(seen.notes).collect()
                }
                Err(failure) if is_first => return Err(failure),
                Err(failure) => [failure.to_string()].into(),
            };
            notes.difference(&told).for_each(tell);
            told = notes;
            is_first = false;
            left -= 1;
        }
        Ok(())
    }

    /// People see one table at a time.
    fn separate(&self, is_first: bool) -> Result<(), Failure> {
        match (self.common.is_json(), stdout().is_terminal()) {
            (true, _) => Ok(()),
            (false, true) => print(CLEAR),
            (false, false) if is_first => Ok(()),
            (false, false) => print("\n"),
        }
    }
}
