//! What is checked of a consumer: against what the coordinator told it on the wire, what its own events say, and what
//! its user did.

use std::time::Duration;

use ottla_core::{Event, TopicPartition};
use ottla_protocol::{ErrorCode, Response, messages::OffsetCommitRequest};

use crate::{
    host::Awaited,
    member::{Expect, Member},
    reader::Handed,
    stage::Stage,
    truth::Truth,
    user::Doing,
};

impl Member {
    /// What the coordinator tells, as it stands on the wire.
    pub(super) fn observe(&mut self, awaited: Awaited, response: &Response) {
        match response {
            Response::JoinGroup(join) if join.error_code.is_ok() => self.generation_id = join.generation_id,
            Response::SyncGroup(sync) if sync.error_code.is_ok() => self.told = None,
            // A member that commits, and is none.
            Response::OffsetCommit(commit) => {
                let mut codes =
                    commit.topics.iter().flat_map(|topic| &topic.partitions).map(|p| p.error_code);
                let ends = |code: &ErrorCode| {
                    matches!(code, ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration)
                };
                self.told =
                    self.told.or(codes.find(ends).filter(|_| awaited.generation_id == self.generation_id));
            }
            Response::Heartbeat(heartbeat) if awaited.generation_id == self.generation_id => {
                self.told = match heartbeat.error_code {
                    ErrorCode::RebalanceInProgress
                    | ErrorCode::UnknownMemberId
                    | ErrorCode::IllegalGeneration => Some(heartbeat.error_code),
                    _ => self.told,
                };
            }
            _ => {}
        }
    }

    pub(super) fn drain_events(&mut self, stage: &mut Stage) {
        while let (Some(event), dropped) = self.host.machine.poll_event() {
            let who = self.who;
            debug_assert_eq!(dropped, 0);
            stage.note(|| format!("{who} {event:?}"));
            match event {
                Event::Assigned(partitions) => {
                    self.counts.assigned += 1;
                    self.detours += 1;
                    if let Some(at) = self.owned.keys().next() {
                        stage.violate("everything is given up before the group is joined again", || {
                            format!("{who} is assigned while it has {at}")
                        });
                    }
                    let since = stage.time;
                    partitions.into_iter().for_each(|at| self.hold(at, since));
                }
                Event::Revoked(partitions) => {
                    self.counts.revoked += 1;
                    let held = |(record, serial): &&(Handed, u64)| {
                        let holding = self.owned.get(&record.at).filter(|holding| holding.serial == *serial);
                        holding.is_some() && partitions.contains(&record.at)
                    };
                    if let Some((record, _)) = self.in_hand.iter().find(held) {
                        stage.violate("nothing is revoked that the user has in hand", || {
                            format!(
                                "{who} gives up {} while its user has offset {}",
                                record.at, record.offset
                            )
                        });
                    }
                    self.owned.retain(|at, _| !partitions.contains(at));
                    if let Some(at) = self.owned.keys().next() {
                        stage.violate("everything is revoked at once", || format!("{who} keeps {at}"));
                    }
                }
                Event::Lost(partitions) => {
                    self.counts.lost += 1;
                    // The core sees the user return when his position moves, a little before the call that returns.
                    let since = self.away_since.saturating_sub(Duration::from_millis(10));
                    let away =
                        !matches!(self.doing, Doing::Reading(_)) && stage.time >= since + self.max_poll;
                    if self.told.is_none() && !away {
                        stage.violate("partitions are lost for a reason", || {
                            format!("{who} was told nothing")
                        });
                    }
                    self.owned.retain(|at, _| !partitions.contains(at));
                }
                _ => {}
            }
            self.paused.retain(|at| self.owned.contains_key(at));
        }
    }

    /// What may be handed out.
    pub(super) fn check_handed(&mut self, record: &Handed, stage: &mut Stage, truth: &mut Truth) {
        let who = self.who;
        let Handed { at, offset, .. } = record;
        if self.closed {
            stage.violate("no record after close", || format!("{who} hands out {at} offset {offset}"));
        }
        if let Some(error) = self.told.filter(|_| self.in_group()) {
            stage.violate("no record after the coordinator ended the generation", || {
                format!("{who} was told {error} and hands out {at} offset {offset}")
            });
        }
        if self.paused.contains(at) {
            stage.violate("no record of a paused partition", || {
                format!("{who} hands out {at} offset {offset}")
            });
        }
        truth.handed(&self.group, record, stage);
        let end = truth.end(at);
        let progress = truth.progress(&self.group, at);
        let Some(holding) = self.owned.get_mut(at) else {
            stage.violate("no record after revoked, lost or unsubscribe", || {
                format!("{who} hands out {at} offset {offset}")
            });
            return;
        };
        let fits = match holding.expect {
            Expect::At(expected) => *offset == expected,
            Expect::EndSince(least) => (least..=end).contains(offset),
            Expect::Start => {
                let committed = progress.was_committed(Some(*offset), holding.since);
                committed || (*offset == 0 && progress.was_committed(None, holding.since))
            }
        };
        if !fits {
            let expect = holding.expect;
            let committed = progress.committed();
            stage.violate("offsets are handed out in order, without a gap", || {
                format!(
                    "{who} hands out {at} offset {offset} where {expect:?} is next (committed: {committed:?})"
                )
            });
        }
        if let Expect::EndSince(_) = holding.expect {
            progress.excuse_below(*offset);
        }
        holding.expect = Expect::At(offset + 1);
        holding.known = true;
        self.handed += record.size;
        let serial = holding.serial;
        self.in_hand.push((record.clone(), serial));
    }

    /// The user has come back from the first `count` records that he has.
    pub(super) fn done(&mut self, count: usize, truth: &mut Truth) {
        for (record, serial) in self.in_hand.drain(..count) {
            truth.progress(&self.group, &record.at).done(record.offset);
            if let Some(holding) = self.owned.get_mut(&record.at).filter(|holding| holding.serial == serial) {
                holding.limit = holding.limit.max(Some(record.offset + 1));
            }
        }
    }

    pub(super) fn all_done(&mut self, truth: &mut Truth) {
        self.done(self.in_hand.len(), truth);
    }

    pub(super) fn check_commit(
        &mut self,
        commit: &OffsetCommitRequest,
        stage: &mut Stage,
        truth: &mut Truth,
    ) {
        self.counts.commits += 1;
        let who = self.who;
        let generation_id = commit.generation_id_or_member_epoch;
        if generation_id >= 0 && generation_id != self.generation_id {
            let current = self.generation_id;
            stage.violate("a commit is of the current generation", || {
                format!("{who} commits in generation {generation_id}, the current is {current}")
            });
        }
        for topic in &commit.topics {
            for partition in &topic.partitions {
                let at = TopicPartition::new(topic.name.clone(), partition.partition_index);
                let offset = partition.committed_offset;
                let Some(holding) = self.owned.get(&at) else {
                    if generation_id >= 0 {
                        stage.violate("only what is owned is committed", || {
                            format!("{who} commits {at} = {offset}")
                        });
                    }
                    continue;
                };
                if let Expect::EndSince(_) = holding.expect {
                    truth.progress(&self.group, &at).excuse_below(offset);
                }
                let start = || truth.progress(&self.group, &at).largest_start(holding.since);
                let limit = holding.limit.unwrap_or_else(start);
                if offset > limit {
                    stage.violate("nothing is committed that the user is not back from", || {
                        format!("{who} commits {at} = {offset}; {limit} is the most")
                    });
                }
            }
        }
    }
}
