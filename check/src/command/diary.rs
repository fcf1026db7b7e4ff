//! One process's history while it happens.

use std::{
    fs::File,
    io,
    path::Path,
    sync::{Mutex, PoisonError},
    time::{Instant, SystemTime},
};

use ottla_check::history::{Op, Operation, Writer};

/// How often both clocks are looked at.
const LOOKS: usize = 32;

/// What both clocks said at once. A process may be held up between the two; it would then be as late in all that it tells, and what it
/// read seem to be from before it was committed.
fn closest(looks: impl Iterator<Item = (Instant, SystemTime, Instant)>) -> Option<(SystemTime, Instant)> {
    let quickest = looks.min_by_key(|(before, _, after)| after.saturating_duration_since(*before));
    quickest.map(|(before, wall, _)| (wall, before))
}

/// Writes what a process does, for as many of its tasks as like to use it.
#[derive(Debug)]
pub(super) struct Diary {
    process: String,
    /// What the clock of all processes said, in microseconds, and when: from there on time does not go back.
    began: (u64, Instant),
    file: Mutex<Writer<File>>,
}

impl Diary {
    /// Begins a file that is not there yet.
    pub(super) fn begin(process: &str, path: &Path) -> io::Result<Self> {
        let file = Mutex::new(Writer::new(File::create_new(path)?));
        let looks = (0..LOOKS).map(|_| (Instant::now(), SystemTime::now(), Instant::now()));
        let (wall, at) = closest(looks).ok_or_else(|| io::Error::other("no clock"))?;
        let since_1970 = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let began = (u64::try_from(since_1970.as_micros()).unwrap_or_default(), at);
        Ok(Self { process: process.to_owned(), began, file })
    }

    /// Microseconds since 1970.
    pub(super) fn now(&self) -> u64 {
        self.began.0.saturating_add(u64::try_from(self.began.1.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// Writes what began, or happened, now.
    pub(super) fn write(&self, op: Op) -> io::Result<()> {
        self.write_of(&self.process, op)
    }

    /// As [`write`](Self::write), of another process that cannot do so itself.
    pub(super) fn write_of(&self, process: &str, op: Op) -> io::Result<()> {
        let now = self.now();
        self.put(&[Operation { process: process.to_owned(), at: now, done: None, op }])
    }

    /// Writes what began at `at`, and whose outcome is known now.
    pub(super) fn settle(&self, at: u64, op: Op) -> io::Result<()> {
        let done = Some(self.now());
        self.put(&[Operation { process: self.process.clone(), at, done, op }])
    }

    /// Writes several that begin at `at`.
    pub(super) fn write_all(&self, at: u64, ops: impl IntoIterator<Item = Op>) -> io::Result<()> {
        let operation = |op| Operation { process: self.process.clone(), at, done: None, op };
        self.put(&ops.into_iter().map(operation).collect::<Vec<_>>())
    }

    fn put(&self, operations: &[Operation]) -> io::Result<()> {
        // Nothing under this lock panics.
        self.file.lock().unwrap_or_else(PoisonError::into_inner).write(operations)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_process_that_is_held_up_between_its_clocks_takes_the_time_from_another_look() {
        let (wall, at) = (SystemTime::now(), Instant::now());
        let look = |from: u64, took: u64| {
            let micros = Duration::from_micros;
            (at + micros(from), wall + micros(from), at + micros(from + took))
        };
        let looks = [look(0, 50_000), look(50_000, 1), look(50_001, 300)];
        let taken = closest(looks.into_iter()).unwrap();
        assert_eq!(taken, (wall + Duration::from_micros(50_000), at + Duration::from_micros(50_000)));
    }
}
