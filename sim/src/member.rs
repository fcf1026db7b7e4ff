//! One life of a consumer: its machine, its reader, its user, and what is checked between them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ottla_core::{
    ConnId, Consumer, Disconnected, Machine, OpId, Outbound, Reader, ReaderConfig, ReaderId, Reason,
    RequestId, Subscription, SubscriptionError, TopicPartition,
};
use ottla_protocol::{ErrorCode, Now, Request, Response, Timestamp};

use crate::{
    calls::Asked,
    dice::Dice,
    epochs::LeaderEpochs,
    habits::Habits,
    handed::Handed,
    helper::Helper,
    host::{Frame, Host},
    logs::Wanted,
    mode::Protocol,
    parting::Farewell,
    role::{Role, Wants},
    stage::{Stage, Who},
    truth::Truth,
    user::Doing,
    wire::Turns,
    world::GROUP,
};

/// More than any batch here decompresses to.
pub(super) const READING: ReaderConfig = ReaderConfig { check_crcs: true, max_decompressed: 1 << 20 };

/// The invariant of listeners.
pub(super) const TOLD_IN_PAIRS: &str = "a listener hears of a partition once as assigned and once as gone";

/// A partition that a member has now.
#[derive(Debug, Clone)]
pub(super) struct Holding {
    pub(super) since: Duration,
    pub(super) expect: Expect,
    /// The largest position that may be committed; `None` before anything was done.
    pub(super) limit: Option<i64>,
    /// How far the user has come since he last sought; `None` where he has not.
    pub(super) reached: Option<i64>,
    /// Whether the core must know the position.
    pub(super) known: bool,
    /// Tells one assignment of a partition from the next.
    pub(super) serial: u64,
}

/// A record in a user's hands.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) record: Handed,
    /// Of its partition's assignment.
    pub(super) serial: u64,
    /// Who handed it out.
    pub(super) by: ReaderId,
}

/// An offset that was sent to be committed.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) at: TopicPartition,
    pub(super) offset: i64,
    /// Once it is committed, what came of the seeks up to this one is.
    pub(super) settles: Option<u64>,
}

/// Which offset is to come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expect {
    /// What is committed, or the log's start.
    Start,
    At(i64),
    /// The log's end at some time since it was here.
    EndSince(i64),
    /// What the log answered at some time since then. Whether what lies before may go unread.
    Found {
        wanted: Wanted,
        since: Duration,
        skips: bool,
    },
}

