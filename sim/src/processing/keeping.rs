//! What `processor/bookkeeper.rs` of the client does: transactions are committed, one after the other.

use ottla_core::{
    TopicPartition,
    processing::{Attempted, Entry},
    producer::{AbortCause, End, FatalCause, TransactionFailure},
};
use ottla_protocol::ErrorCode;

use super::{
    judge::Judge,
    keeper::{Keeper, Made, Open, Step},
    worker::Worker,
};
use crate::{client::spin_in_transactions, slip::Slip, stage::Stage};

impl Worker {
    /// What the bookkeeper and his driver do. Returns whether that was anything.
    pub(super) fn keep_books(&mut self, stage: &mut Stage, judge: &mut Judge) -> bool {
        let Some(mut keeper) = self.keeper.take() else { return false };
        spin_in_transactions(&mut keeper.host, stage);
        let was = self.machine.is_committing();
        keeper.books.handle_timeout(&mut self.machine, stage.now());
        self.round_may_have_ended(was, false, stage, judge);
        let went_on = self.step(&mut keeper, stage, judge);
        while let Some(parting) = keeper.books.poll_parted() {
            keeper.parted.insert(parting);
        }
        self.keeper = Some(keeper);
        let ended = was && !self.machine.is_committing();
        if went_on || ended {
            self.settle(stage, judge);
        }
        went_on || ended
    }

    fn round_may_have_ended(&self, was: bool, is_done: bool, stage: &Stage, judge: &mut Judge) {
        if was && !self.machine.is_committing() {
            judge.committed(self.life, is_done, false, stage.time);
        }
    }

    /// The transaction in hand goes on. Returns whether it did.
    fn step(&mut self, keeper: &mut Keeper, stage: &mut Stage, judge: &mut Judge) -> bool {
        let (life, now) = (self.life, stage.now());
        let mut went_on = false;
        loop {
            let before = std::mem::replace(&mut keeper.step, Step::Idle);
            keeper.step = match before {
                Step::Idle => match keeper.books.poll_entry() {
                    Some(entry) => Step::Beginning(entry),
                    None => return went_on,
                },
                Step::Beginning(entry) => match keeper.host.machine.begin(keeper.since, now) {
                    None => {
                        keeper.step = Step::Beginning(entry);
                        return went_on;
                    }
                    Some(Ok(of)) => {
                        keeper.begun += 1;
                        keeper.since = now.mono;
                        let (begun, offsets, count) = (keeper.begun, &entry.offsets, entry.outputs.len());
                        stage.tell(|| format!("w{life} begins {life}.{begun}: {count} records, {offsets:?}"));
                        Step::Sending(Open { entry, of, tickets: Vec::new() })
                    }
                    Some(Err(failure)) => self.failed(entry, &failure, keeper, stage, judge),
                },
                Step::Sending(mut open) => {
                    let mut sent = Some(Ok(()));
                    while let Some(Ok(())) = sent
                        && open.tickets.len() < open.entry.outputs.len()
                    {
                        sent = keeper.send(life, &mut open, stage);
                    }
                    match sent {
                        None => {
                            keeper.step = Step::Sending(open);
                            return went_on;
                        }
                        Some(Ok(())) => self.send_offsets(open, keeper, stage, judge),
                        Some(Err(failure)) => {
                            keeper.host.machine.abort(open.of);
                            self.failed(open.entry, &failure, keeper, stage, judge)
                        }
                    }
                }
                Step::Offsets(open, ticket) => match keeper.host.machine.take_offsets(ticket) {
                    None => {
                        keeper.step = Step::Offsets(open, ticket);
                        return went_on;
                    }
                    Some(Ok(())) if keeper.books.is_lost(&open.entry) => {
                        keeper.host.machine.abort(open.of);
                        self.failed(open.entry, &AbortCause::Asked.into(), keeper, stage, judge)
                    }
                    Some(Ok(())) => {
                        keeper.host.machine.commit(open.of);
                        Step::Ending(open)
                    }
                    Some(Err(failure)) => {
                        keeper.host.machine.abort(open.of);
                        self.failed(open.entry, &failure, keeper, stage, judge)
                    }
                },
                Step::Ending(open) => match keeper.host.machine.ended(open.of, keeper.since, now) {
                    None => {
                        keeper.step = Step::Ending(open);
                        return went_on;
                    }
                    Some(Ok(End::Commit)) => {
                        judge.once.ended(life, keeper.begun, true);
                        self.told(open.entry, Attempted::Committed, keeper, stage, judge)
                    }
                    Some(Ok(End::Abort)) => {
                        judge.once.ended(life, keeper.begun, false);
                        self.told(open.entry, Attempted::Aborted, keeper, stage, judge)
                    }
                    Some(Err(failure)) => self.failed(open.entry, &failure, keeper, stage, judge),
                },
                Step::Over => {
                    keeper.step = Step::Over;
                    return went_on;
                }
            };
            went_on = true;
        }
    }

