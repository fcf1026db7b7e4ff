//! Committed offsets: who may commit what.

use ottla_protocol::ErrorCode;

use super::{Group, State, Turn};
use crate::planted::Planted;

/// What was committed for a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: String,
}

/// Who commits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Committer<'a> {
    pub(crate) member_id: &'a str,
    pub(crate) group_instance_id: Option<&'a str>,
    pub(crate) generation_id: i32,
}

impl Group {
    /// Whether an offset commit is taken, which is a sign of life too.
    pub(crate) fn check_commit(
        &mut self,
        committer: Committer<'_>,
        turn: &Turn<'_>,
    ) -> Result<(), ErrorCode> {
        let Committer { member_id, group_instance_id, generation_id } = committer;
        if generation_id < 0 && self.state == State::Empty {
            // One who is in no group and only keeps offsets, or an administrator.
            return Ok(());
        }
        if generation_id < 0 && member_id.is_empty() && group_instance_id.is_none() {
            return Err(ErrorCode::UnknownMemberId);
        }
        self.check_member(member_id, group_instance_id)?;
        if generation_id != self.generation_id
            && !turn.rules.plot.has(Planted::CommitAcceptedFromOldGeneration)
        {
            return Err(ErrorCode::IllegalGeneration);
        }
        if self.state == State::CompletingRebalance {
            return Err(ErrorCode::RebalanceInProgress);
        }
        self.touch(member_id, turn.now);
        Ok(())
    }
}
