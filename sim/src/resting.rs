//! A step back, once everything is read and committed: where a partition is put back to is committed like any other
//! position.

use std::time::Duration;

use ottla_core::TopicPartition;

use crate::{holdings::Expect, member::Member, plan::FLEETING, role::GROUP, stage::Stage, truth::Truth};

/// A partition that its reader has put back, and paused there.
#[derive(Debug)]
struct Rest {
    /// The reader's place among the members.
    index: usize,
    at: TopicPartition,
    offset: i64,
    /// Of its assignment and that step: what was taken away meanwhile begins where it is committed.
    serial: u64,
    since: Duration,
}

/// What is awaited.
#[derive(Debug, Default)]
pub(super) struct Rests(Vec<Rest>);

impl Rests {
    /// Each member puts a partition back.
    pub(super) fn step_back(&mut self, members: &mut [Member], stage: &mut Stage, truth: &mut Truth) {
        for (index, member) in members.iter_mut().enumerate() {
            if member.is_live()
                && member.in_group()
                && let Some((at, offset, serial)) = member.step_back(stage, truth)
            {
                self.0.push(Rest { index, at, offset, serial, since: stage.time });
            }
        }
    }

    /// Whether all of it is committed, or was taken from its reader.
    pub(super) fn are_over(&mut self, members: &[Member], truth: &mut Truth) -> bool {
        self.0.retain(|Rest { index, at, offset, serial, since }| {
            let committed = truth.progress(GROUP, at).was_committed(Some(*offset), *since);
            let holding = members[*index].owned.of(at, *serial);
            !committed && members[*index].is_live() && holding.is_some()
        });
        self.0.is_empty()
    }

    /// It takes too long.
    pub(super) fn violate(&self, members: &[Member], stage: &mut Stage, truth: &mut Truth) {
        let Some(Rest { index, at, offset, .. }) = self.0.first() else { return };
        let (who, committed) = (members[*index].who, truth.progress(GROUP, at).committed());
        stage.violate("at rest the committed offset is the position, also after a step back", || {
            format!("{who} rests at {at} offset {offset}; {committed:?} is committed")
        });
    }
}

impl Member {
    /// Puts a partition back, and pauses it there.
    fn step_back(&mut self, stage: &mut Stage, truth: &mut Truth) -> Option<(TopicPartition, i64, u64)> {
        let has_read = |(at, next): (&TopicPartition, i64)| {
            (at.topic != FLEETING && next > 1 && !self.holds(at)).then(|| (at.clone(), next / 2))
        };
        let read = self.owned.iter().filter_map(|(at, holding)| match holding.expect {
            Expect::At(next) => Some((at, next)),
            _ => None,
        });
        let (at, offset) = read.into_iter().find_map(has_read)?;
        self.host.machine.set_paused(&at, true, stage.now());
        self.user.paused.insert(at.clone());
        self.user.resting = Some(at.clone());
        self.seek(&at, offset, stage, truth);
        let serial = self.owned.get(&at)?.serial;
        self.called(stage, truth);
        Some((at, offset, serial))
    }

    pub(super) fn go_on(&mut self, stage: &mut Stage, truth: &mut Truth) {
        if let Some(at) = self.user.resting.take() {
            self.host.machine.set_paused(&at, false, stage.now());
            self.user.paused.remove(&at);
            self.called(stage, truth);
        }
    }
}
