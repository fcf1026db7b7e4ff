//! About how many bytes are ahead of groups, from what their logs take on disk.

use std::collections::{BTreeMap, BTreeSet};

use ottla::{Admin, TopicPartition, error::AdminError};

use super::{
    asked::{AT_ONCE, Log, Seen},
    row::Row,
};
use crate::failure::{Failure, missing};

/// The column.
pub(super) const LAG_BYTES: &str = "LAG-BYTES";

/// How many bytes each log takes on its leader's disk.
#[derive(Debug)]
pub(super) struct Sizes(BTreeMap<TopicPartition, u64>);

impl Sizes {
    /// Of each log that was seen. What is not told is told once with its reason: it is the same for all, as a rule.
    pub(super) async fn ask(admin: &Admin, seen: &mut Seen) -> Result<Self, Failure> {
        let partitions: Vec<&TopicPartition> = seen.logs.keys().collect();
        let (mut sizes, mut refused) = (BTreeMap::new(), BTreeSet::new());
        for some in partitions.chunks(AT_ONCE) {
            for (at, size) in admin.log_sizes(some.iter().copied().cloned()).await? {
                match size {
                    Ok(size) => drop(sizes.insert(at, size)),
                    Err(error) => drop(refused.insert(why(&error))),
                }
            }
        }
        let note =
            |why| format!("{LAG_BYTES} is not known where brokers do not tell how large logs are: {why}");
        seen.notes.extend(refused.into_iter().map(note));
        Ok(Self(sizes))
    }

    /// The share of the log's bytes that its offsets ahead have, as if records were of one size.
    pub(super) fn ahead(&self, row: &Row) -> Option<u64> {
        share(*self.0.get(&row.at)?, row.lag?, row.log)
    }
}

fn why(error: &AdminError) -> String {
    match error.missing_permission() {
        Some(permission) => missing(&permission),
        None => format!("{error:#}"),
    }
}

fn share(bytes: u64, lag: i64, log: Log) -> Option<u64> {
    let there = u64::try_from(log.end?.checked_sub(log.begin?)?).ok()?;
    // What is deleted takes no bytes any more.
    let ahead = u64::try_from(lag).unwrap_or(0).min(there);
    let share = u128::from(bytes) * u128::from(ahead) / u128::from(there.max(1));
    u64::try_from(share).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_a_log_that_is_ahead_is_told_and_never_more_than_there_is() {
        let log = |begin, end| Log { begin: Some(begin), end: Some(end), ..Log::default() };
        assert_eq!(share(1_000, 25, log(100, 200)), Some(250));
        assert_eq!(share(1_000, 100, log(100, 200)), Some(1_000));
        assert_eq!(share(1_000, 150, log(100, 200)), Some(1_000), "a commit before the log's begin");
        assert_eq!(share(1_000, -5, log(100, 200)), Some(0), "a commit beyond its end");
        assert_eq!(share(1_000, 0, log(100, 100)), Some(0), "nothing is left of it but its last segment");
        assert_eq!(share(u64::MAX, i64::MAX, log(0, i64::MAX)), Some(u64::MAX));
        assert_eq!(share(1_000, 5, Log { end: Some(5), ..Log::default() }), None);
        assert_eq!(share(1_000, 5, log(5, 0)), None, "a log that ends before it begins");
    }
}
