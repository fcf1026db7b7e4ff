//! Who has to have each record of a topic: a group that reads, one whose handlers end, or what is made of them exactly once.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::{Duration, Instant},
};

use super::{LONGEST, STEADY, Shades, Violations, WHOLE, early::Early, member::Member};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Members of a group that are handed records.
    Group,
    /// Handlers that end, by key, or dead letters.
    Processor,
    /// Values in other topics; in the order of their records, or not.
    ExactlyOnce { ordered: bool },
}

impl Kind {
    pub(crate) fn is_exact(self) -> bool {
        matches!(self, Self::ExactlyOnce { .. })
    }

    /// How long what is committed may not have been told as handed out: what an audit of dead letters tells may be late.
    fn grace(self) -> Duration {
        if self == Self::Group { Duration::from_secs(5) } else { Duration::from_secs(90) }
    }
}

/// The longest time without a record that was there.
#[derive(Debug, Default, Clone)]
pub(crate) struct Stall {
    /// Without the time in which faults were in the way.
    pub(crate) calm: Duration,
    pub(crate) whole: Duration,
    pub(crate) what: String,
}

#[derive(Debug, Default)]
struct Place {
    committed: i64,
    /// What was committed by which time, as far as that has not settled.
    commits: VecDeque<(Instant, i64)>,
    settled: i64,
    moved: Option<Instant>,
    /// A stall is a violation once.
    is_stalled: bool,
    /// The last input whose outcome was read.
    input: i64,
}

pub(crate) struct Follower {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    places: Vec<Place>,
    members: BTreeMap<String, Member>,
    pub(super) early: Early,
    /// What was handled before it was known to be there.
    pub(super) early_offsets: BTreeSet<(i32, i64)>,
    /// Where each reader of outcomes is, by partition.
    outcomes: HashMap<(String, i32), i64>,
    pub(crate) handed_out: u64,
    /// How many outcomes were read.
    pub(crate) read: u64,
    pub(crate) repeated: u64,
    pub(crate) assignments: u64,
    pub(crate) worst: Stall,
    /// The longest by all its time.
    pub(crate) longest: Stall,
}

/// As much of a reason as a report has room for.
fn short(why: &str) -> String {
    why.chars().take(400).collect()
}

