//! The directory: its lock, and the journal that is appended to.

use std::{
    fmt,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use ottla_protocol::{ErrorCode, Now};

use super::{
    entry::Entry,
    frames::{self, Frames, Stop},
};
use crate::Refusal;

const JOURNAL: &str = "journal";
/// A journal that is being rewritten; it counts once it has the name of the journal.
const REWRITTEN: &str = "journal.new";
const LOCK: &str = "lock";
const BUFFER: usize = 256 * 1024;

/// The journal of a directory that is this process's alone.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    medium: Box<dyn Medium>,
    /// Where the last whole entry ends.
    end: u64,
    /// Whether there may be something behind that.
    torn: bool,
    /// Frames that are to be written before any other.
    owed: Vec<u8>,
    /// Whether the last attempt to write failed.
    fails: bool,
    /// Held for as long as this lives. The system lets go of it when the process ends, however it does.
    _lock: Option<File>,
}

/// What a journal is written to.
pub(super) trait Medium: fmt::Debug + Send {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    fn cut(&mut self, length: u64) -> io::Result<()>;
}

impl Medium for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

/// Something could not be written, and so did not happen.
#[derive(Debug)]
pub(crate) struct Unkept(io::Error);

impl From<Unkept> for Refusal {
    fn from(Unkept(error): Unkept) -> Self {
        let message = format!("the broker cannot write to its data directory: {error}");
        Self { code: ErrorCode::KafkaStorageError, message }
    }
}

impl Unkept {
    /// What a coordinator says: as Kafka's, that another might do better.
    pub(crate) fn of_coordinator(self) -> ErrorCode {
        ErrorCode::NotCoordinator
    }
}

impl Journal {
    /// Opens a directory, and creates it where it is not there. `apply` is given each entry, and returns whether that makes
    /// sense after those before it.
    pub(super) fn open(dir: &Path, now: Now, apply: impl FnMut(Entry) -> bool) -> io::Result<Self> {
        fs::create_dir_all(dir).map_err(|error| told(dir, "cannot be created", &error))?;
        let lock = lock(dir)?;
        let rewritten = dir.join(REWRITTEN);
        match fs::remove_file(&rewritten) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(told(&rewritten, "cannot be removed", &error));
            }
            _ => {}
        }
        let path = dir.join(JOURNAL);
        let file = OpenOptions::new().read(true).append(true).create(true).open(&path);
        let file = file.map_err(|error| told(&path, "cannot be opened", &error))?;
        let length = file.metadata().map_err(|error| told(&path, "cannot be read", &error))?.len();
        let end = replay(&path, Frames::new(BufReader::with_capacity(BUFFER, &file), length), now, apply)?;
        if end < length {
            let bytes = length - end;
            tracing::warn!(file = %path.display(), offset = end, bytes, "cut off: what was not written to its end");
            file.set_len(end).map_err(|error| told(&path, "cannot be cut", &error))?;
        }
        Ok(Self { _lock: Some(lock), ..Self::new(path, Box::new(file), end) })
    }

    fn new(path: PathBuf, medium: Box<dyn Medium>, end: u64) -> Self {
        let owed = if end == 0 { frames::MAGIC.to_vec() } else { Vec::new() };
        Self { path, medium, end, torn: false, owed, fails: false, _lock: None }
    }

    /// How many bytes it has.
    pub(super) const fn size(&self) -> u64 {
        self.end
    }

    /// Writes an entry behind all others. It is there when this succeeds, and leaves nothing behind when it does not.
    pub(super) fn append(&mut self, entry: &Entry) -> Result<(), Unkept> {
        let owed = self.owed.len();
        frames::put(&mut self.owed, |out| entry.encode(out));
        self.flush().map_err(|error| {
            self.owed.truncate(owed);
            Unkept(error)
        })
    }

    /// Writes an entry now, or before the next one that can be written: for what the broker decides, and nobody waits to be
    /// told.
    pub(super) fn owe(&mut self, entry: &Entry) {
        frames::put(&mut self.owed, |out| entry.encode(out));
        // It is told where it begins to fail.
        let _ = self.flush();
    }

    fn flush(&mut self) -> io::Result<()> {
        let written = self.write();
        let file = self.path.display();
        match &written {
            Err(error) if !self.fails => {
                tracing::warn!(%file, %error, "not written: nothing is taken until it can be");
            }
            Ok(()) if self.fails => tracing::info!(%file, "written again"),
            _ => {}
        }
        self.fails = written.is_err();
        written
    }

    fn write(&mut self) -> io::Result<()> {
        if self.torn {
            self.medium.cut(self.end)?;
        }
        let written = self.medium.append(&self.owed);
        self.torn = written.is_err() && self.medium.cut(self.end).is_err();
        written?;
        self.end += self.owed.len() as u64;
        self.owed.clear();
        Ok(())
    }

    /// Puts other entries in the place of all that there are. Where it fails everything is as it was.
    pub(super) fn rewrite(
        &mut self,
        entries: impl FnOnce(&mut dyn FnMut(&Entry) -> io::Result<()>) -> io::Result<()>,
    ) -> io::Result<()> {
        let path = self.path.with_file_name(REWRITTEN);
        let write = || {
            let file = OpenOptions::new().append(true).create_new(true).open(&path)?;
            let mut out = BufWriter::with_capacity(BUFFER, file);
            out.write_all(frames::MAGIC)?;
            let (mut length, mut frame) = (frames::MAGIC.len() as u64, Vec::new());
            entries(&mut |entry| {
                frame.clear();
                frames::put(&mut frame, |out| entry.encode(out));
                length += frame.len() as u64;
                out.write_all(&frame)
            })?;
            let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
            // Here alone: what it takes the place of may have been on the disk for long.
            file.sync_all()?;
            fs::rename(&path, &self.path)?;
            Ok((file, length))
        };
        match write() {
            Ok((file, length)) => (self.medium, self.end) = (Box::new(file), length),
            Err(error) => {
                // It does not count, and is removed when the directory is opened the next time.
                let _ = fs::remove_file(&path);
                return Err(error);
            }
        }
        Ok(())
    }
}

