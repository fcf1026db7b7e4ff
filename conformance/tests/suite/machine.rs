//! How cases share the machine: how many run at once, and of which kind.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a case does to the machine, or asks of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    Light,
    Timed,
    Heavy,
}

/// How many run at most at once: most wait most of the time, for sessions that end, for members that come.
pub(crate) const AT_ONCE: usize = 14;

/// How many run also on a machine that is busy: more would only make each other late.
const WHILE_BUSY: usize = 4;

/// How many heavy ones are among them.
const HEAVY_AT_ONCE: usize = 2;

static MACHINE: Mutex<Machine> = Mutex::new(Machine {
    running: 0,
    heavy: 0,
    came: 0,
    waiting: BTreeSet::new(),
    processors: Processors { seen: None, idle: false },
});
static GIVEN_BACK: Condvar = Condvar::new();

struct Machine {
    running: usize,
    /// How many of those are heavy.
    heavy: usize,
    /// How many heavy ones have come.
    came: usize,
    /// Those that wait: in the order in which they came they run.
    waiting: BTreeSet<usize>,
    processors: Processors,
}

impl Machine {
    /// Whether one more may run; where a heavy one waits and could, a light one lets it go first.
    fn has_room(&mut self, load: Load, number: usize) -> bool {
        let heavy = HEAVY_AT_ONCE - self.heavy;
        match load {
            Load::Light => {
                let at_once = if self.processors.are_idle() { AT_ONCE } else { WHILE_BUSY };
                self.running + heavy.min(self.waiting.len()) < at_once
            }
            Load::Heavy => self.running < AT_ONCE && heavy > 0 && self.waiting.first() == Some(&number),
            Load::Timed => self.running == 0 && self.waiting.is_empty(),
        }
    }

    fn hold(&mut self, load: Load, number: usize) {
        self.processors.idle = false;
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

/// Whether the processors have time left, looked at now and then.
struct Processors {
    seen: Option<(Instant, Ticks)>,
    /// What the last look showed; no longer so once a case has begun.
    idle: bool,
}

impl Processors {
    const EACH: Duration = Duration::from_millis(500);

    fn are_idle(&mut self) -> bool {
        let now = Instant::now();
        if self.seen.is_none_or(|(then, _)| now - then >= Self::EACH) {
            // Where the system does not tell, they count as idle.
            let ticks = Ticks::read().unwrap_or_default();
            self.idle = self.seen.is_some_and(|(_, then)| ticks.left_since(then));
            self.seen = Some((now, ticks));
        }
        self.idle
    }
}

/// How long the processors worked so far, and how long they were left to whoever would have them, in ticks of the system.
#[derive(Debug, Clone, Copy, Default)]
struct Ticks {
    worked: u64,
    left: u64,
}

impl Ticks {
    /// From the first line of proc(5)'s `stat`. What runs at a lower priority leaves its time to the cases.
    fn read() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/stat").ok()?;
        let numbers = stat.lines().next()?.split_whitespace().skip(1).map_while(|number| number.parse().ok());
        let numbers: Vec<u64> = numbers.collect();
        let &[user, nice, system, idle, io, interrupts, soft, stolen, ..] = numbers.as_slice() else {
            return None;
        };
        Some(Self { worked: user + system + interrupts + soft + stolen, left: nice + idle + io })
    }

    /// Whether a sixth of the time was left, or more.
    fn left_since(self, then: Self) -> bool {
        let (worked, left) = (self.worked.saturating_sub(then.worked), self.left.saturating_sub(then.left));
        left * 6 >= worked + left
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
        while !machine.has_room(load, number) {
            let woken = GIVEN_BACK.wait_timeout(machine, Processors::EACH);
            machine = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
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
