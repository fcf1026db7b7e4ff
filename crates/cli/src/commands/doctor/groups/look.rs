//! One look at groups: what is asked of the cluster. Each part stands for itself: what is refused hides nothing else.

use std::collections::{BTreeMap, BTreeSet};

use ottla::{
    Admin, IsolationLevel, OffsetAndTimestamp, TopicPartition,
    admin::{GroupDescription, GroupKind, OffsetSpec, Topic},
    error::{AdminError, AdminErrorKind},
};

use super::super::{
    finding::{Finding, Kind},
    refused,
};
use crate::commands::{
    lag::{Placed, Places, Refused},
    topics::begins_and_ends,
};

/// Where a log begins and ends, as far as that is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Log {
    pub(super) begin: Option<i64>,
    pub(super) end: Option<i64>,
    /// Where readers of committed records get to.
    pub(super) stable: Option<i64>,
}

/// What one look saw.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub(super) groups: BTreeMap<String, GroupDescription>,
    /// Where they are. A group that is not here was not told of, which is not the same as one that has committed nothing.
    pub(super) places: BTreeMap<String, Places>,
    pub(super) logs: BTreeMap<TopicPartition, Log>,
    /// Those that are there.
    pub(super) topics: BTreeMap<String, Topic>,
    /// Those that are not.
    pub(super) gone: BTreeSet<String>,
    /// What could not be told.
    pub(super) findings: Vec<Finding>,
    /// Each question was answered, if with a refusal of this or that.
    pub(super) is_answered: bool,
}

impl Look {
    /// At these groups; at all that there are where none is named.
    pub(super) async fn take(admin: &Admin, named: &[String]) -> Self {
        let mut look = Self::default();
        match look.ask(admin, named).await {
            Ok(()) => look.is_answered = true,
            Err(error) => look.findings.push(refused(&error)),
        }
        look
    }

    async fn ask(&mut self, admin: &Admin, named: &[String]) -> Result<(), AdminError> {
        let names: Vec<String> = match named.is_empty() {
            true => admin.list_groups().await?.into_keys().collect(),
            false => named.to_vec(),
        };
        for (name, told) in admin.describe_groups(names).await? {
            let missing = match told {
                // What brokers before 4.0 say of a group that is not there.
                Ok(group) if group.state == "Dead" => true,
                Ok(group) => {
                    self.groups.insert(name.clone(), group);
                    false
                }
                Err(error) if error.kind() == AdminErrorKind::UnknownGroup => true,
                Err(error) => {
                    self.findings.push(refused(&error));
                    false
                }
            };
            // One of all of them has been deleted meanwhile.
            if missing && !named.is_empty() {
                self.findings.push(Finding::new(Kind::GroupMissing, "there is no such group").group(&name));
            }
        }
        self.ask_places(admin).await?;
        self.ask_topics(admin).await?;
        self.ask_logs(admin).await
    }

    async fn ask_places(&mut self, admin: &Admin) -> Result<(), AdminError> {
        let Placed { places, refused: missed } = Placed::ask(admin, &self.groups).await?;
        self.places = places;
        for Refused { group, at, error } in missed {
            let is_share = self.groups.get(&group).is_some_and(|group| group.kind == GroupKind::Share);
            // A broker of before 4.1 tells nobody where share groups are.
            if is_share && at.is_none() && error.kind() == AdminErrorKind::Unsupported {
                continue;
            }
            let finding = refused(&error).group(&group);
            self.findings.push(match at {
                Some(at) => finding.partition(&at),
                None => finding,
            });
        }
        Ok(())
    }

    /// The topics that members want or have, or that have a commit.
    pub(super) fn wanted(&self) -> BTreeSet<String> {
        let members = || self.groups.values().flat_map(|group| &group.members);
        let assigned = members().flat_map(|member| &member.assignment);
        let committed = self.places.values().flat_map(BTreeMap::keys);
        let of_streams = self.groups.values().flat_map(|group| &group.source_topics);
        let subscribed = members().flat_map(|member| &member.subscription).chain(of_streams).cloned();
        assigned.chain(committed).map(|at| at.topic.clone()).chain(subscribed).collect()
    }

    async fn ask_topics(&mut self, admin: &Admin) -> Result<(), AdminError> {
        for (name, told) in admin.describe_topics(self.wanted()).await? {
            match told {
                Ok(topic) => _ = self.topics.insert(name, topic),
                Err(error) if error.kind() == AdminErrorKind::UnknownTopic => _ = self.gone.insert(name),
                Err(error) => self.findings.push(refused(&error)),
            }
        }
        Ok(())
    }

    /// Of the partitions that have a leader: nobody waits for one, which is a finding of the topic.
    async fn ask_logs(&mut self, admin: &Admin) -> Result<(), AdminError> {
        let members = self.groups.values().flat_map(|group| &group.members);
        let assigned = members.flat_map(|member| &member.assignment);
        let all = self.places.values().flat_map(BTreeMap::keys).chain(assigned);
        let is_led = |at: &&TopicPartition| {
            let topic = self.topics.get(&at.topic);
            topic.and_then(|topic| topic.partitions.get(&at.partition)).is_some_and(|it| it.leader.is_some())
        };
        let led: BTreeSet<TopicPartition> = all.filter(is_led).cloned().collect();
        let latest = led.iter().map(|at| (at.clone(), OffsetSpec::Latest));
        // Before the ends, so that what is written between looks like what is open, and not the other way round.
        let stable = admin.list_offsets_for(IsolationLevel::ReadCommitted, latest).await?;
        let (begins, ends) = begins_and_ends(admin, &led).await?;
        let offset = |told: Option<OffsetAndTimestamp>| told.map(|told| told.offset);
        let mut refusals: BTreeMap<TopicPartition, AdminError> = BTreeMap::new();
        for (told, which) in [(stable, 0), (begins, 1), (ends, 2)] {
            for (at, told) in told {
                let log = self.logs.entry(at.clone()).or_default();
                match (told, which) {
                    (Ok(told), 0) => log.stable = offset(told),
                    (Ok(told), 1) => log.begin = offset(told),
                    (Ok(told), _) => log.end = offset(told),
                    // All are of one leader: what is wrong there is told once.
                    (Err(error), _) => _ = refusals.insert(at, error),
                }
            }
        }
        self.findings.extend(refusals.values().map(unknown));
        Ok(())
    }
}

fn unknown(error: &AdminError) -> Finding {
    let finding = refused(error);
    match finding.kind {
        Kind::NotAnswered => Finding { place: finding.place, ..Finding::new(Kind::LogUnknown, finding.seen) },
        _ => finding,
    }
}
