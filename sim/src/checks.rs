//! What is checked of a consumer: against what the coordinator told it on the wire, what its own events say, and what
//! its user did.

use std::time::Duration;

use ottla_core::{Event, Happened, ReaderId, Reason, Subscription, TopicPartition};
use ottla_protocol::{
    ErrorCode, Response,
    messages::{
        ConsumerGroupHeartbeatAssignment, ConsumerProtocolAssignment, OffsetCommitRequest,
        OffsetCommitResponse, decode_embedded,
    },
};

use crate::{
    calls::written_beside,
    dice::ms,
    handed::Handed,
    host::Awaited,
    member::{Expect, Kept, Member, Sent, names},
    plan::FLEETING,
    stage::Stage,
    truth::Truth,
    user::Doing,
};

const IN_ORDER: &str = "offsets are handed out in order, without a gap";

impl Member {
    /// What the coordinator tells, as it stands on the wire.
    pub(super) fn observe(&mut self, awaited: Awaited, response: &Response, truth: &mut Truth) {
        let current = awaited.generation_id == self.generation_id;
        let joined = awaited.generation_id == self.joined_generation_id;
        if let Response::OffsetCommit(commit) = response {
            self.settle(commit, truth);
        }
        self.note_heard(awaited, response, truth);
        match response {
            // One that has asked again does not know the answer to the question before.
            Response::JoinGroup(_) if awaited.id != self.asked_to_join => {}
            Response::JoinGroup(join) => match join.error_code {
                ErrorCode::None => {
                    // A generation without it, in which what it has may have been another's (KIP-345).
                    self.warned |= self.is_static() && join.generation_id > self.generation_id + 1;
                    self.generation_id = join.generation_id;
                    self.joined_by = awaited.id;
                }
                error => self.over(error),
            },
            // One that joins again does not follow what came of it before, nor of a question that it has asked again.
            Response::SyncGroup(_) if !self.syncing || awaited.id != self.asked_to_sync => {}
            Response::SyncGroup(sync) if sync.error_code.is_ok() => {
                (self.told, self.warned, self.synced) = (None, false, true);
                self.keeps(&shared_out(&sync.assignment));
            }
            Response::ConsumerGroupHeartbeat(heartbeat) if heartbeat.error_code.is_ok() => {
                self.generation_id = heartbeat.member_epoch;
                if let Some(assignment) = &heartbeat.assignment {
                    (self.told, self.warned) = (None, false);
                    self.keeps(&named(assignment, truth));
                }
            }
            Response::SyncGroup(sync) => self.over(sync.error_code),
            Response::ConsumerGroupHeartbeat(heartbeat) => self.over(heartbeat.error_code),
            // A member that commits, and is none. One that keeps its partitions may have been overtaken by the next
            // generation, which is its own, too; and under the consumer protocol heartbeats have the last word. A static
            // member that joins anew may be back in the generation that it left.
            Response::OffsetCommit(_) if !current && !joined || awaited.id < self.joined_by => {
                self.warned = true;
            }
            Response::OffsetCommit(commit) => {
                let codes = commit.topics.iter().flat_map(|topic| &topic.partitions).map(|p| p.error_code);
                for code in codes.filter(|code| !code.is_ok() && *code != ErrorCode::RebalanceInProgress) {
                    let may_pass = code == ErrorCode::IllegalGeneration && self.is_incremental();
                    match may_pass || self.follows_broker() {
                        true => self.warned = true,
                        false => self.over(code),
                    }
                }
            }
            // The join of one that keeps its partitions may have made the next generation: the answer is on its way.
            Response::Heartbeat(heartbeat)
                if heartbeat.error_code == ErrorCode::IllegalGeneration
                    && self.is_incremental()
                    && !self.syncing =>
            {
                self.warned = true;
            }
            Response::Heartbeat(heartbeat) if current && awaited.id > self.joined_by => {
                self.over(heartbeat.error_code);
            }
            _ => {}
        }
    }

