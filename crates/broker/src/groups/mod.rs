//! Consumer groups with the classic protocol, as their coordinator sees them.
//!
//! One [`Group`] a group id, stepped by the group APIs and by time. What a group answers to requests that it held goes
//! into one list, which the cluster empties after each step.

mod group;
mod member;
mod offsets;
mod rebalance;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ottla_protocol::{Now, Response};

pub(crate) use group::{Group, Joined, State};
pub(crate) use member::{Join, JoinWait};
pub(crate) use offsets::{Committed, Committer};

use crate::{Config, ConnId, planted::Plot};

/// All groups of the cluster.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    pub(crate) rules: Rules,
    groups: BTreeMap<String, Group>,
    replies: Vec<(ConnId, Response)>,
}

/// What holds for every group.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rules {
    pub(crate) initial_delay: Duration,
    pub(crate) max_size: usize,
    pub(crate) plot: Plot,
}

/// One step of a group: when it is taken, and where its answers go.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) now: Instant,
    pub(crate) rules: Rules,
    pub(crate) replies: &'a mut Vec<(ConnId, Response)>,
}

impl Groups {
    pub(crate) fn new(config: &Config) -> Self {
        let rules = Rules {
            initial_delay: config.group_initial_rebalance_delay,
            max_size: config.group_max_size,
            plot: Plot::default(),
        };
        Self { rules, ..Self::default() }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Group)> {
        self.groups.iter().map(|(id, group)| (id.as_str(), group))
    }

    pub(crate) fn find(&self, id: &str) -> Option<&Group> {
        self.groups.get(id)
    }

    pub(crate) fn create(&mut self, id: &str) -> &mut Group {
        self.groups.entry(id.to_owned()).or_default()
    }

    /// Steps a group, where there is one.
    pub(crate) fn step<T>(
        &mut self,
        id: &str,
        now: Now,
        step: impl FnOnce(&mut Group, &mut Turn<'_>) -> T,
    ) -> Option<T> {
        let mut turn = Turn { now: now.mono, rules: self.rules, replies: &mut self.replies };
        self.groups.get_mut(id).map(|group| step(group, &mut turn))
    }

    pub(crate) fn handle_timeout(&mut self, now: Now) {
        let mut turn = Turn { now: now.mono, rules: self.rules, replies: &mut self.replies };
        self.groups.values_mut().for_each(|group| group.handle_timeout(&mut turn));
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.groups.values().filter_map(Group::next_timeout).min()
    }

    pub(crate) fn take_replies(&mut self) -> Vec<(ConnId, Response)> {
        std::mem::take(&mut self.replies)
    }

    /// Forgets what was committed for a topic that is no more.
    pub(crate) fn forget_topic(&mut self, name: &str) {
        for group in self.groups.values_mut() {
            group.offsets.retain(|(topic, _), _| topic != name);
        }
    }
}
