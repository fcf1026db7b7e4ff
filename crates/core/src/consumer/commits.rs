//! What became of commits, and when they are waited for no longer.

use ottla_protocol::{ErrorCode, Now};

use super::Consumer;
use crate::{
    event::{CommitGivenUp, Event},
    group::GroupNews,
    offsets::{CommitRefusal, Settled},
    ops::OpFailure,
    planted::Planted,
};

impl<F: Clone> Consumer<F> {
    /// Tells what came of commits, partition by partition.
    pub(super) fn settle_commits(&mut self, settled: Vec<Settled>, now: Now) -> GroupNews {
        self.wake |= !settled.is_empty();
        let mut refused = None;
        for Settled { at, offset, ops, result } in settled {
            let error = match result {
                Ok(()) => {
                    let part = self.lanes.find(&at);
                    if let Some(lane) = part.and_then(|part| self.lanes.get_mut(part)) {
                        lane.committed = Some(offset);
                    }
                    if !self.lanes.plot.has(Planted::CommitAnswersOnePartition) || at.partition == 0 {
                        ops.into_iter().for_each(|op| self.ops.part(op, |_| ()));
                    }
                    continue;
                }
                Err(CommitRefusal::Gone) => ErrorCode::UnknownTopicOrPartition,
                Err(CommitRefusal::Refused(error)) => error,
            };
            if ops.is_empty() {
                let error = Some(error);
                self.events.push(Event::CommitGivenUp(CommitGivenUp { at: at.clone(), offset, error }));
            }
            for op in ops {
                let failure = match result {
                    Err(CommitRefusal::Gone) => OpFailure::Gone(at.clone()),
                    _ if denies_membership(error) => OpFailure::NotMember(error),
                    _ => OpFailure::Broker(error, Some(at.clone())),
                };
                self.ops.fail(op, failure);
            }
            if denies_membership(error) {
                refused = Some(error);
            }
        }
        match (&mut self.group, refused) {
            (Some(group), Some(error)) => group.membership.commit_refused(error, now),
            _ => GroupNews::None,
        }
    }

    /// Nothing waits for commits to topics that are gone: least of all a revocation or a close.
    pub(super) fn give_up_unknown_topics(&mut self, now: Now) {
        let Some(group) = &mut self.group else { return };
        let hurried = self.closing.is_some() || group.handover.is_some();
        let gone = group.commits.give_up_unknown(hurried, self.api_timeout, &self.metadata, now);
        let news = self.settle_commits(gone, now);
        self.handle_group_news(news, now);
    }

    /// What waits to be committed is of a generation that is over: its partitions may be another member's by now.
    pub(super) fn abandon_commits(&mut self, error: ErrorCode) {
        if let Some(group) = &mut self.group {
            for op in group.commits.discard() {
                self.ops.fail(op, OpFailure::NotMember(error));
            }
        }
    }

    /// The time is over for what the coordinator has not taken: the group is left without it. Who waits for a commit is
    /// told at the end.
    pub(super) fn give_up_commits(&mut self) {
        let Some(group) = &mut self.group else { return };
        for given_up in group.commits.give_up() {
            self.events.push(Event::CommitGivenUp(given_up));
        }
    }
}

/// Whether a coordinator that answers this to a commit does not take the committer for a member, or not of this
/// generation.
fn denies_membership(error: ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::UnknownMemberId
            | ErrorCode::IllegalGeneration
            | ErrorCode::RebalanceInProgress
            | ErrorCode::FencedInstanceId
            | ErrorCode::FencedMemberEpoch
            | ErrorCode::GroupIdNotFound
            | ErrorCode::StaleMemberEpoch
    )
}