impl Follower {
    pub(super) fn new(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            places: Vec::new(),
            members: BTreeMap::new(),
            early: Early::default(),
            early_offsets: BTreeSet::new(),
            outcomes: HashMap::new(),
            handed_out: 0,
            read: 0,
            repeated: 0,
            assignments: 0,
            worst: Stall::default(),
            longest: Stall::default(),
        }
    }

    pub(super) fn grow(&mut self, partitions: usize) {
        self.places.resize_with(partitions.max(self.places.len()), Place::default);
    }

    fn known(&self) -> Vec<i64> {
        self.places.iter().map(|place| place.committed).collect()
    }

    /// What its process before this one told last can mean anything: the rest of it was not told.
    pub(super) fn started(&mut self, actor: &str) {
        let known = self.known();
        self.members.insert(actor.to_owned(), Member::new(known));
    }

    pub(super) fn ticked(&mut self, actor: &str, now: Instant, violations: &mut Violations) {
        let known = self.known();
        if let Some(member) = self.members.get_mut(actor) {
            member.ticked(known, now, violations);
        }
    }

    pub(super) fn assigned(&mut self, actor: &str, partitions: &[i32], now: Instant) {
        self.assignments += 1;
        if let Some(member) = self.members.get_mut(actor) {
            member.assigned(partitions, now);
        }
    }

    pub(super) fn given_up(&mut self, actor: &str, partitions: &[i32]) {
        if let Some(member) = self.members.get_mut(actor) {
            member.given_up(partitions);
        }
    }

    /// It has had a record that it had not had: one that it has again and again is none.
    pub(super) fn moved(&mut self, partition: i32, now: Instant) {
        if let Some(place) = self.places.get_mut(partition as usize) {
            place.moved = Some(now);
        }
    }

    pub(super) fn handed_out(
        &mut self,
        actor: &str,
        partition: i32,
        offset: i64,
        had: bool,
        now: Instant,
        violations: &mut Violations,
    ) {
        self.handed_out += 1;
        self.repeated += u64::from(had);
        if !had {
            self.moved(partition, now);
        }
        let text = format!("{}: {actor}, partition {partition}, offset {offset}", self.name);
        if let Some(member) = self.members.get_mut(actor) {
            member.handed_out(partition, offset, text, now, violations);
        }
    }

    pub(super) fn began(
        &mut self,
        actor: &str,
        at: (i32, i64),
        key: u64,
        attempt: u32,
        now: Instant,
        violations: &mut Violations,
    ) {
        self.handed_out += u64::from(attempt == 1);
        let text = format!("{}: {actor}, partition {}, offset {}, key {key}", self.name, at.0, at.1);
        if let Some(member) = self.members.get_mut(actor) {
            member.began(at, key, attempt, text, now, violations);
        }
    }

    pub(super) fn handled(&mut self, actor: &str, partition: i32, key: u64) {
        if let Some(member) = self.members.get_mut(actor) {
            member.handled(partition, key);
        }
    }

    /// Whether a reader of outcomes is behind this one for the first time.
    pub(super) fn read_outcome(&mut self, actor: &str, (partition, offset): (i32, i64)) -> bool {
        let next = self.outcomes.entry((actor.to_owned(), partition)).or_default();
        let is_new = offset >= *next;
        *next = (*next).max(offset + 1);
        is_new
    }

    /// Where a reader of outcomes goes on.
    pub(crate) fn outcomes_from(&self, actor: &str, partitions: usize) -> Vec<i64> {
        let from = |partition| self.outcomes.get(&(actor.to_owned(), partition)).copied().unwrap_or_default();
        (0..partitions as i32).map(from).collect()
    }

    /// Judges the order of outcomes, in that of their reading, as far as the inputs of all before are known.
    pub(super) fn judge_order(&mut self, partition: i32, now: Instant, violations: &mut Violations) {
        while let Some((offset, text)) = self.early.next(partition) {
            if !self.in_order(partition, offset) {
                violations.add("reordered", format!("{text}: before one that it has followed"), now);
            }
        }
    }

    /// The outcome of an input; false where it is of one before the last.
    fn in_order(&mut self, partition: i32, offset: i64) -> bool {
        let Some(place) = self.places.get_mut(partition as usize) else { return true };
        let is_behind = offset >= place.input;
        place.input = place.input.max(offset + 1);
        is_behind || self.kind != Kind::ExactlyOnce { ordered: true }
    }

    pub(super) fn committed(
        &mut self,
        log: &str,
        offsets: &[(i32, i64)],
        now: Instant,
        violations: &mut Violations,
    ) {
        for &(partition, offset) in offsets {
            let Some(place) = self.places.get_mut(partition as usize) else { continue };
            if offset < place.committed {
                let text = format!("{}: {log}-{partition} from {} to {offset}", self.name, place.committed);
                violations.add("committed offset fell", text, now);
            } else if offset > place.committed {
                place.committed = offset;
                place.commits.push_back((now, offset));
            }
        }
    }

    pub(super) fn is_committed(&self, partition: usize, offset: i64) -> bool {
        self.kind.is_exact() || self.places.get(partition).is_some_and(|place| place.committed > offset)
    }

    /// What was committed so long ago that all of it must have been told.
    pub(super) fn settled(&mut self, partition: usize, now: Instant) -> i64 {
        let grace = self.kind.grace();
        let Some(place) = self.places.get_mut(partition) else { return 0 };
        while let Some((at, offset)) = place.commits.front().copied()
            && now.saturating_duration_since(at) >= grace
        {
            place.settled = offset;
            place.commits.pop_front();
        }
        place.settled
    }

    /// How long a partition has stood still; `waiting` is the first record that it has not had, and since when it is there.
    #[expect(
        clippy::too_many_arguments,
        reason = "what a stall is and what is said of it come from everywhere"
    )]
    pub(super) fn waits(
        &mut self,
        log: &str,
        partition: usize,
        waiting: Option<(i64, Instant)>,
        now: Instant,
        shades: &Shades,
        whys: &BTreeMap<String, (Instant, String)>,
        violations: &mut Violations,
    ) {
        let Some(place) = self.places.get_mut(partition) else { return };
        let Some((offset, known)) = waiting else {
            place.is_stalled = false;
            return;
        };
        let since = place.moved.map_or(known, |moved| moved.max(known));
        let whole = now.saturating_duration_since(since);
        if whole < Duration::from_secs(1) {
            place.is_stalled = false;
            return;
        }
        let calm = shades.calm(self.name, since, now);
        let is_stall = (calm > STEADY || whole > LONGEST) && !place.is_stalled;
        if calm <= self.worst.calm && whole <= self.longest.whole && !is_stall {
            return;
        }
        let said = |(at, _): &&(Instant, String)| *at >= since;
        let said: Vec<String> = self
            .members
            .keys()
            .filter_map(|actor| {
                whys.get(actor).filter(said).map(|(_, why)| format!("{actor}: {}", short(why)))
            })
            .collect();
        let why = if said.is_empty() { "nobody said why".to_owned() } else { said.join(" | ") };
        let what =
            format!("{log}-{partition} at {offset}, beside {}; {why}", shades.named(self.name, since, now));
        if is_stall {
            place.is_stalled = true;
            let text = format!("{}: {calm:.1?} in calm, {whole:.1?} in all: {what}", self.name);
            violations.add("stalled", text, now);
        }
        let stall = Stall { calm, whole, what };
        if calm > self.worst.calm {
            self.worst = stall.clone();
        }
        if whole > self.longest.whole {
            self.longest = stall;
        }
    }

    pub(super) fn look(&mut self, now: Instant, shades: &Shades, violations: &mut Violations) {
        let name = self.name;
        for (partition, id) in self.early.overdue(|since| shades.calm(name, since, now) >= WHOLE) {
            let text =
                format!("{name}: {id}, of partition {partition}, is no record of its input, or not any more");
            violations.add("of nothing", text, now);
            self.judge_order(partition, now, violations);
        }
    }
}
