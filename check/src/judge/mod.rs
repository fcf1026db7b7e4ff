//! From a history to a report: first what is known (`facts`, which `gather` gathers), then a walk through what each process was handed (`walk`),
//! then what can only be said once all is known.

mod exactly_once;
mod facts;
mod finals;
mod gather;
mod group;
mod log;
mod told;
mod transactions;
mod walk;

use crate::{BadHistory, History, Report};
use facts::Facts;

/// Holds a history against what Kafka promises.
///
/// # Errors
///
/// [`BadHistory`]: it contradicts itself, as by a value that was sent twice.
pub fn judge(history: &History) -> Result<Report, BadHistory> {
    let facts = Facts::gather(history)?;
    let mut report = Report { counts: facts.counts, ..Report::default() };
    let mut found = Vec::new();
    log::check(&facts, &mut found);
    let walked = walk::check(&facts, &mut found);
    group::check(&facts, &mut found);
    let torn = transactions::check(&facts, &walked, &mut found);
    report.counts.unread = finals::check(&facts, &walked, &torn, &mut found);
    exactly_once::check(&facts, &mut found);
    found.sort_by_key(|anomaly| anomaly.kind);
    found.into_iter().for_each(|anomaly| report.add(anomaly));
    Ok(report)
}