    /// The coordinator has heard of a static member.
    fn note_heard(&self, awaited: Awaited, response: &Response, truth: &mut Truth) {
        let Some(instance) = self.role.in_group().and_then(|role| role.instance.clone()) else { return };
        // Who has joined has to ask for his assignment in time, whatever else he sends.
        let is_heard = match response {
            Response::SyncGroup(sync) => sync.error_code.is_ok(),
            Response::Heartbeat(beat) => beat.error_code.is_ok() && self.synced,
            _ => false,
        };
        // One that closes for good may leave before an answer to what it asked before comes.
        if is_heard && !self.closed {
            truth.heard.insert(instance, awaited.sent);
        }
    }

    /// Nobody awaits what was sent any more, and it may yet be committed.
    pub(super) fn commit_may_come_late(&mut self, truth: &mut Truth) {
        for Sent { at, offset, .. } in std::mem::take(&mut self.committing) {
            truth.progress(&self.group, &at).may_come_late(offset);
        }
    }

    /// What was sent is committed now, or never will be.
    fn settle(&mut self, commit: &OffsetCommitResponse, truth: &mut Truth) {
        for Sent { at, settles, .. } in std::mem::take(&mut self.committing) {
            let topic = commit.topics.iter().find(|topic| *topic.name == *at.topic);
            let partition =
                topic.and_then(|t| t.partitions.iter().find(|p| p.partition_index == at.partition));
            if let Some(serial) = settles.filter(|_| partition.is_some_and(|p| p.error_code.is_ok())) {
                truth.progress(&self.group, &at).settle(self.who, serial);
            }
        }
    }

    /// An error may end a membership, or a generation.
    fn over(&mut self, error: ErrorCode) {
        let over = match error {
            ErrorCode::UnknownMemberId
            | ErrorCode::IllegalGeneration
            | ErrorCode::FencedInstanceId
            | ErrorCode::FencedMemberEpoch
            | ErrorCode::GroupIdNotFound => true,
            ErrorCode::RebalanceInProgress => !self.is_incremental(),
            _ => false,
        };
        if over && !self.owned.is_empty() {
            self.told = Some(error);
        }
        // Who is no member has nothing to leave.
        if let Some(farewell) = self.farewell.as_mut().filter(|_| over) {
            farewell.done = true;
        }
    }

    /// These are its own from here on, and of what it has nothing else.
    fn keeps(&mut self, assigned: &[TopicPartition]) {
        self.withdrawn = self.owned.keys().filter(|at| !assigned.contains(at)).cloned().collect();
    }

    pub(super) fn drain_events(&mut self, stage: &mut Stage) {
        while let Some(Happened { event, .. }) = self.host.machine.poll_event() {
            let who = self.who;
            debug_assert_eq!(self.host.machine.events_dropped(), 0);
            stage.tell(|| format!("{who} {event:?}"));
            match event {
                Event::Joined { member_id, generation_id, .. } => {
                    (self.member_id, self.joined_generation_id) = (member_id, generation_id);
                }
                Event::RevocationWaiting { deadline, .. } => self.waited_for_until = Some(deadline),
                Event::Assigned(partitions) => self.assigned(partitions, stage),
                Event::Revoked(partitions) => self.revoked(&partitions, stage),
                Event::Lost(partitions) => self.lost(&partitions, stage),
                _ => {}
            }
            self.paused.retain(|at| self.owned.contains_key(at));
            self.withdrawn.retain(|at| self.owned.contains_key(at));
            self.unannounced.retain(|at| self.owned.contains_key(at));
            self.parted.retain(|at| self.owned.contains_key(at));
        }
    }

    fn assigned(&mut self, partitions: Vec<TopicPartition>, stage: &mut Stage) {
        let who = self.who;
        self.counts.assigned += 1;
        // Told of as lost, and back before anything else was.
        self.parted.retain(|at| !partitions.contains(at));
        self.detours += 1;
        let incremental = self.is_incremental();
        let kept = self.owned.keys().find(|at| !incremental || partitions.contains(at));
        if let Some(at) = kept {
            stage.violate("nothing is assigned that is owned, and eagerly nothing while anything is", || {
                format!("{who} is assigned {} while it has {at}", names(&partitions))
            });
        }
        if *self.host.machine.subscription() == Subscription::None {
            stage.violate("nothing is assigned to who has unsubscribed", || {
                format!("{who} is assigned {}", names(&partitions))
            });
        }
        if let Some(at) = partitions.iter().find(|at| at.topic.starts_with("other")) {
            stage.violate("only what is subscribed to is assigned", || format!("{who} is assigned {at}"));
        }
        if self.habits.listener.is_some() {
            self.unannounced.extend(partitions.iter().cloned());
        }
        let since = stage.time;
        partitions.into_iter().for_each(|at| self.hold(at, since));
    }

