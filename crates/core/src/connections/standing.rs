//! Connections that stand already, for what does not open one by itself; and how long answers took over them.

use std::collections::BTreeMap;

use ottla_protocol::Now;

use super::{Connections, Kind, Target, link::State};
use crate::{ids::NodeId, telemetry::Took};

impl Connections {
    /// Those of this kind that stand.
    pub(crate) fn standing(&self, kind: Kind) -> impl Iterator<Item = Target> {
        let of_kind = self.links.iter().filter(move |((_, its), _)| *its == kind);
        of_kind.filter(|(_, link)| matches!(link.state, State::Ready { .. })).map(|((target, _), _)| *target)
    }

    /// As [`Connections::ready`], but that no connection is opened.
    pub(crate) fn may_send(&mut self, target: Target, kind: Kind, now: Now) -> bool {
        let link = self.links.get(&(target, kind)).filter(|link| matches!(link.state, State::Ready { .. }));
        let Some(address) = link.map(|link| link.address.clone()) else { return false };
        self.ready(target, kind, &address, now)
    }

    /// Opens a connection of the kind `new` to where one of the kind `old` leads. Returns whether there is any.
    pub(crate) fn open_beside(&mut self, target: Target, old: Kind, new: Kind, now: Now) -> bool {
        let address = self.links.get(&(target, old)).map(|link| link.address.clone());
        let is_there = address.is_some();
        address.map(|address| self.ready(target, new, &address, now));
        is_there
    }

    /// How many have come to be of use.
    pub(crate) fn connected(&self) -> u64 {
        self.connected
    }

    /// How long answers of each broker took since this was last asked.
    pub(crate) fn take_answers(&mut self) -> BTreeMap<NodeId, Took> {
        let mut of: BTreeMap<NodeId, Took> = BTreeMap::new();
        for ((target, _), link) in &mut self.links {
            if let Target::Node(node) = target {
                of.entry(*node).or_default().join(link.answers.take());
            }
        }
        of
    }
}