/// Hands out the entries of a journal. Returns where the last whole one ends.
pub(super) fn replay(
    path: &Path,
    mut frames: Frames<impl Read>,
    now: Now,
    mut apply: impl FnMut(Entry) -> bool,
) -> io::Result<u64> {
    let stopped = |at, stop| match stop {
        Stop::Io(error) => told(path, "cannot be read", &error),
        Stop::Damaged(what) => damaged(path, at, what),
    };
    if !frames.begin().map_err(|stop| stopped(0, stop))? {
        return Ok(0);
    }
    loop {
        let at = frames.at();
        let Some(bytes) = frames.next().map_err(|stop| stopped(at, stop))? else { return Ok(at) };
        let makes_sense = match Entry::decode(bytes, now) {
            Ok(Some(entry)) => apply(entry),
            Ok(None) => {
                return Err(damaged(path, at, "an entry is of a kind that this version does not know"));
            }
            Err(error) => return Err(damaged(path, at, &format!("an entry cannot be read: {error}"))),
        };
        if !makes_sense {
            return Err(damaged(path, at, "an entry is about something that is not there"));
        }
    }
}

fn damaged(path: &Path, offset: u64, what: &str) -> io::Error {
    let message = format!(
        "{}: damaged at offset {offset}: {what}; put a copy in its place, or give up all that was written from there on by \
         cutting it to {offset} bytes",
        path.display()
    );
    io::Error::new(io::ErrorKind::InvalidData, message)
}

fn lock(dir: &Path) -> io::Result<File> {
    let path = dir.join(LOCK);
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(|error| told(&path, "cannot be opened", &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let message = format!(
                "{}: another broker has this data directory open, and only one can; stop it, or choose another directory",
                dir.display()
            );
            Err(io::Error::new(io::ErrorKind::ResourceBusy, message))
        }
        Err(TryLockError::Error(error)) => Err(told(&path, "cannot be locked", &error)),
    }
}

fn told(path: &Path, what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{} {what}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
