//! Connections that were refused for good, and who is told: the next call that reads, the operations that need one, a close
//! that would wait for one.

use ottla_protocol::Now;

use super::{
    Consumer,
    ops::{OpFailure, Outcome},
};
use crate::{
    connections::{Kind, RefusedConnection, Target},
    ids::OpId,
};

/// What the next call that reads is to tell.
#[derive(Debug)]
pub(super) struct Untold {
    refused: RefusedConnection,
    /// The coordinator's: the membership is at stake, so it comes before records that are at hand.
    urgent: bool,
}

impl<F: Clone> Consumer<F> {
    /// Takes in what was refused since.
    pub(super) fn hear_refusals(&mut self, now: Now) {
        while let Some((target, kind, refused)) = self.hub.take_refusal(now) {
            let coordinator = self.group.as_ref().and_then(|group| group.coordinator.node());
            let is_coordinator = coordinator.is_some_and(|node| target == Target::Node(node));
            let urgent = is_coordinator && kind != Kind::Fetch;
            if urgent {
                self.lanes.fence().raise();
            }
            if urgent || self.refused.as_ref().is_none_or(|untold| !untold.urgent) {
                self.refused = Some(Untold { refused, urgent });
            }
            self.hub.wake = true;
        }
    }

    /// What the user is to be told who reads; only what is urgent, where there are records for him.
    pub(crate) fn take_refusal(&mut self, only_urgent: bool, now: Now) -> Option<RefusedConnection> {
        let told = self.refused.take_if(|untold| untold.urgent || !only_urgent)?;
        self.hub.connections.forgive(now);
        self.hub.stir = true;
        Some(told.refused)
    }

    /// Ends the operations that need a connection which was refused, and does not let a close wait for one.
    pub(super) fn refuse_what_waits(&mut self, now: Now) {
        if self.closing.is_none() && self.ops.open().next().is_none() {
            return;
        }
        let of_coordinator = self.refusal_of_coordinator(now);
        if let Some(closing) = self.closing.as_mut().filter(|_| of_coordinator.is_some()) {
            closing.give_up_coordinator(now);
        }
        let of_any = self.hub.connections.refusal_of_any(Kind::Main, now);
        let needed = |so_far: &Outcome| match so_far {
            Outcome::Commit(_) | Outcome::Committed(_) => of_coordinator.clone(),
            // Which broker leads is another's question.
            Outcome::Offsets(_) => of_any.clone(),
        };
        let refused: Vec<(OpId, RefusedConnection)> =
            self.ops.open().filter_map(|(op, open)| Some((op, needed(&open.so_far)?))).collect();
        if refused.is_empty() {
            return;
        }
        for (op, refused) in refused {
            self.ops.fail(op, OpFailure::Connection(refused));
        }
        self.hub.connections.forgive(now);
        self.hub.wake = true;
    }

    fn refusal_of_coordinator(&self, now: Now) -> Option<RefusedConnection> {
        let node = self.group.as_ref()?.coordinator.node();
        let of_node = |node| {
            let of = |kind| self.hub.connections.refusal(Target::Node(node), kind, now);
            of(Kind::Main).or_else(|| of(Kind::Join))
        };
        node.map_or_else(|| self.hub.refusal(now), of_node)
    }
}
