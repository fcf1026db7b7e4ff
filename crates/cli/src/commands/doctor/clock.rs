//! How far brokers' clocks are from this one, from times that brokers have written: those of commits in `__consumer_offsets`, and
//! those of topics whose records bear the time of their append.
//!
//! A time that stands in a log was written before it was seen, so its broker's clock is at least so far ahead. One that was not
//! there at the look before was written after that look began, so the clock is at most so far ahead. Where nothing is written while it
//! is looked, the second is not known: what is old, and what is of a clock that is behind, look the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ottla::{
    Admin, TopicPartition,
    admin::{Cluster, ConfigResource, NodeId, OffsetSpec, Topic},
    error::AdminErrorKind,
};

use super::{
    finding::{Finding, Kind, Severity},
    probe::written,
};

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
    topics: Option<BTreeMap<String, Topic>>,
    seen: BTreeMap<TopicPartition, Look>,
    skews: BTreeMap<NodeId, Skew>,
    /// Why nothing could be read.
    why: Option<String>,
}

/// A look at a log.
#[derive(Debug, Clone, Copy)]
struct Look {
    /// When it began, by this clock.
    begun: i64,
    /// The newest time that it saw, by the broker's.
    newest: Option<i64>,
}

/// How far a broker's clock is ahead of this one, in milliseconds; negative where it is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Skew {
    least: Option<i64>,
    most: Option<i64>,
}

impl Skew {
    /// A look that ended at `ended` saw `newest`, and the one before saw something else.
    fn saw(&mut self, newest: i64, ended: i64, before: Option<Look>) {
        self.least = self.least.max(Some(newest - ended));
        if let Some(before) = before.filter(|before| before.newest != Some(newest)) {
            let most = newest - before.begun;
            self.most = Some(self.most.map_or(most, |known| known.min(most)));
        }
    }

    fn finding(self) -> Finding {
        let skewed = |by: i64, what: &str| {
            let seen = format!("its clock is {what} this machine's by {:.1?} at least", millis(by));
            let severity = if by >= LARGE { Severity::Error } else { Severity::Warning };
            Finding::new(Kind::ClockSkew, seen).severity(severity)
        };
        match (self.least, self.most) {
            (Some(least), most) if least >= SKEW && most.is_none_or(|most| least <= most) => {
                skewed(least, "ahead of")
            }
            (least, Some(most)) if most <= -SKEW && least.is_none_or(|least| least <= most) => {
                skewed(-most, "behind")
            }
            (Some(least), Some(most)) if least <= most => {
                let seen = format!("its clock is between {least} and {most} ms ahead of this machine's");
                Finding::new(Kind::Clock, seen)
            }
            (Some(_), Some(_)) => {
                Finding::new(Kind::ClockUnknown, "unknown: the times in its logs do not fit together")
            }
            _ => {
                let seen = "unknown: its clock is not ahead of this machine's; nothing was written while it was looked, which would tell whether it is behind";
                Finding::new(Kind::ClockUnknown, seen)
            }
        }
    }
}

impl Clocks {
    /// Looks once more. `read` are the topics of groups.
    pub(super) async fn look(&mut self, admin: &Admin, read: BTreeSet<String>) {
        let topics = match self.topics.take() {
            Some(topics) => topics,
            None => match self.find(admin, read).await {
                Some(topics) => topics,
                None => return,
            },
        };
        let leaders: BTreeMap<TopicPartition, NodeId> = topics
            .iter()
            .flat_map(|(name, topic)| {
                let at = |number: &i32| TopicPartition::new(name.as_str(), *number);
                topic.partitions.iter().filter_map(move |(number, it)| Some((at(number), it.leader?)))
            })
            .collect();
        self.topics = Some(topics);
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
            let before = self.seen.insert(at.clone(), Look { begun, newest });
            if let (Some(newest), Some(leader)) = (newest, leaders.get(&at)) {
                self.skews.entry(*leader).or_default().saw(newest, ended, before);
            }
        }
    }

    /// The topics in which brokers write the time.
    async fn find(&mut self, admin: &Admin, read: BTreeSet<String>) -> Option<BTreeMap<String, Topic>> {
        let resources = read.into_iter().take(ASKED).map(ConfigResource::Topic);
        let described = admin.describe_configs(resources).await.unwrap_or_default();
        let is_appended = |(resource, told): (ConfigResource, Result<BTreeMap<String, _>, _>)| {
            let entry: ottla::admin::ConfigEntry = told.ok()?.remove("message.timestamp.type")?;
            match resource {
                ConfigResource::Topic(name) if entry.value.as_deref() == Some("LogAppendTime") => Some(name),
                _ => None,
            }
        };
        let names = described.into_iter().filter_map(is_appended).chain([COMMITS.to_owned()]);
        let names: Vec<String> = names.collect();
        match admin.describe_topics(names).await {
            Ok(told) => {
                let mut topics = BTreeMap::new();
                for (name, told) in told {
                    match told {
                        Ok(topic) => _ = topics.insert(name, topic),
                        // Nobody has committed yet, or it is no Kafka of Apache's.
                        Err(error) if error.kind() == AdminErrorKind::UnknownTopic => {}
                        Err(error) => self.why = Some(format!("{error:#}")),
                    }
                }
                Some(topics)
            }
            Err(error) => {
                self.why = Some(format!("{error:#}"));
                None
            }
        }
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
            finding.broker(*id).address(written(&node.address))
        };
        cluster.nodes.iter().map(of).collect()
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
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
            before = Some(Look { begun, newest });
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
    fn what_was_written_before_shows_a_clock_that_is_ahead_and_none_that_is_behind() {
        assert_eq!(looked(90_000, &[999_000], 10).kind, Kind::ClockSkew);
        assert_eq!(looked(-90_000, &[999_000], 10).kind, Kind::ClockUnknown);
        assert_eq!(looked(0, &[999_000], 10).kind, Kind::ClockUnknown);
        assert_eq!(looked(0, &[], 10).kind, Kind::ClockUnknown);
    }

    #[test]
    fn times_that_do_not_fit_together_tell_nothing() {
        let skew = Skew { least: Some(5_000), most: Some(-5_000) };
        assert_eq!(skew.finding().kind, Kind::ClockUnknown);
    }
}
