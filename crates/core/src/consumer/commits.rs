//! The outcomes of commits, and whom they concern: the users who wait for them, the lanes, the close.

use std::collections::BTreeMap;

use ottla_protocol::{ErrorCode, Now};

use super::{
    closing::Closing,
    ops::{OpFailure, Ops, Outcome},
};
use crate::{
    event::{CommitGivenUp, Event, Events},
    ids::TopicPartition,
    lanes::Lanes,
    log::{self, ByError, Listed},
    offsets::{CommitRefusal, Commits, CommittedOffset, Settled},
    planted::Planted,
};

/// Those who are told what came of commits.
pub(super) struct Concerned<'a, F> {
    pub(super) lanes: &'a mut Lanes<F>,
    pub(super) ops: &'a mut Ops,
    pub(super) events: &'a mut Events,
    /// Whoever takes what is committed.
    pub(super) taken: Option<&'a mut BTreeMap<TopicPartition, CommittedOffset>>,
    /// The close that is under way.
    pub(super) closing: Option<&'a mut Closing>,
    pub(super) now: Now,
}

impl<F> Concerned<'_, F> {
    /// Tells the outcome of commits, partition by partition. Returns a refusal that concerns the membership as well.
    pub(super) fn settle(&mut self, settled: Vec<Settled>) -> Option<ErrorCode> {
        let mut refused = None;
        let wanted = !settled.is_empty() && tracing::enabled!(target: log::OFFSETS, tracing::Level::WARN);
        let mut failed = ByError::new(wanted);
        for Settled { at, committed, ops, result } in settled {
            let offset = committed.offset;
            let error = match result {
                Ok(()) => {
                    if let Some(part) = self.lanes.find(&at) {
                        self.lanes.change(part, |lane| lane.committed = Some(offset));
                    }
                    if let Some(taken) = &mut self.taken {
                        taken.insert(at.clone(), committed.clone());
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
                self.given_up(CommitGivenUp { at: at.clone(), offset, error });
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
        refused
    }

    /// Gives up the commits that the coordinator has not taken in time, so that the group can be left. Users who
    /// wait for one are told when the close is done.
    pub(super) fn give_up(&mut self, commits: &mut Commits) {
        let given_up = commits.give_up();
        if let Some(CommitGivenUp { error, .. }) = given_up.first() {
            let partitions = Listed(given_up.iter().map(|given_up| &given_up.at));
            let why: &dyn std::fmt::Display = match error {
                Some(error) => error,
                None => &"no answer before the close",
            };
            tracing::warn!(target: log::OFFSETS, %partitions, %why, "commit given up");
        }
        for given_up in given_up {
            self.given_up(given_up);
        }
    }

    fn given_up(&mut self, given_up: CommitGivenUp) {
        if let Some(closing) = &mut self.closing {
            closing.commit_given_up(given_up.clone());
        }
        self.events.push(Event::CommitGivenUp(given_up), self.now);
    }
}

/// Drops the commits that wait: they are of a generation that is over, and their partitions may be another member's
/// by now.
pub(super) fn abandon(commits: &mut Commits, ops: &mut Ops, error: ErrorCode) {
    for op in commits.discard() {
        ops.fail(op, OpFailure::NotMember(error));
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
