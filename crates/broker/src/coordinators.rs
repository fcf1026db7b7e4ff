//! Who coordinates groups and transactions: as in Kafka the leaders of 50 partitions each. The hash of a name points to one of
//! them, so a group or a transactional id moves together with those of its partition.

use ottla_protocol::{ErrorCode, Now};

use crate::Cluster;

/// Kafka's `offsets.topic.num.partitions` and `transaction.state.log.num.partitions`.
const COORDINATING: usize = 50;

/// The leaders of the partitions that coordinate groups, or transactions.
#[derive(Debug)]
pub(crate) struct Coordinators([Leader; COORDINATING]);

#[derive(Debug, Clone, Copy, Default)]
struct Leader {
    node: i32,
    epoch: i32,
}

/// Which partitions have another leader.
#[derive(Debug)]
struct Moved([bool; COORDINATING]);

impl Coordinators {
    pub(crate) fn new(nodes: impl Iterator<Item = i32> + Clone) -> Self {
        let mut leaders = [Leader::default(); COORDINATING];
        for (leader, node) in leaders.iter_mut().zip(nodes.cycle()) {
            leader.node = node;
        }
        Self(leaders)
    }

    /// The coordinator of a name: -1 where none is up.
    pub(crate) fn of(&self, name: &str) -> i32 {
        self.0.get(partition_of(name)).map_or(-1, |leader| leader.node)
    }

    /// How often the coordinator of a name has changed.
    pub(crate) fn epoch_of(&self, name: &str) -> i32 {
        self.0.get(partition_of(name)).map_or(0, |leader| leader.epoch)
    }

    fn lead(&mut self, to: impl Fn(usize, i32) -> Option<i32>) -> Moved {
        let mut moved = [false; COORDINATING];
        for (partition, (leader, moved)) in self.0.iter_mut().zip(&mut moved).enumerate() {
            if let Some(node) = to(partition, leader.node).filter(|to| *to != leader.node) {
                (leader.node, leader.epoch, *moved) = (node, leader.epoch + 1, true);
            }
        }
        Moved(moved)
    }
}

/// The partition that coordinates a group or a transactional id: Java's hash of its name.
pub(crate) fn partition_of(name: &str) -> usize {
    let hash = name.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(unit.into()));
    (hash & i32::MAX) as usize % COORDINATING
}

impl Cluster {
    /// The broker that coordinates a group, -1 for none.
    pub fn coordinator(&self, group: &str) -> i32 {
        self.nodes.groups.of(group)
    }

    /// The broker that coordinates a transactional id, -1 for none.
    pub fn transaction_coordinator(&self, transactional_id: &str) -> i32 {
        self.nodes.transactions.of(transactional_id)
    }

    /// Makes `node` the coordinator of a group, and of those that share its partition of coordinators. Groups and
    /// offsets stay; requests that the old coordinator holds are answered NOT_COORDINATOR. Returns whether the broker
    /// is up.
    pub fn move_coordinator(&mut self, group: &str, node: i32, now: Now) -> bool {
        if !self.nodes.is_up(node) {
            return false;
        }
        self.move_group_coordinators(|partition, _| (partition == partition_of(group)).then_some(node), now);
        self.run(now);
        true
    }

    /// Makes `node` the coordinator of a transactional id, and of those that share its partition of coordinators.
    /// Transactions stay as they are. Returns whether the broker is up.
    pub fn move_transaction_coordinator(&mut self, transactional_id: &str, node: i32) -> bool {
        let is_up = self.nodes.is_up(node);
        if is_up {
            let of = partition_of(transactional_id);
            self.nodes.transactions.lead(|partition, _| (partition == of).then_some(node));
        }
        is_up
    }

    /// Gives what a broker coordinates to whom `to` says, if anybody.
    pub(crate) fn move_coordinators(&mut self, to: impl Fn(i32) -> Option<i32>, now: Now) {
        self.nodes.transactions.lead(|_, leader| to(leader));
        self.move_group_coordinators(|_, leader| to(leader), now);
    }

    /// The same for those of groups, by partition, and lets the groups know.
    fn move_group_coordinators(&mut self, to: impl Fn(usize, i32) -> Option<i32>, now: Now) {
        let Moved(moved) = self.nodes.groups.lead(to);
        let concerned = |group: &str| moved.get(partition_of(group)).copied().unwrap_or(false);
        self.groups.handle_move(concerned, &self.topics, now);
    }

    /// Whether `node` coordinates a group.
    pub(crate) fn check_coordinator(&self, node: i32, group: &str) -> Result<(), ErrorCode> {
        if self.coordinator(group) == node { Ok(()) } else { Err(ErrorCode::NotCoordinator) }
    }

    /// The same, for those requests that need a name.
    pub(crate) fn check_group(&self, node: i32, group: &str) -> Result<(), ErrorCode> {
        if group.is_empty() { Err(ErrorCode::InvalidGroupId) } else { self.check_coordinator(node, group) }
    }

    /// Whether `node` coordinates a transactional id, which must be one.
    pub(crate) fn check_transactional_id(&self, node: i32, id: &str) -> Result<(), ErrorCode> {
        match self.transaction_coordinator(id) {
            _ if id.is_empty() => Err(ErrorCode::InvalidRequest),
            coordinator if coordinator == node => Ok(()),
            _ => Err(ErrorCode::NotCoordinator),
        }
    }
}