pub(crate) struct Member {
    pub(crate) who: Who,
    pub(crate) host: Host<Consumer<Frame>>,
    pub(crate) role: Role,
    /// Whose progress its own is.
    pub(crate) group: String,
    pub(crate) habits: Habits,
    /// How many bytes of records it may hold.
    pub(crate) most_held: usize,
    /// How long its user may stay away.
    pub(super) max_poll: Duration,
    pub(super) reader: Reader<Frame>,
    pub(super) dice: Dice,
    pub(super) doing: Doing,
    pub(super) stamp: u64,
    /// More readers, with users of their own.
    pub(super) helpers: Vec<Helper>,
    /// Whether nothing may be read twice.
    pub(super) plan_is_orderly: bool,
    /// Records that users have and have not come back from.
    pub(super) in_hand: Vec<Kept>,
    pub(super) owned: BTreeMap<TopicPartition, Holding>,
    pub(super) paused: BTreeSet<TopicPartition>,
    pub(super) ops: Vec<(OpId, Asked)>,
    /// What the user asked to commit last, and the number of that request.
    pub(super) last_commit: BTreeMap<TopicPartition, u64>,
    /// Bytes of record batches that were fetched, and of those that were handed out.
    received: usize,
    pub(super) handed: usize,
    /// How often something may have been fetched in vain.
    pub(super) detours: usize,
    /// Since when the user has been out of every call.
    pub(super) away_since: Duration,
    /// Whether the last call was a commit: the next one reads.
    pub(super) just_committed: bool,
    /// Whether the user called close, and is told by his listener of all that this takes away.
    pub(super) closed: bool,
    pub(super) told_at_the_end: bool,
    pub(super) farewell: Option<Farewell>,
    /// The longest time that he was out of every call, since he was told that it was too long.
    pub(super) longest_absence: Duration,
    /// What is paused in the end, to see its position committed.
    pub(super) resting: Option<TopicPartition>,
    /// When it last asked the coordinator for anything that shows that it is there.
    pub(super) beaten: Duration,
    /// When it was told that it is no member.
    pub(super) told_at: Duration,
    pub(super) turns: Turns,
    pub(super) serial: u64,
    /// The generation, or the member epoch, that the coordinator told last, and the one that the core has told of.
    pub(super) generation_id: i32,
    pub(crate) joined_generation_id: i32,
    /// What was assigned by hand and is no more: the largest position that a commit may tell yet.
    pub(super) let_go: BTreeMap<TopicPartition, i64>,
    /// The last one whose assignment it asked for, and that in which it committed although there was a newer one.
    pub(super) synced_generation_id: i32,
    pub(super) committed_before: Option<i32>,
    /// The newest requests to join, and for what that brought.
    pub(super) asked_to_join: RequestId,
    pub(super) asked_to_sync: RequestId,
    /// The one by which it joined last.
    pub(super) joined_by: RequestId,
    pub(crate) member_id: String,
    /// The coordinator told this generation's member that it is over.
    pub(super) told: Option<ErrorCode>,
    /// It told what may be the end of the generation, or of one before.
    pub(super) warned: bool,
    pub(super) leader_epochs: LeaderEpochs,
    /// What a commit that is not answered yet says.
    pub(super) committing: Vec<Sent>,
    /// Until when what is to be given up is waited for.
    pub(super) waited_for_until: Option<Timestamp>,
    /// It has joined, and asked for its assignment.
    pub(super) syncing: bool,
    /// It has been told its assignment.
    pub(super) synced: bool,
    /// What the coordinator has told to be this member's no more, or the user does not subscribe to any more.
    pub(super) withdrawn: BTreeSet<TopicPartition>,
    /// What is new, and the listener has not returned.
    pub(super) unannounced: BTreeSet<TopicPartition>,
    /// What the listener was told to be given up, and is not yet.
    pub(super) parted: BTreeSet<TopicPartition>,
    /// What the listener was told to be assigned, and not to be revoked or lost.
    pub(super) announced: BTreeSet<TopicPartition>,
    /// In `unsubscribe`, which tells afterwards.
    pub(super) unsubscribing: bool,
    pub(crate) counts: Counts,
}

/// What happened to a member.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) assigned: u64,
    pub(crate) revoked: u64,
    pub(crate) lost: u64,
    pub(crate) expelled: u64,
    pub(crate) refused: u64,
    pub(crate) corrupt: u64,
    pub(crate) seeks: u64,
    pub(crate) commits: u64,
}

/// More than this at one moment is a busy loop.
const MOST_ROUNDS: u32 = 200;

impl Member {
    pub(crate) fn new(
        who: Who,
        mut machine: Consumer<Frame>,
        role: Role,
        habits: Habits,
        (most_held, max_poll): (usize, Duration),
        dice: Dice,
        stage: &mut Stage,
    ) -> Self {
        let group = match &role {
            Role::Group(_) => GROUP.to_owned(),
            Role::Alone { group, .. } => group.clone().unwrap_or_else(|| format!("{who} alone")),
        };
        let reader = Reader::new(&mut machine, READING, stage.now());
        let mut member = Self {
            who,
            host: Host::new(who, machine),
            role,
            group,
            habits,
            most_held,
            max_poll,
            reader,
            dice,
            doing: Doing::Away,
            stamp: 0,
            helpers: Vec::new(),
            plan_is_orderly: false,
            in_hand: Vec::new(),
            owned: BTreeMap::new(),
            paused: BTreeSet::new(),
            ops: Vec::new(),
            last_commit: BTreeMap::new(),
            received: 0,
            handed: 0,
            detours: 2,
            away_since: Duration::ZERO,
            just_committed: false,
            closed: false,
            told_at_the_end: false,
            farewell: None,
            longest_absence: Duration::ZERO,
            resting: None,
            beaten: Duration::ZERO,
            told_at: Duration::ZERO,
            turns: Turns::default(),
            serial: 0,
            generation_id: -1,
            joined_generation_id: -1,
            let_go: BTreeMap::new(),
            synced_generation_id: -1,
            committed_before: None,
            asked_to_join: RequestId(0),
            asked_to_sync: RequestId(0),
            joined_by: RequestId(0),
            member_id: String::new(),
            told: None,
            warned: false,
            leader_epochs: LeaderEpochs::default(),
            committing: Vec::new(),
            waited_for_until: None,
            syncing: false,
            synced: false,
            withdrawn: BTreeSet::new(),
            unannounced: BTreeSet::new(),
            parted: BTreeSet::new(),
            announced: BTreeSet::new(),
            unsubscribing: false,
            counts: Counts::default(),
        };
        member.subscribe(stage);
        member
    }

