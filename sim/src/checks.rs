//! What is checked of what a member hands out, and of what it commits: against what its user did, and what its coordinator
//! has told it.

use ottla_core::{ReaderId, Reason, TopicPartition};
use ottla_protocol::messages::OffsetCommitRequest;

use crate::{
    calls::written_beside, handed::Handed, holdings::Expect, member::Member, plan::FLEETING, stage::Stage,
    truth::Truth, user::Kept,
};

const IN_ORDER: &str = "offsets are handed out in order, without a gap";

impl Member {
    /// What may be handed out.
    pub(super) fn check_handed(
        &mut self,
        record: &Handed,
        by: ReaderId,
        stage: &mut Stage,
        truth: &mut Truth,
    ) {
        let who = self.who;
        let Handed { at, offset, .. } = record;
        if self.user.closed {
            stage.violate("no record after close", || format!("{who} hands out {at} offset {offset}"));
        }
        if let Some(error) = self.membership.told().filter(|_| self.in_group()) {
            stage.violate("no record after the coordinator ended the generation", || {
                format!("{who} was told {error} and hands out {at} offset {offset}")
            });
        }
        if self.announced.is_new(at) {
            stage.violate("no record of a new partition before the listener has returned", || {
                format!("{who} hands out {at} offset {offset}")
            });
        }
        if at.topic == FLEETING {
            return self.check_fleeting(record, by, truth);
        }
        // Under the consumer protocol what was assigned before is carried out first.
        let goes = self.membership.is_withdrawn(at)
            && (!self.membership.follows_broker() || self.gives_up(at, stage));
        if goes || self.announced.is_going(at) {
            stage.violate("no record of a partition that is being given up", || {
                format!("{who} hands out {at} offset {offset}")
            });
        }
        if self.user.paused.contains(at) {
            stage.violate("no record of a paused partition", || {
                format!("{who} hands out {at} offset {offset}")
            });
        }
        truth.handed(&self.group, record, stage);
        truth.fresh.insert((who, at.clone()));
        let expect = self.owned.get(at).map(|holding| holding.expect);
        if self.user.habits.beginnings.checked && expect.is_some_and(|expect| expect != Expect::At(*offset)) {
            self.begins(at, *offset, IN_ORDER, stage, truth);
        }
        let end = truth.end(at);
        self.owned.note_epoch(record);
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
            Expect::Found { .. } => false,
        };
        if !fits {
            let expect = holding.expect;
            let committed = progress.committed();
            stage.violate(IN_ORDER, || {
                format!(
                    "{who} hands out {at} offset {offset} where {expect:?} is next (committed: {committed:?})"
                )
            });
        }
        if let Expect::EndSince(_) = holding.expect {
            progress.excuse_below(*offset);
        }
        holding.handed(*offset);
        self.volume.hands_out(record.size);
        let serial = holding.serial;
        if let Some(kept) =
            self.in_hand.iter().find(|k| k.record.at == *at && k.serial == serial && k.by != by)
        {
            let (other, had) = (kept.by, kept.record.offset);
            stage.violate("a partition is with one reader at a time", || {
                format!("{who}'s reader {by} hands out {at} offset {offset}, and {other} has {had}")
            });
        }
        self.in_hand.push(Kept { record: record.clone(), serial, by });
    }

    /// A topic that comes and goes: its offsets begin anew, and what was in it is nobody's to account for.
    fn check_fleeting(&mut self, record: &Handed, by: ReaderId, truth: &mut Truth) {
        self.volume.hands_out(record.size);
        truth.fleeting.insert(record.at.clone(), record.offset);
        let serial = self.owned.get(&record.at).map_or(0, |holding| holding.serial);
        self.in_hand.push(Kept { record: record.clone(), serial, by });
    }

    /// Whether it has begun to give up a partition.
    fn gives_up(&self, at: &TopicPartition, stage: &Stage) -> bool {
        let explained = self.host.machine.explain(stage.now());
        explained.partitions.iter().any(|(of, reason)| of == at && *reason == Reason::BeingRevoked)
    }

    /// The user of this reader has come back from the first `count` records that he has.
    pub(super) fn done(&mut self, by: ReaderId, count: usize, stage: &mut Stage, truth: &mut Truth) {
        let who = self.who;
        let mut left = count;
        let mut is_done = |kept: &mut Kept| {
            let done = kept.by == by && left > 0;
            left -= usize::from(done);
            done
        };
        for Kept { record, serial, .. } in self.in_hand.extract_if(.., &mut is_done) {
            if !record.is_intact() {
                stage.violate("a record stays as it is as long as it is kept", || {
                    format!("{who} has {} offset {}, which has changed", record.at, record.offset)
                });
            }
            truth.progress(&self.group, &record.at).done(record.offset);
            self.owned.done(&record, serial);
        }
    }

    /// The first user has come back from all that he has.
    pub(super) fn all_done(&mut self, stage: &mut Stage, truth: &mut Truth) {
        self.done(self.reader.id(), usize::MAX, stage, truth);
    }

    pub(super) fn check_commit(
        &mut self,
        commit: &OffsetCommitRequest,
        stage: &mut Stage,
        truth: &mut Truth,
    ) {
        self.counts.commits += 1;
        // One that was given up unanswered may wait in a broker still: nothing tells it from a later one.
        self.commits.may_come_late(truth);
        let who = self.who;
        let generation_id = commit.generation_id_or_member_epoch;
        if generation_id < 0 && self.in_group() && !self.host.machine.reads_nothing() {
            stage.violate("who has subscribed commits as a member", || format!("{who} commits as nobody"));
        }
        self.membership.commits_in(generation_id, stage);
        for topic in &commit.topics {
            for partition in &topic.partitions {
                let at = TopicPartition::new(topic.name.clone(), partition.partition_index);
                let offset = partition.committed_offset;
                let beside = partition.committed_metadata.as_deref().unwrap_or_default();
                if !beside.is_empty() && beside != written_beside(&at, offset) {
                    stage.violate("an offset is committed with what was written beside it", || {
                        format!("{who} commits {at} = {offset} with {beside:?}")
                    });
                }
                let reached = self.owned.get(&at).and_then(|holding| holding.reached);
                // One that waited since before the seek says nothing of what came of it.
                let settles = reached.is_none_or(|reached| offset <= reached).then_some(self.owned.serial());
                self.commits.sends(at.clone(), offset, settles);
                if at.topic == FLEETING {
                    continue;
                }
                let Some(holding) = self.owned.get(&at) else {
                    if generation_id >= 0 {
                        stage.violate("only what is owned is committed", || {
                            format!("{who} commits {at} = {offset}")
                        });
                    }
                    continue;
                };
                let epoch = self.owned.epoch_before(&at, offset);
                let told = partition.committed_leader_epoch;
                if epoch.is_some_and(|epoch| told >= 0 && told != epoch) {
                    stage.violate("a commit tells the leader epoch of the record before it", || {
                        format!("{who} commits {at} = {offset} with epoch {told}, which is of {epoch:?}")
                    });
                }
                let end = truth.end(&at);
                if let Expect::EndSince(_) = holding.expect {
                    truth.progress(&self.group, &at).excuse_below(offset);
                }
                let start = || truth.progress(&self.group, &at).largest_start(holding.since);
                let mut limit = holding.limit.unwrap_or_else(start);
                if let Expect::EndSince(_) = holding.expect {
                    limit = limit.max(end);
                }
                let limit = limit.max(self.owned.limit_of_let_go(&at));
                if offset > limit {
                    stage.violate("nothing is committed that the user is not back from", || {
                        format!("{who} commits {at} = {offset}; {limit} is the most")
                    });
                }
            }
        }
    }
}
