//! One process's history while it happens.

use std::{
    fs::File,
    io,
    path::Path,
    sync::{Mutex, PoisonError},
    time::{Instant, SystemTime},
};

use ottla_check::history::{Op, Operation, Writer};

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
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let began = (u64::try_from(since_1970.as_micros()).unwrap_or_default(), Instant::now());
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
