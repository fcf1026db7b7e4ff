//! Operations that a user waits for: begun with a call, ended later, and forgotten when the user is gone. The result of each is
//! told once.
//!
//! What an operation does, and what becomes of it, is its machine's own.

use std::{collections::BTreeMap, time::Instant};

use crate::{deadline::Earliest, ids::OpId};

/// `W` is what is kept of an operation under way, `O` its outcome, `F` why it failed.
#[derive(Debug)]
pub(crate) struct Ops<W, O, F> {
    last: u64,
    open: BTreeMap<OpId, Open<W>>,
    done: BTreeMap<OpId, Result<O, F>>,
}

#[derive(Debug)]
struct Open<W> {
    deadline: Instant,
    work: W,
}

impl<W, O, F> Default for Ops<W, O, F> {
    fn default() -> Self {
        Self { last: 0, open: BTreeMap::new(), done: BTreeMap::new() }
    }
}

impl<W, O, F> Ops<W, O, F> {
    /// An operation that has until `deadline`.
    pub(crate) fn begin(&mut self, work: W, deadline: Instant) -> OpId {
        let id = self.next();
        self.open.insert(id, Open { deadline, work });
        id
    }

    /// An operation that has ended as it began.
    pub(crate) fn begin_ended(&mut self, result: Result<O, F>) -> OpId {
        let id = self.next();
        self.done.insert(id, result);
        id
    }

    fn next(&mut self) -> OpId {
        self.last += 1;
        OpId(self.last)
    }

    /// Whether the operation is under way, and somebody waits for it.
    pub(crate) fn is_open(&self, id: OpId) -> bool {
        self.open.contains_key(&id)
    }

    /// The operations under way, the oldest first.
    pub(crate) fn open(&self) -> impl Iterator<Item = (OpId, &W)> {
        self.open.iter().map(|(id, open)| (*id, &open.work))
    }

    pub(crate) fn get_mut(&mut self, id: OpId) -> Option<&mut W> {
        self.open.get_mut(&id).map(|open| &mut open.work)
    }

    /// Ends an operation with what has become of its work. Returns whether it was under way.
    pub(crate) fn end(&mut self, id: OpId, result: impl FnOnce(W) -> Result<O, F>) -> bool {
        let ended = self.open.remove(&id).map(|open| self.done.insert(id, result(open.work)));
        ended.is_some()
    }

    pub(crate) fn fail(&mut self, id: OpId, why: F) {
        self.end(id, |_| Err(why));
    }

    pub(crate) fn fail_all(&mut self, why: &F)
    where
        F: Clone,
    {
        for id in std::mem::take(&mut self.open).into_keys() {
            self.done.insert(id, Err(why.clone()));
        }
    }

    /// Ends the operations whose time is up. Returns whether there were any.
    pub(crate) fn expire(&mut self, now: Instant, mut give_up: impl FnMut(OpId, W) -> Result<O, F>) -> bool {
        let late = self.open.extract_if(.., |_, open| open.deadline <= now);
        let before = self.done.len();
        self.done.extend(late.map(|(id, open)| (id, give_up(id, open.work))));
        self.done.len() > before
    }

    pub(crate) fn take(&mut self, id: OpId) -> Option<Result<O, F>> {
        self.done.remove(&id)
    }

    /// Nobody waits for the operation any more. What it has asked for may be carried out all the same.
    pub(crate) fn forget(&mut self, id: OpId) {
        self.open.remove(&id);
        self.done.remove(&id);
    }

    pub(crate) fn deadlines(&self, earliest: &mut Earliest) {
        self.open.values().for_each(|open| earliest.consider(open.deadline));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    type Words = Ops<&'static str, &'static str, &'static str>;

    fn late_and_in_time() -> (Words, Instant, [OpId; 2]) {
        let (mut ops, now) = (Words::default(), Instant::now());
        let begun = [("late", 1), ("in time", 2)]
            .map(|(work, seconds)| ops.begin(work, now + Duration::from_secs(seconds)));
        (ops, now, begun)
    }

    #[test]
    fn a_result_is_told_once() {
        let (mut ops, _, [first, second]) = late_and_in_time();
        assert_eq!(ops.take(first), None, "it is under way");
        assert!(ops.end(first, Ok) && !ops.end(first, Err), "it ends once");
        assert_eq!((ops.take(first), ops.take(first)), (Some(Ok("late")), None));
        ops.fail_all(&"closed");
        assert_eq!((ops.take(second), ops.is_open(second)), (Some(Err("closed")), false));
    }

    #[test]
    fn an_operation_whose_time_is_up_ends_as_its_work_says() {
        let (mut ops, now, [late, in_time]) = late_and_in_time();
        let mut earliest = Earliest::after(now);
        ops.deadlines(&mut earliest);
        let at = earliest.get().unwrap();
        assert_eq!(at, now + Duration::from_secs(1));
        assert!(ops.expire(at, |id, work| if id == late { Ok(work) } else { Err(work) }));
        assert!(!ops.expire(at, |_, work| Err(work)));
        assert_eq!((ops.take(late), ops.is_open(in_time)), (Some(Ok("late")), true));
    }

    #[test]
    fn nothing_is_kept_of_an_operation_that_nobody_waits_for() {
        let (mut ops, _, [first, second]) = late_and_in_time();
        ops.end(first, Ok);
        let ended = ops.begin_ended(Ok("at once"));
        for id in [first, second, ended] {
            ops.forget(id);
            ops.end(id, Ok);
            assert_eq!(ops.take(id), None);
        }
        assert!(ops.begin("another", Instant::now()) > ended, "no id is given twice");
    }
}
