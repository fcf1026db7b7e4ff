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

/// When they had too little, as the report tells it.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Starved {
    /// In all.
    pub(crate) whole: Duration,
    /// Without a pause.
    pub(crate) longest: Duration,
    /// For how long they ran, and for how long they were ready to and waited for a core.
    pub(crate) ran: Duration,
    pub(crate) waited: Duration,
}

/// Sees it as long as the day lasts, and has a shade on it.
pub(crate) fn watch(scene: &Scene) -> Starved {
    let (mut starved, mut threads) = (Starved::default(), Threads::default());
    let (mut before, mut in_a_row) = (Instant::now(), Duration::ZERO);
    threads.look();
    scene.stage.judge().shades.watched(before);
    while !scene.is_over() {
        std::thread::sleep(TURN);
        let (ran, waited) = threads.look();
        let turn = before.elapsed();
        starved.ran += ran;
        starved.waited += waited;
        if is_starved(ran, waited, turn) {
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

/// They waited for a core for longer than they had one, and that not for moments: or this thread, which asks for nothing else, did.
fn is_starved(ran: Duration, waited: Duration, turn: Duration) -> bool {
    waited > ran && waited > turn / 2 || turn > 2 * TURN
}

/// How long each thread ran, and waited for a core.
#[derive(Default)]
struct Threads(HashMap<u32, (u64, u64)>);

impl Threads {
    /// How long those of all child processes did since the last look.
    fn look(&mut self) -> (Duration, Duration) {
        let now: HashMap<u32, (u64, u64)> = children().flat_map(threads).collect();
        let (mut ran, mut waited) = (0, 0);
        for (thread, (run, wait)) in &now {
            // A number that is another thread's by now has fallen.
            let (run_before, wait_before) = self.0.get(thread).copied().unwrap_or_default();
            ran += run.saturating_sub(run_before);
            waited += wait.saturating_sub(wait_before);
        }
        self.0 = now;
        (Duration::from_nanos(ran), Duration::from_nanos(waited))
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

fn threads(process: u32) -> impl Iterator<Item = (u32, (u64, u64))> {
    let mut each = numbers(format!("/proc/{process}/task"));
    iter::from_fn(move || {
        each.find_map(|thread| {
            let counted = fs::read_to_string(format!("/proc/{process}/task/{thread}/schedstat")).ok()?;
            let mut words = counted.split_whitespace().map(str::parse);
            Some((thread, (words.next()?.ok()?, words.next()?.ok()?)))
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
            ran += threads.look().0;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(ran >= Duration::from_millis(50), "{ran:?}");
    }

    #[test]
    fn who_waits_longer_than_he_runs_is_starved_and_who_does_so_for_a_moment_is_not() {
        let millis = Duration::from_millis;
        assert!(is_starved(millis(400), millis(900), millis(1000)));
        assert!(is_starved(millis(10), millis(10), millis(2500)), "the watch itself was not let run");
        assert!(!is_starved(millis(900), millis(600), millis(1000)));
        assert!(!is_starved(millis(50), millis(100), millis(1000)));
    }
}
