//! How far brokers' clocks are from this one, from times that brokers have written: those of commits in `__consumer_offsets`, and
//! those of topics whose records bear the time of their append.
//!
//! One that was not there at the look before was written while it was looked, by the leader of both looks: after the first began, and
//! before the second ended. So its clock is known from both sides. What stood there before says less: an earlier leader may have
//! written it, or this one before its clock was set. It is told where it is ahead, as no clock that is right ever wrote that.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ottla::{
    Admin, TopicPartition,
    admin::{Cluster, NodeId, OffsetSpec},
    error::AdminErrorKind,
};

use super::{
    finding::{Finding, Kind, Severity},
    topics::property,
};
use crate::epoch::now;

/// Where coordinators write commits.
const COMMITS: &str = "__consumer_offsets";
/// How many topics are asked whether their records bear the time of their append.
const ASKED: usize = 200;
/// From here on a difference matters, in milliseconds.
const SKEW: i64 = 1_000;
/// From here on it breaks what goes by time: tokens, certificates, records that are refused as too far ahead.
const LARGE: i64 = 60_000;

/// The newest time in each log, and what follows for the clocks of brokers.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    /// Those in which brokers write the time.
    topics: Option<BTreeSet<String>>,
    seen: BTreeMap<TopicPartition, Look>,
    skews: BTreeMap<NodeId, Skew>,
    /// Why nothing could be read.
    why: Option<String>,
}

/// A look at a log.
#[derive(Debug, Clone, Copy)]
struct Look {
    leader: NodeId,
    /// When it began, by this clock.
    begun: i64,
    /// The newest time that it saw, by the broker's.
    newest: Option<i64>,
}

/// How far a broker's clock is ahead of this one, in milliseconds; negative where it is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Skew {
    /// Between these, by what was written while it was looked.
    now: Option<(i64, i64)>,
    /// At least so much, by what stood there before.
    once: Option<i64>,
}

impl Skew {
    /// A look that ended at `ended` saw `newest`; the one before was of the same leader.
    fn saw(&mut self, newest: i64, ended: i64, before: Option<Look>) {
        // A newest time that is an older one has had what followed it deleted.
        match before.filter(|before| before.newest < Some(newest)) {
            Some(before) => {
                let (least, most) = (newest - ended, newest - before.begun);
                let known = self.now.map_or((least, most), |known| (known.0.max(least), known.1.min(most)));
                self.now = Some(known);
            }
            None => self.once = self.once.max(Some(newest - ended)),
        }
    }

    fn finding(self) -> Finding {
        let skewed = |by: i64, what: &str| {
            let seen = format!("its clock is {what} this machine's by {:.1?} at least", millis(by));
            let severity = if by >= LARGE { Severity::Error } else { Severity::Warning };
            Finding::new(Kind::ClockSkew, seen).severity(severity)
        };
        match (self.now, self.once) {
            // A time is taken a moment before it can be seen, and a look may begin between.
            (Some((least, most)), _) if least > most + SKEW => {
                Finding::new(Kind::ClockUnknown, "unknown: the times in its logs do not fit together")
            }
            (Some((least, _)), _) if least >= SKEW => skewed(least, "ahead of"),
            (Some((_, most)), _) if most <= -SKEW => skewed(-most, "behind"),
            (Some((least, most)), _) => {
                let (least, most) = (least.min(most), least.max(most));
                let seen = format!("its clock is between {least} and {most} ms ahead of this machine's");
                Finding::new(Kind::Clock, seen)
            }
            (None, Some(once)) if once >= SKEW => {
                let seen = format!(
                    "a time in its logs is ahead of this machine's clock by {:.1?}: its own clock is ahead, or was before it was set, or that of an earlier leader",
                    millis(once)
                );
                Finding::new(Kind::ClockSkew, seen)
            }
            _ => {
                let seen = "unknown: nothing was written while it was looked; what was written before is not ahead of this machine's clock";
                Finding::new(Kind::ClockUnknown, seen)
            }
        }
    }
}

impl Clocks {
    /// Looks once more. `read` are the topics of groups.
    pub(super) async fn look(&mut self, admin: &Admin, read: BTreeSet<String>) {
        let topics = match &self.topics {
            Some(topics) => topics.clone(),
            None => appended(admin, read).await,
        };
        self.topics = Some(topics.clone());
        let leaders = self.leaders(admin, topics).await;
        let begun = now();
        let wanted = leaders.keys().map(|at| (at.clone(), OffsetSpec::MaxTimestamp));
        let told = admin.list_offsets(wanted).await;
        let ended = now();
        let told = match told {
            Ok(told) => told,
            Err(error) => return self.why = Some(format!("{error:#}")),
        };
        for (at, told) in told {
            let newest = match told {
                Ok(told) => told.and_then(|told| told.timestamp).map(|time| time.0),
                Err(error) => {
                    self.why = Some(format!("{error:#}"));
                    continue;
                }
            };
            let Some(leader) = leaders.get(&at).copied() else { continue };
            let before = self.seen.insert(at, Look { leader, begun, newest });
            if let Some(newest) = newest {
                let before = before.filter(|before| before.leader == leader);
                self.skews.entry(leader).or_default().saw(newest, ended, before);
            }
        }
    }

