//! How cases share the machine: how many run at once, and of which kind.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, PoisonError};

/// What a case does to the machine, or asks of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    Light,
    Timed,
    Heavy,
}

/// How many run at once: most wait most of the time, for sessions that end, for members that come.
pub(crate) const AT_ONCE: usize = 7;

/// How many heavy ones are among them.
const HEAVY_AT_ONCE: usize = 2;

static MACHINE: Mutex<Machine> =
    Mutex::new(Machine { running: 0, heavy: 0, came: 0, waiting: BTreeSet::new() });
static GIVEN_BACK: Condvar = Condvar::new();

struct Machine {
    running: usize,
    /// How many of those are heavy.
    heavy: usize,
    /// How many heavy ones have come.
    came: usize,
    /// Those that wait: in the order in which they came they run.
    waiting: BTreeSet<usize>,
}

impl Machine {
    /// Whether one more may run; where a heavy one waits and could, a light one lets it go first.
    fn has_room(&self, load: Load, number: usize) -> bool {
        let heavy = HEAVY_AT_ONCE - self.heavy;
        match load {
            Load::Light => self.running + heavy.min(self.waiting.len()) < AT_ONCE,
            Load::Heavy => self.running < AT_ONCE && heavy > 0 && self.waiting.first() == Some(&number),
            Load::Timed => self.running == 0 && self.waiting.is_empty(),
        }
    }

    fn hold(&mut self, load: Load, number: usize) {
        match load {
            Load::Light => self.running += 1,
            Load::Heavy => {
                self.waiting.remove(&number);
                self.running += 1;
                self.heavy += 1;
            }
            // Nobody else runs beside it.
            Load::Timed => self.running += AT_ONCE,
        }
    }
}

/// A part of the machine that is held, and given back where a case panics, too.
pub(crate) struct Share(Load);

impl Share {
    /// Waits until there is one.
    pub(crate) fn take(load: Load) -> Self {
        let mut machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
        let number = machine.came;
        if load == Load::Heavy {
            machine.came += 1;
            machine.waiting.insert(number);
        }
        let room = GIVEN_BACK.wait_while(machine, |machine| !machine.has_room(load, number));
        let mut machine = room.unwrap_or_else(PoisonError::into_inner);
        machine.hold(load, number);
        drop(machine);
        // The next heavy one may be the first that waits now.
        GIVEN_BACK.notify_all();
        Self(load)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
        machine.running -= if self.0 == Load::Timed { AT_ONCE } else { 1 };
        machine.heavy -= usize::from(self.0 == Load::Heavy);
        drop(machine);
        GIVEN_BACK.notify_all();
    }
}