    fn revoked(&mut self, partitions: &[TopicPartition], stage: &mut Stage) {
        let who = self.who;
        self.counts.revoked += 1;
        self.waited_for_until = None;
        let held = |Kept { record, serial, .. }: &&Kept| {
            let holding = self.owned.get(&record.at).filter(|holding| holding.serial == *serial);
            holding.is_some() && partitions.contains(&record.at)
        };
        if let Some(Kept { record, .. }) = self.in_hand.iter().find(held).filter(|_| !self.unsubscribing) {
            stage.violate("nothing is revoked that the user has in hand", || {
                format!("{who} gives up {} while its user has offset {}", record.at, record.offset)
            });
        }
        self.check_parted(partitions, stage);
        self.owned.retain(|at, _| !partitions.contains(at));
        if let Some(at) = self.owned.keys().next().filter(|_| !self.is_incremental()) {
            stage.violate("eagerly everything is revoked at once", || format!("{who} keeps {at}"));
        }
    }

    fn lost(&mut self, partitions: &[TopicPartition], stage: &mut Stage) {
        let who = self.who;
        self.counts.lost += 1;
        // The core sees the user return when his position moves, a little before the call that returns.
        let since = self.away_since.saturating_sub(Duration::from_millis(10));
        let away = !matches!(self.doing, Doing::Reading(_)) && stage.time >= since + self.max_poll;
        let mut helpers = self.helpers.iter().filter(|helper| helper.is_away());
        let away = away || helpers.any(|helper| stage.time + ms(10) >= helper.away_since + self.max_poll);
        let withdrawn = partitions.iter().all(|at| self.withdrawn.contains(at));
        let late = self.waited_for_until.take().is_some_and(|deadline| stage.now().wall >= deadline);
        if self.told.is_none() && !self.warned && !away && !late && !withdrawn {
            stage.violate("partitions are lost for a reason", || format!("{who} was told nothing"));
        }
        self.owned.retain(|at, _| !partitions.contains(at));
    }

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
        if self.closed {
            stage.violate("no record after close", || format!("{who} hands out {at} offset {offset}"));
        }
        if let Some(error) = self.told.filter(|_| self.in_group()) {
            stage.violate("no record after the coordinator ended the generation", || {
                format!("{who} was told {error} and hands out {at} offset {offset}")
            });
        }
        if self.unannounced.contains(at) {
            stage.violate("no record of a new partition before the listener has returned", || {
                format!("{who} hands out {at} offset {offset}")
            });
        }
        if at.topic == FLEETING {
            return self.check_fleeting(record, by, truth);
        }
        // Under the consumer protocol what was assigned before is carried out first.
        let goes = self.withdrawn.contains(at) && (!self.follows_broker() || self.gives_up(at, stage));
        if goes || self.parted.contains(at) {
            stage.violate("no record of a partition that is being given up", || {
                format!("{who} hands out {at} offset {offset}")
            });
        }
        if self.paused.contains(at) {
            stage.violate("no record of a paused partition", || {
                format!("{who} hands out {at} offset {offset}")
            });
        }
        truth.handed(&self.group, record, stage);
        truth.fresh.insert((who, at.clone()));
        let expect = self.owned.get(at).map(|holding| holding.expect);
        if self.habits.beginnings.checked && expect.is_some_and(|expect| expect != Expect::At(*offset)) {
            self.begins(at, *offset, IN_ORDER, stage, truth);
        }
        let end = truth.end(at);
        let progress = truth.progress(&self.group, at);
        let Some(holding) = self.owned.get_mut(at) else {
            stage.violate("no record after revoked, lost or unsubscribe", || {
                format!("{who} hands out {at} offset {offset}")
            });
            return;
        };
        self.leader_epochs.handed(record, holding.serial);
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
            (holding.limit, holding.reached) = (holding.limit.max(Some(*offset)), Some(*offset));
        }
        holding.expect = Expect::At(offset + 1);
        holding.known = true;
        self.handed += record.size;
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
        self.handed += record.size;
        truth.fleeting.insert(record.at.clone(), record.offset);
        let serial = self.owned.get(&record.at).map_or(0, |holding| holding.serial);
        self.in_hand.push(Kept { record: record.clone(), serial, by });
    }

    /// It committed in the generation before, and follows the current one.
    pub(super) fn violate_generation(&mut self, stage: &mut Stage) {
        let (who, current) = (self.who, self.generation_id);
        if let Some(generation_id) = self.committed_before.take() {
            stage.violate("a commit is of the current generation", || {
                format!("{who} commits in generation {generation_id}, the current is {current}")
            });
        }
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
            if let Some(holding) = self.owned.get_mut(&record.at).filter(|holding| holding.serial == serial) {
                holding.limit = holding.limit.max(Some(record.offset + 1));
                holding.reached = holding.reached.map(|reached| reached.max(record.offset + 1));
            }
        }
    }

    /// The first user has come back from all that he has.
    pub(super) fn all_done(&mut self, stage: &mut Stage, truth: &mut Truth) {
        self.done(self.reader.id(), usize::MAX, stage, truth);
    }

    /// What a reader that is gone had is handed out again from there.
    pub(super) fn hands_out_again(&mut self, at: &TopicPartition, offset: i64, serial: u64) {
        if let Some(holding) = self.owned.get_mut(at).filter(|holding| holding.serial == serial) {
            self.serial += 1;
            holding.serial = self.serial;
            holding.expect = Expect::At(offset);
        }
    }

    pub(super) fn check_commit(
        &mut self,
        commit: &OffsetCommitRequest,
        stage: &mut Stage,
        truth: &mut Truth,
    ) {
        self.counts.commits += 1;
        // One that was given up unanswered may wait in a broker still: nothing tells it from a later one.
        self.commit_may_come_late(truth);
        let who = self.who;
        let generation_id = commit.generation_id_or_member_epoch;
        if generation_id < 0 && self.in_group() && *self.host.machine.subscription() != Subscription::None {
            stage.violate("who has subscribed commits as a member", || format!("{who} commits as nobody"));
        }
        let own = [self.generation_id, self.joined_generation_id].contains(&generation_id);
        if generation_id >= 0 && !own {
            // One that has given up the question that brought the current one does not follow it, and joins again.
            let before = generation_id == self.synced_generation_id && self.is_incremental();
            let given_up = before && self.asked_to_join != self.joined_by;
            self.committed_before = (!given_up).then_some(generation_id);
            if !before {
                self.violate_generation(stage);
            }
        }
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
                let settles = reached.is_none_or(|reached| offset <= reached).then_some(self.serial);
                self.committing.push(Sent { at: at.clone(), offset, settles });
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
                let epoch = self.leader_epochs.before(&at, offset, holding.serial);
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
                let limit = limit.max(self.let_go.get(&at).copied().unwrap_or(0));
                if offset > limit {
                    stage.violate("nothing is committed that the user is not back from", || {
                        format!("{who} commits {at} = {offset}; {limit} is the most")
                    });
                }
            }
        }
    }
}

/// The partitions of an assignment by their names.
/// What the leader of a classic group gave: nothing, where there are no bytes.
fn shared_out(assignment: &[u8]) -> Vec<TopicPartition> {
    let given: ConsumerProtocolAssignment = decode_embedded(assignment).unwrap_or_default();
    let of_topic = given.assigned_partitions.into_iter().flat_map(|given| {
        let at = move |partition| TopicPartition::new(given.topic.as_str(), partition);
        given.partitions.into_iter().map(at)
    });
    of_topic.collect()
}

fn named(assignment: &ConsumerGroupHeartbeatAssignment, truth: &Truth) -> Vec<TopicPartition> {
    let topics = assignment.topic_partitions.iter();
    let of = |topic: &ottla_protocol::messages::ConsumerGroupHeartbeatTopicPartitions| {
        let name = truth.topic_ids.get(&topic.topic_id).cloned().unwrap_or_default();
        let numbers = topic.partitions.clone().into_iter();
        numbers.map(move |partition| TopicPartition::new(name.clone(), partition)).collect::<Vec<_>>()
    };
    topics.flat_map(of).collect()
}