    fn send_offsets(
        &mut self,
        open: Open,
        keeper: &mut Keeper,
        stage: &mut Stage,
        judge: &mut Judge,
    ) -> Step {
        let now = stage.now();
        let group = open.entry.group.clone();
        if self.slips(Slip::OffsetsAreInNoTransaction) {
            if let Ok(op) = self.host.machine.commit(Some(open.entry.offsets.clone()), now) {
                self.host.machine.forget_op(op);
            }
            keeper.host.machine.commit(open.of);
            return Step::Ending(open);
        }
        match keeper.host.machine.send_offsets(open.of, open.entry.offsets.clone(), group, now) {
            Ok(ticket) => Step::Offsets(open, ticket),
            Err(failure) => {
                keeper.host.machine.abort(open.of);
                self.failed(open.entry, &failure, keeper, stage, judge)
            }
        }
    }

    fn failed(
        &mut self,
        entry: Entry<Made>,
        failure: &TransactionFailure,
        keeper: &mut Keeper,
        stage: &mut Stage,
        judge: &mut Judge,
    ) -> Step {
        let life = self.life;
        stage.tell(|| format!("w{life} has not committed {life}.{}: {failure:?}", keeper.begun));
        let attempted = attempted(failure);
        if attempted == Attempted::Over {
            let since = stage.time_of(keeper.since);
            let is_overdue = keeper.explicit && stage.time >= since + keeper.timeout;
            let is_fenced = matches!(failure, TransactionFailure::Fatal(FatalCause::Fenced { .. }));
            if !is_fenced || !is_overdue && !judge.once.is_shared(keeper.id) {
                stage.violate("a processor is fenced by another with its id, or by the time", || {
                    format!("w{life}: {failure}")
                });
            }
            judge.once.counts.fenced += 1;
        } else {
            judge.once.ended(life, keeper.begun, false);
        }
        self.told(entry, attempted, keeper, stage, judge)
    }

    fn told(
        &mut self,
        entry: Entry<Made>,
        attempted: Attempted,
        keeper: &mut Keeper,
        stage: &mut Stage,
        judge: &mut Judge,
    ) -> Step {
        let was = self.machine.is_committing();
        let attempted = match attempted {
            Attempted::Aborted if self.slips(Slip::AbortCountsAsCommit) => Attempted::Committed,
            attempted => attempted,
        };
        let (is_done, is_over) = (attempted == Attempted::Committed, attempted == Attempted::Over);
        keeper.books.handle_attempted(entry, attempted, &mut self.machine, stage.now());
        self.round_may_have_ended(was, is_done, stage, judge);
        match is_over {
            true => {
                judge.once.closed.insert(self.life);
                Step::Over
            }
            false => Step::Idle,
        }
    }

    /// What is due is entered into the books.
    pub(super) fn draft(&mut self, stage: &mut Stage, judge: &mut Judge) {
        let (life, now) = (self.life, stage.now());
        let Some(keeper) = &mut self.keeper else { return };
        let Some(draft) = keeper.books.draft(&mut self.machine, now) else { return };
        let member = self.host.machine.member_for(draft.offsets.keys());
        judge.commit(life, &draft.offsets, false, stage);
        let offsets = &draft.offsets;
        stage.note(|| format!("w{life} is to commit {offsets:?} as {member:?}"));
        keeper.books.enter(draft, member, &mut self.machine, now);
        self.round_may_have_ended(true, false, stage, judge);
    }

    /// Whether nothing is handed out as too much waits to be committed.
    pub(super) fn is_full(&self) -> bool {
        self.keeper.as_ref().is_some_and(|keeper| keeper.books.is_full())
    }

    pub(super) fn hurries(&self) -> bool {
        self.keeper.as_ref().is_some_and(|keeper| keeper.books.hurries(&self.machine))
    }

    /// A record is done: what its handler, or who took it over, has written is to be committed with it.
    pub(super) fn write(&mut self, topic: &'static str, at: &TopicPartition, offset: i64) {
        if let Some(keeper) = &mut self.keeper {
            keeper.write(topic, at, offset);
        }
    }
}

/// What the books are told.
fn attempted(failure: &TransactionFailure) -> Attempted {
    match failure {
        TransactionFailure::Fatal(_) => Attempted::Over,
        TransactionFailure::Aborted(AbortCause::Gone { at, .. }) => Attempted::Gone(at.clone()),
        TransactionFailure::Aborted(AbortCause::Offsets { error, .. }) => match error {
            ErrorCode::IllegalGeneration
            | ErrorCode::UnknownMemberId
            | ErrorCode::StaleMemberEpoch
            | ErrorCode::FencedMemberEpoch => Attempted::Aborted,
            error if error.is_retriable() => Attempted::Aborted,
            _ => Attempted::Over,
        },
        TransactionFailure::Aborted(AbortCause::Partition { error, .. }) if !error.is_retriable() => {
            Attempted::Over
        }
        _ => Attempted::Aborted,
    }
}