    /// The user wants something else.
    pub(crate) fn change(&mut self, wants: Wants, stage: &mut Stage, truth: &mut Truth) {
        let who = self.who;
        let Role::Group(role) = &mut self.role else { return };
        let incremental = role.protocol.is_incremental();
        if role.wants != wants && !self.owned.is_empty() && !incremental {
            // It rebalances of its own accord.
            self.told = Some(ErrorCode::RebalanceInProgress);
        }
        // What is not wanted any more goes, and is lost where that takes too long.
        self.warned |= role.wants != wants && incremental;
        // It joins again, and does not follow the answer to what it asked before.
        self.syncing &= role.wants == wants;
        role.wants = wants;
        // It is a call of the user's.
        self.note_absence(stage);
        self.away_since = stage.time;
        self.turns.wants_others();
        if *self.host.machine.subscription() != Subscription::None {
            stage.tell(|| format!("{who} changes its subscription"));
            self.subscribe_as_wanted(stage);
            self.called(stage, truth);
        }
    }

    /// The user asks for a rebalance.
    pub(crate) fn enforce(&mut self, stage: &mut Stage, truth: &mut Truth) {
        let who = self.who;
        let asked = self.host.machine.enforce_rebalance("asked for", stage.now());
        stage.tell(|| format!("{who} enforce_rebalance(): {asked:?}"));
        match asked {
            Ok(()) if !self.owned.is_empty() && !self.is_incremental() => {
                self.told = Some(ErrorCode::RebalanceInProgress);
            }
            Ok(())
            | Err(
                SubscriptionError::ServerSide | SubscriptionError::NotMember | SubscriptionError::NoGroup,
            ) => {}
            Err(error) => stage.violate("a rebalance can be enforced", || error.to_string()),
        }
        self.called(stage, truth);
    }

    pub(super) fn subscribe(&mut self, stage: &mut Stage) {
        let now = stage.now();
        let who = self.who;
        if let Role::Alone { partitions, .. } = &self.role {
            let partitions = partitions.clone();
            stage.tell(|| format!("{who} takes {}", names(&partitions)));
            self.host.machine.assign(partitions.clone(), now).expect("it is in no group");
            partitions.into_iter().for_each(|at| self.hold(at, stage.time));
        } else {
            self.subscribe_as_wanted(stage);
        }
        self.think(Duration::ZERO, stage);
    }

    fn subscribe_as_wanted(&mut self, stage: &mut Stage) {
        let (who, now) = (self.who, stage.now());
        let Some(wants) = self.role.in_group().map(|role| &role.wants) else { return };
        stage.tell(|| format!("{who} subscribes to {wants:?}"));
        match wants {
            Wants::Topics(topics) => {
                self.host.machine.subscribe(topics.clone(), now).expect("it is not assigned by hand");
            }
            Wants::Pattern(pattern) => {
                self.host.machine.subscribe_pattern(pattern, now).expect("it is not assigned by hand");
            }
        }
    }

