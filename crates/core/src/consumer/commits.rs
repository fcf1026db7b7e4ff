//! The outcomes of commits, and the moments at which nobody waits for them any longer.

use ottla_protocol::{ErrorCode, Now};

use super::{Consumer, OpFailure, Outcome};
use crate::{
    event::{CommitGivenUp, Event},
    group::GroupNews,
    ids::TopicPartition,
    log::{self, ByError, Listed},
    offsets::{CommitRefusal, CommittedOffset, Settled},
    planted::Planted,
};

impl<F: Clone> Consumer<F> {
    /// Tells users the outcome of their commits, partition by partition. A refusal may also concern the membership.
    pub(super) fn settle_commits(&mut self, settled: Vec<Settled>, now: Now) -> GroupNews {
        self.hub.wake |= !settled.is_empty();
        let mut refused = None;
        let wanted = !settled.is_empty() && tracing::enabled!(target: log::OFFSETS, tracing::Level::WARN);
        let mut failed = ByError::new(wanted);
        for Settled { at, committed, ops, result } in settled {
            let offset = committed.offset;
            let error = match result {
                Ok(()) => {
                    let part = self.lanes.find(&at);
                    if let Some(lane) = part.and_then(|part| self.lanes.get_mut(part)) {
                        lane.committed = Some(offset);
                    }
                    if !self.lanes.plot.has(Planted::CommitAnswersOnePartition) || at.partition == 0 {
                        for op in ops {
                            self.ops.part(op, |so_far| add_committed(so_far, &at, &committed));
                        }
                    }
                    continue;
                }
                Err(CommitRefusal::Gone) => ErrorCode::UnknownTopicOrPartition,
                Err(CommitRefusal::Refused(error)) => error,
            };
            failed.add(error, &at);
            if ops.is_empty() {
                let error = Some(error);
                self.commit_given_up(CommitGivenUp { at: at.clone(), offset, error }, now);
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
        failed.tell(|error, partitions| {
            tracing::warn!(target: log::OFFSETS, %partitions, why = %error, "commit given up");
        });
        match (&mut self.group, refused) {
            (Some(group), Some(error)) => group.membership.commit_refused(error, now),
            _ => GroupNews::None,
        }
    }

    /// Gives up commits to topics that are gone; otherwise a revocation or a close would wait for them.
    pub(super) fn give_up_unknown_topics(&mut self, now: Now) {
        let Some(group) = &mut self.group else { return };
        let hurried = self.closing.is_some() || group.handover.is_some();
        let gone = group.commits.give_up_unknown(hurried, self.api_timeout, &self.hub.metadata, now);
        let news = self.settle_commits(gone, now);
        self.handle_group_news(news, now);
    }

    /// Drops the commits that wait: they are of a generation that is over, and their partitions may be another
    /// member's by now.
    pub(super) fn abandon_commits(&mut self, error: ErrorCode) {
        if let Some(group) = &mut self.group {
            for op in group.commits.discard() {
                self.ops.fail(op, OpFailure::NotMember(error));
            }
        }
    }

    /// Gives up the commits that the coordinator has not taken in time, so that the group can be left. Users who
    /// wait for one are told when the close is done.
    pub(super) fn give_up_commits(&mut self, now: Now) {
        let Some(group) = &mut self.group else { return };
        let given_up = group.commits.give_up();
        if let Some(CommitGivenUp { error, .. }) = given_up.first() {
            let partitions = Listed(given_up.iter().map(|given_up| &given_up.at));
            let why: &dyn std::fmt::Display = match error {
                Some(error) => error,
                None => &"no answer before the close",
            };
            tracing::warn!(target: log::OFFSETS, %partitions, %why, "commit given up");
        }
        for given_up in given_up {
            self.commit_given_up(given_up, now);
        }
    }

    fn commit_given_up(&mut self, given_up: CommitGivenUp, now: Now) {
        if let Some(closing) = &mut self.closing {
            closing.commit_given_up(given_up.clone());
        }
        self.events.push(Event::CommitGivenUp(given_up), now);
    }
}

fn add_committed(so_far: &mut Outcome, at: &TopicPartition, committed: &CommittedOffset) {
    if let Outcome::Commit(offsets) = so_far {
        offsets.insert(at.clone(), committed.clone());
    }
}

/// Whether a coordinator that answers a commit with this error does not take the committer for a member, or not for
/// one of this generation.
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
