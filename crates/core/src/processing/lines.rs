//! Which records wait for which: a line is what is handled one after the other.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher},
};

use super::{partition::Incarnation, policy::Order};
use crate::planted::{Planted, Plot};

/// A record's place: in which life of its partition, and its offset.
pub(super) type Place = (Incarnation, i64);

/// A line of a partition. Two keys whose hashes are the same share one, which costs them time and no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct LineId(u64);

/// Of lines, whose ids are hashes with a seed already.
#[derive(Debug, Default)]
struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64((*byte).into()));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        // The golden ratio's bits: what differs anywhere differs in the bits that a table looks at.
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// The lines of all partitions, and who is next.
#[derive(Debug)]
pub(super) struct Lines {
    order: Order,
    seed: u64,
    /// Those that somebody is at the head of, and who waits behind.
    lines: HashMap<(Incarnation, LineId), VecDeque<i64>, BuildHasherDefault<Mixed>>,
    /// Those that wait for nothing but a worker, in order. Some may not be there any more.
    ready: VecDeque<Place>,
    pub(super) plot: Plot,
}

impl Lines {
    pub(super) fn new(order: Order, seed: u64) -> Self {
        Self { order, seed, lines: HashMap::default(), ready: VecDeque::new(), plot: Plot::default() }
    }

    /// The line of a record with this key; none where it waits for nobody.
    pub(super) fn line_of(&self, key: Option<&[u8]>) -> Option<LineId> {
        match self.order {
            Order::Partition => Some(LineId(0)),
            Order::Key if self.plot.has(Planted::KeysAreOverlooked) => None,
            Order::Key => key.map(|key| {
                // With a seed, so that who chooses keys cannot choose which of them share a line.
                let mut hasher = DefaultHasher::new();
                (self.seed, key).hash(&mut hasher);
                LineId(hasher.finish())
            }),
            Order::Unordered => None,
        }
    }

    /// A record that has arrived stands in its line.
    pub(super) fn join(&mut self, line: Option<LineId>, (partition, offset): Place) {
        if let Some(line) = line {
            if let Some(behind) = self.lines.get_mut(&(partition, line))
                && !self.plot.has(Planted::LateComersPass)
            {
                behind.push_back(offset);
                return;
            }
            self.lines.insert((partition, line), VecDeque::new());
        }
        self.ready.push_back((partition, offset));
    }

    /// Whether anything of a line is in hand.
    pub(super) fn is_in_hand(&self, partition: Incarnation, line: Option<LineId>) -> bool {
        line.is_some_and(|line| self.lines.contains_key(&(partition, line)))
    }

    /// The head of a line is done: the next one is ready.
    pub(super) fn advance(&mut self, partition: Incarnation, line: Option<LineId>) {
        let Some(line) = line else { return };
        let Some(behind) = self.lines.get_mut(&(partition, line)) else { return };
        match behind.pop_front() {
            Some(next) => self.ready.push_back((partition, next)),
            None => drop(self.lines.remove(&(partition, line))),
        }
    }

    /// Takes out those that wait behind the head of a line, from the first on, while they may begin: at most so many.
    pub(super) fn take_behind(
        &mut self,
        (partition, line): (Incarnation, Option<LineId>),
        most: usize,
        may_begin: impl Fn(i64) -> bool,
    ) -> VecDeque<i64> {
        let behind = line.and_then(|line| self.lines.get_mut(&(partition, line)));
        let Some(behind) = behind else { return VecDeque::new() };
        let some = behind.iter().take(most).take_while(|offset| may_begin(**offset)).count();
        behind.drain(..some).collect()
    }

    /// Those that were [taken out](Self::take_behind) and are not done stand before the others again.
    pub(super) fn put_behind(
        &mut self,
        (partition, line): (Incarnation, Option<LineId>),
        offsets: VecDeque<i64>,
    ) {
        let behind = line.and_then(|line| self.lines.get_mut(&(partition, line)));
        if let Some(behind) = behind {
            offsets.into_iter().rev().for_each(|offset| behind.push_front(offset));
        }
    }

    /// The partition has ended, and this line of it with it.
    pub(super) fn forget(&mut self, partition: Incarnation, line: Option<LineId>) {
        if let Some(line) = line {
            self.lines.remove(&(partition, line));
        }
    }

    /// One that was ready before, and is again, before the others.
    pub(super) fn hurry(&mut self, place: Place) {
        self.ready.push_front(place);
    }

    /// One that is ready again, behind the others.
    pub(super) fn again(&mut self, place: Place) {
        self.ready.push_back(place);
    }

    /// Who is next. To be asked whether it is still there.
    pub(super) fn pop(&mut self) -> Option<Place> {
        self.ready.pop_front()
    }

    /// Whether nobody is ready.
    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }
}