    /// Whether it may still read.
    pub(crate) fn is_live(&self) -> bool {
        !self.closed && self.doing != Doing::Gone
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.doing == Doing::Gone
    }

    /// Whether it ended, and not by a crash.
    pub(crate) fn closed_in_order(&self) -> bool {
        self.closed && self.is_gone()
    }

    pub(crate) fn in_group(&self) -> bool {
        self.role.in_group().is_some()
    }

    pub(super) fn is_paused(&self, at: &TopicPartition) -> bool {
        self.paused.contains(at)
    }

    /// What the first user has in hand.
    pub(super) fn own_in_hand(&self) -> impl Iterator<Item = &Kept> {
        self.in_hand.iter().filter(|kept| kept.by == self.reader.id())
    }

    /// Whether its reader, or its user, has records of a partition.
    pub(super) fn holds(&self, at: &TopicPartition) -> bool {
        let readers = std::iter::once(&self.reader).chain(self.helpers.iter().map(|helper| &helper.reader));
        self.in_hand.iter().any(|kept| kept.record.at == *at)
            || readers.flat_map(Reader::positions).any(|(of, _)| of == at)
    }

    /// Whether it has records of a partition, taken or not.
    pub(crate) fn has_records(&self, at: &TopicPartition, now: Now) -> bool {
        let buffered = |reason: &Reason| matches!(reason, Reason::Buffered { .. });
        let explained = self.host.machine.explain(now);
        self.holds(at) || explained.partitions.iter().any(|(of, reason)| of == at && buffered(reason))
    }

    /// Whether its user may be away for long from the end of the trouble on.
    pub(crate) fn may_be_away(&self) -> bool {
        self.habits.absent > 0.0 && *self.habits.absence.end() > Duration::from_secs(4)
    }

    pub(super) fn is_static(&self) -> bool {
        self.role.in_group().is_some_and(|role| role.instance.is_some())
    }

    /// Whether partitions that stay are kept through a rebalance.
    pub(super) fn is_incremental(&self) -> bool {
        self.role.in_group().is_some_and(|role| role.protocol.is_incremental())
    }

    /// Whether it speaks the consumer protocol.
    pub(super) fn follows_broker(&self) -> bool {
        self.role.in_group().is_some_and(|role| matches!(role.protocol, Protocol::Consumer(_)))
    }

    /// Whether a partition is its own, as its events have told the user.
    pub(crate) fn has(&self, at: &TopicPartition) -> bool {
        self.is_live() && self.owned.contains_key(at)
    }

    /// The partitions of which it has to read everything: not those whose end was sought, and which have been silent
    /// since.
    pub(crate) fn owes(&self) -> impl Iterator<Item = &TopicPartition> {
        let owed = |holding: &Holding| !matches!(holding.expect, Expect::EndSince(_));
        self.owned.iter().filter(move |(_, holding)| owed(holding)).map(|(at, _)| at)
    }

    pub(super) fn hold(&mut self, at: TopicPartition, since: Duration) {
        self.serial += 1;
        let holding = Holding {
            since,
            expect: Expect::Start,
            limit: None,
            reached: None,
            known: false,
            serial: self.serial,
        };
        self.owned.insert(at, holding);
    }

    // The driver's half.

    /// The user's calls are over: the driver takes a turn only if they have stirred the machine.
    pub(crate) fn called(&mut self, stage: &mut Stage, truth: &mut Truth) {
        if self.doing == Doing::Gone {
            return;
        }
        self.drain_events(stage);
        self.look_at_positions(stage, truth);
        if self.host.is_stirred() || self.users_look(stage, truth) {
            self.turn(stage, truth);
        }
    }

    /// Those who wait look again, as often as they are woken. Returns whether that leaves something to the driver.
    fn users_look(&mut self, stage: &mut Stage, truth: &mut Truth) -> bool {
        for _ in 0..MOST_ROUNDS {
            if !self.host.machine.take_wake() || !self.woken(stage, truth) {
                return self.host.is_stirred();
            }
            if self.host.is_stirred() {
                return true;
            }
        }
        let who = self.who;
        stage.violate("no busy loop", || format!("the users of {who} wake each other for ever"));
        false
    }

