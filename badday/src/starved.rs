//! Whether this machine has time for brokers and actors: by what the kernel counts of each of their threads.

use std::{
    collections::HashMap,
    fs, iter,
    path::Path,
    time::{Duration, Instant},
};

use crate::scene::Scene;

/// How often it is looked at.
const TURN: Duration = Duration::from_secs(1);

/// How long it takes after it: what was late has others wait.
const RECOVERY: Duration = Duration::from_secs(2);

/// As long a thread may wait for a core, on average, whenever it is ready to run. On a quiet machine it is 0.3 ms, most of which
/// a core takes to wake up; so that the sum alone, over thousands of wake-ups a second, says nothing.
const WAIT: Duration = Duration::from_millis(3);

/// When they had too little, as the report tells it.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Starved {
    /// In all.
    pub(crate) whole: Duration,
    /// Without a pause.
    pub(crate) longest: Duration,
    pub(crate) had: Had,
}

/// What threads had of the machine.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Had {
    pub(crate) ran: Duration,
    /// They were ready to run, and had no core.
    pub(crate) waited: Duration,
    /// How often they were given a core.
    pub(crate) turns: u32,
}

impl Had {
    fn add(&mut self, more: Self) {
        self.ran += more.ran;
        self.waited += more.waited;
        self.turns = self.turns.saturating_add(more.turns);
    }

    /// How long they waited each time.
    pub(crate) fn wait(self) -> Duration {
        self.waited / self.turns.max(1)
    }

    /// They waited for a core for longer than they had one, and long each time; or this thread, which asks for nothing
    /// else, did.
    fn is_too_little(self, turn: Duration) -> bool {
        self.waited > self.ran && self.wait() > WAIT || turn > 2 * TURN
    }
}

/// Sees it as long as the day lasts, and has a shade on it.
pub(crate) fn watch(scene: &Scene) -> Starved {
    let (mut starved, mut threads) = (Starved::default(), Threads::default());
    let (mut before, mut in_a_row) = (Instant::now(), Duration::ZERO);
    threads.look();
    scene.stage.judge().shades.watched(before);
    while !scene.is_over() {
        std::thread::sleep(TURN);
        let had = threads.look();
        let turn = before.elapsed();
        starved.had.add(had);
        if had.is_too_little(turn) {
            in_a_row += turn;
            starved.whole += turn;
            starved.longest = starved.longest.max(in_a_row);
            scene.stage.judge().shades.starved(before, Instant::now() + RECOVERY);
        } else {
            in_a_row = Duration::ZERO;
        }
        before = Instant::now();
        scene.stage.judge().shades.watched(before);
    }
    starved
}

/// What the kernel has counted of each thread: for how long it ran, and waited for a core, in ns, and how often it had one.
#[derive(Default)]
struct Threads(HashMap<u32, [u64; 3]>);

impl Threads {
    /// What those of all child processes had since the last look.
    fn look(&mut self) -> Had {
        let now: HashMap<u32, [u64; 3]> = children().flat_map(threads).collect();
        let mut sums = [0; 3];
        for (thread, counts) in &now {
            // A number that is another thread's by now has fallen.
            let before = self.0.get(thread).copied().unwrap_or_default();
            for ((sum, count), before) in sums.iter_mut().zip(counts).zip(before) {
                *sum += count.saturating_sub(before);
            }
        }
        self.0 = now;
        let [ran, waited, turns] = sums;
        Had {
            ran: Duration::from_nanos(ran),
            waited: Duration::from_nanos(waited),
            turns: u32::try_from(turns).unwrap_or(u32::MAX),
        }
    }
}

/// What a folder names by numbers.
fn numbers(folder: impl AsRef<Path>) -> impl Iterator<Item = u32> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn children() -> impl Iterator<Item = u32> {
    numbers("/proc/self/task").flat_map(|thread| {
        let listed = fs::read_to_string(format!("/proc/self/task/{thread}/children")).unwrap_or_default();
        listed.split_whitespace().filter_map(|child| child.parse().ok()).collect::<Vec<_>>()
    })
}

fn threads(process: u32) -> impl Iterator<Item = (u32, [u64; 3])> {
    let mut each = numbers(format!("/proc/{process}/task"));
    iter::from_fn(move || {
        each.find_map(|thread| {
            let counted = fs::read_to_string(format!("/proc/{process}/task/{thread}/schedstat")).ok()?;
            let mut words = counted.split_whitespace().map(str::parse);
            let mut next = || words.next()?.ok();
            Some((thread, [next()?, next()?, next()?]))
        })
    })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn what_a_child_process_does_is_counted() {
        let mut child =
            Command::new("/bin/sh").args(["-c", "while :; do :; done"]).stdin(Stdio::null()).spawn().unwrap();
        let mut threads = Threads::default();
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut ran = Duration::ZERO;
        while ran < Duration::from_millis(50) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
            ran += threads.look().ran;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(ran >= Duration::from_millis(50), "{ran:?}");
    }

    #[test]
    fn who_waits_longer_than_he_runs_and_long_each_time_is_starved() {
        let millis = Duration::from_millis;
        let second = millis(1000);
        let had = |ran, waited, turns| Had { ran: millis(ran), waited: millis(waited), turns };
        assert!(had(400, 4000, 1000).is_too_little(second));
        assert!(had(10, 10, 10_000).is_too_little(millis(2500)), "the watch itself was not let run");
        assert!(!had(900, 2000, 9000).is_too_little(second), "each time a core wakes up");
        assert!(!had(900, 600, 100).is_too_little(second));
        assert!(!Had::default().is_too_little(second));
    }
}