    /// Who leads each log now: who led it at the look before may have lost it.
    async fn leaders(&mut self, admin: &Admin, topics: BTreeSet<String>) -> BTreeMap<TopicPartition, NodeId> {
        let described = match admin.describe_topics(topics).await {
            Ok(described) => described,
            Err(error) => {
                self.why = Some(format!("{error:#}"));
                return BTreeMap::new();
            }
        };
        let mut leaders = BTreeMap::new();
        for (name, told) in described {
            match told {
                Ok(topic) => {
                    let at = |number: i32| TopicPartition::new(name.as_str(), number);
                    let led = topic.partitions.into_iter();
                    leaders.extend(led.filter_map(|(number, it)| Some((at(number), it.leader?))));
                }
                // Nobody has committed yet, or it is no Kafka of Apache's.
                Err(error) if error.kind() == AdminErrorKind::UnknownTopic => {}
                Err(error) => self.why = Some(format!("{error:#}")),
            }
        }
        leaders
    }

    /// There is no log to look at.
    pub(super) fn is_blind(&self) -> bool {
        self.seen.is_empty()
    }

    pub(super) fn findings(&self, cluster: &Cluster) -> Vec<Finding> {
        let of = |(id, node): (&NodeId, &ottla::admin::Node)| {
            let finding = match (self.skews.get(id), &self.why) {
                (Some(skew), _) => skew.finding(),
                (None, None) => Finding::new(
                    Kind::ClockUnknown,
                    "unknown: it leads no log in which brokers write the time",
                ),
                (None, Some(why)) => {
                    Finding::new(Kind::ClockUnknown, format!("unknown: no time can be read: {why}"))
                }
            };
            finding.broker(*id).address(&node.address)
        };
        cluster.nodes.iter().map(of).collect()
    }
}

/// The topics in which brokers write the time.
async fn appended(admin: &Admin, read: BTreeSet<String>) -> BTreeSet<String> {
    let types = property(admin, read.into_iter().take(ASKED), "message.timestamp.type").await;
    let appended = types.into_iter().filter(|(_, kind)| kind == "LogAppendTime");
    appended.map(|(name, _)| name).chain([COMMITS.to_owned()]).collect()
}

fn millis(count: i64) -> Duration {
    Duration::from_millis(count.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A broker whose clock is so far ahead, and that writes at these times of this clock; looks begin each second, and take 10 ms.
    fn looked(ahead: i64, writes: &[i64], looks: i64) -> Finding {
        let (mut skew, mut before) = (Skew::default(), None);
        for begun in (0..looks).map(|look| 1_000_000 + look * 1_000) {
            let newest = writes.iter().filter(|at| **at <= begun + 5).max().map(|at| at + ahead);
            if let Some(newest) = newest {
                skew.saw(newest, begun + 10, before);
            }
            before = Some(Look { leader: NodeId(1), begun, newest });
        }
        skew.finding()
    }

    #[test]
    fn a_clock_is_told_from_what_is_written_between_two_looks() {
        let writes: Vec<i64> = (0..20).map(|n| 999_900 + n * 700).collect();
        for (ahead, kind, severity) in [
            (0, Kind::Clock, Severity::Ok),
            (300, Kind::Clock, Severity::Ok),
            (-300, Kind::Clock, Severity::Ok),
            (5_000, Kind::ClockSkew, Severity::Warning),
            (-5_000, Kind::ClockSkew, Severity::Warning),
            (3_600_000, Kind::ClockSkew, Severity::Error),
            (-3_600_000, Kind::ClockSkew, Severity::Error),
        ] {
            let found = looked(ahead, &writes, 10);
            assert_eq!((found.kind, found.severity), (kind, severity), "{ahead}: {}", found.seen);
        }
    }

    #[test]
    fn what_was_written_before_is_told_where_it_is_ahead_and_is_no_error() {
        let ahead = looked(3_600_000, &[999_000], 10);
        assert_eq!((ahead.kind, ahead.severity), (Kind::ClockSkew, Severity::Warning));
        assert!(ahead.seen.contains("earlier leader"), "{}", ahead.seen);
        assert_eq!(looked(-90_000, &[999_000], 10).kind, Kind::ClockUnknown);
        assert_eq!(looked(0, &[999_000], 10).kind, Kind::ClockUnknown);
        assert_eq!(looked(0, &[], 10).kind, Kind::ClockUnknown);
    }

    #[test]
    fn a_clock_that_was_set_right_is_judged_by_what_it_writes_now() {
        let mut skew = Skew::default();
        let before = |newest| Look { leader: NodeId(1), begun: 1_000_000, newest: Some(newest) };
        // In one log stands what it wrote before; in another what it writes while it is looked.
        skew.saw(4_600_000, 1_000_010, None);
        skew.saw(1_000_500, 1_001_010, Some(before(999_000)));
        assert_eq!(skew.finding().kind, Kind::Clock);
    }

    #[test]
    fn a_newest_time_that_falls_back_was_not_written_meanwhile() {
        let mut skew = Skew::default();
        let before = Look { leader: NodeId(1), begun: 1_000_000, newest: Some(999_000) };
        skew.saw(500_000, 1_000_010, Some(before));
        assert_eq!(skew.finding().kind, Kind::ClockUnknown, "its last segment was deleted");
    }

    #[test]
    fn times_that_do_not_fit_together_tell_nothing() {
        let skew = Skew { now: Some((5_000, -5_000)), once: None };
        assert_eq!(skew.finding().kind, Kind::ClockUnknown);
    }
}