    /// Does what the driver does until there is nothing left for it nor for a user who waits.
    pub(crate) fn turn(&mut self, stage: &mut Stage, truth: &mut Truth) {
        if self.doing == Doing::Gone {
            return;
        }
        for round in 0.. {
            if round > MOST_ROUNDS || stage.violation.is_some() {
                let who = self.who;
                stage.violate("no busy loop", || format!("{who} and its user wake each other for ever"));
                return;
            }
            let now = stage.now();
            self.host.begin(stage);
            self.drain_events(stage);
            while let Some(effect) = self.host.machine.poll_send(now) {
                self.drain_events(stage);
                self.look_at_positions(stage, truth);
                if let Outbound::Send { id, request, .. } = &effect {
                    self.watch_sent(request, stage, truth);
                    match request {
                        Request::OffsetCommit(commit) => self.check_commit(commit, stage, truth),
                        Request::JoinGroup(_) => {
                            (self.asked_to_join, self.syncing, self.committed_before) = (*id, false, None);
                            self.synced = false;
                        }
                        Request::SyncGroup(_) => {
                            (self.asked_to_sync, self.syncing) = (*id, true);
                            self.violate_generation(stage);
                            self.synced_generation_id = self.generation_id;
                        }
                        _ => {}
                    }
                }
                self.host.act(effect, stage);
            }
            self.drain_events(stage);
            self.look_at_positions(stage, truth);
            if self.host.machine.is_closed() {
                return self.gone(stage);
            }
            // What was stirred by now has been carried out.
            _ = self.host.machine.take_stir();
            if !self.users_look(stage, truth) {
                break;
            }
        }
        self.host.end(stage);
        let held = self.host.memory.records.get();
        if held > self.most_held {
            let (who, most) = (self.who, self.most_held);
            stage.violate("no more is held than the budget and a batch", || {
                format!("{who} holds {held} bytes of records; {most} is the most")
            });
        }
    }

    pub(crate) fn handle_alarm(&mut self, stage: &mut Stage, truth: &mut Truth) {
        if self.host.is_due(stage.time) {
            self.turn(stage, truth);
        }
    }

    pub(crate) fn handle_connected(&mut self, conn: ConnId, stage: &mut Stage, truth: &mut Truth) {
        self.host.machine.handle_connected(conn, stage.now());
        self.turn(stage, truth);
    }

    pub(crate) fn handle_disconnected(
        &mut self,
        conn: ConnId,
        why: Disconnected,
        stage: &mut Stage,
        truth: &mut Truth,
    ) {
        self.host.disconnected(conn, why, stage);
        self.turn(stage, truth);
    }

    pub(crate) fn handle_frame(
        &mut self,
        conn: ConnId,
        frame: Vec<u8>,
        stage: &mut Stage,
        truth: &mut Truth,
    ) {
        if let Some((awaited, reply)) = self.host.decode(conn, frame, stage) {
            let was_told = self.told;
            self.observe(awaited, &reply.response, truth);
            if self.told != was_told {
                self.told_at = stage.time;
            }
            if let Response::Fetch(fetch) = &reply.response {
                self.check_turns(conn, fetch, stage, truth);
            }
            self.received += reply
                .fetched
                .iter()
                .flat_map(|f| f.spans.iter().flatten())
                .map(ottla_core::Spans::size)
                .sum::<usize>();
            let most = self.handed * 2 + self.detours * self.most_held;
            if self.received > most {
                let (who, received, handed) = (self.who, self.received, self.handed);
                stage.violate("little is fetched in vain", || {
                    format!("{who} fetched {received} bytes of records and handed out {handed}; {most} were expected")
                });
            }
            self.host.machine.handle_reply(conn, reply, stage.now());
            if self.host.machine.take_wake() {
                self.drain_events(stage);
                self.woken(stage, truth);
            }
        }
        self.turn(stage, truth);
    }
}

pub(crate) fn names(partitions: &[TopicPartition]) -> String {
    partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
