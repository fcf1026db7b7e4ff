//! What handlers write on stdout and stderr: whole lines, of which none has another's in it.
//!
//! Each stream has a thread that writes, as a write may block as long as its reader likes. A few pieces may wait for it; handlers
//! that write more wait too.

use std::io::{self, Write};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::{mpsc, oneshot},
};

use super::{command::Halt, linger::Exited};
use crate::failure::Failure;

/// How long a line may be. What is longer is written in pieces, a line each.
const LINE: usize = 1 << 20;
/// How much is read at once.
const READ: usize = 64 << 10;
/// How many pieces may wait to be written.
const PIECES: usize = 8;

/// A stream of this process.
#[derive(Debug, Clone)]
pub(super) struct Writer(mpsc::Sender<Piece>);

#[derive(Debug)]
enum Piece {
    Lines(Vec<u8>),
    /// Told once all before is written.
    Until(oneshot::Sender<()>),
}

impl Writer {
    /// Stdout. Where it does not take more, all stops.
    pub(super) fn stdout(halt: Halt) -> Result<Self, Failure> {
        Self::new("ottla-stdout", move |lines| {
            let mut stdout = io::stdout().lock();
            let written = stdout.write_all(lines).and_then(|()| stdout.flush());
            written.inspect_err(|error| halt.with(Failure::stdout(error))).is_ok()
        })
    }

    /// Stderr. Where it does not take more, nobody is left to be told.
    pub(super) fn stderr() -> Result<Self, Failure> {
        Self::new("ottla-stderr", |lines| {
            let _ = io::stderr().lock().write_all(lines);
            true
        })
    }

    /// The thread ends with the last writer, or when `write` says that it cannot go on. It is not joined: a write may never end.
    fn new(name: &str, write: impl Fn(&[u8]) -> bool + Send + 'static) -> Result<Self, Failure> {
        let (pieces, mut waiting) = mpsc::channel(PIECES);
        let work = move || {
            while let Some(piece) = waiting.blocking_recv() {
                match piece {
                    Piece::Lines(lines) if !write(&lines) => return,
                    Piece::Lines(_) => {}
                    // Its handler may be gone.
                    Piece::Until(told) => drop(told.send(())),
                }
            }
        };
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(work)
            .map_err(|error| Failure::failed(format!("no thread to write from: {error}")))?;
        Ok(Self(pieces))
    }

    /// Waits until all that was handed over before is written. False where nothing can be written any more.
    pub(super) async fn written(&self) -> bool {
        let (told, done) = oneshot::channel();
        self.0.send(Piece::Until(told)).await.is_ok() && done.await.is_ok()
    }

    /// Writes what a handler writes until its end, and shows it to `see`. False where nothing can be written any more.
    pub(super) async fn follow(
        &self,
        mut from: impl AsyncRead + Unpin,
        exited: &Exited,
        mut see: impl FnMut(&[u8]),
    ) -> bool {
        let mut lines = Lines::default();
        let mut buffer = vec![0; READ];
        loop {
            let count = exited.or(from.read(&mut buffer)).await.and_then(Result::ok).unwrap_or_default();
            let read = buffer.get(..count).unwrap_or_default();
            see(read);
            let whole = match read {
                [] => lines.rest(),
                read => lines.add(read),
            };
            if !whole.is_empty() && self.0.send(Piece::Lines(whole)).await.is_err() {
                return false;
            }
            if count == 0 {
                return true;
            }
        }
    }
}

/// What a line was begun with.
#[derive(Debug, Default)]
struct Lines(Vec<u8>);

impl Lines {
    /// The lines that are whole now.
    fn add(&mut self, read: &[u8]) -> Vec<u8> {
        match read.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => {
                let (whole, begun) = read.split_at(end + 1);
                let mut lines = std::mem::replace(&mut self.0, begun.to_vec());
                lines.extend_from_slice(whole);
                lines
            }
            None => {
                self.0.extend_from_slice(read);
                if self.0.len() >= LINE { self.rest() } else { Vec::new() }
            }
        }
    }

    /// The line that has no end, with one.
    fn rest(&mut self) -> Vec<u8> {
        let mut line = std::mem::take(&mut self.0);
        if !line.is_empty() {
            line.push(b'\n');
        }
        line
    }
}

/// The end of what a handler wrote on stderr.
#[derive(Debug, Default)]
pub(super) struct Tail(Vec<u8>);

/// How much of it is kept.
const TAIL: usize = 4 << 10;

impl Tail {
    pub(super) fn add(&mut self, read: &[u8]) {
        self.0.extend_from_slice(read);
        let from = self.0.len().saturating_sub(TAIL);
        self.0.drain(..from);
    }

    /// Without what is cut in two at its beginning.
    pub(super) fn text(&self) -> String {
        let is_cut = self.0.len() == TAIL;
        let from = self.0.iter().position(|byte| !is_cut || byte & 0xC0 != 0x80).unwrap_or_default();
        String::from_utf8_lossy(self.0.get(from..).unwrap_or_default()).trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_and_the_last_one_has_an_end() {
        let mut lines = Lines::default();
        assert_eq!(lines.add(b"a\nb"), b"a\n");
        assert_eq!(lines.add(b"c"), b"");
        assert_eq!(lines.add(b"\nd\ne"), b"bc\nd\n");
        assert_eq!(lines.rest(), b"e\n");
        assert_eq!(lines.rest(), b"");
    }

    #[test]
    fn a_line_without_an_end_is_written_in_pieces() {
        let mut lines = Lines::default();
        let mut pieces = (0..40).map(|_| lines.add(&[b'x'; READ])).filter(|piece| !piece.is_empty());
        let first = pieces.next().unwrap();
        assert_eq!((first.len(), first.last()), (LINE + 1, Some(&b'\n')));
        assert_eq!(pieces.count(), 1);
    }

    #[test]
    fn the_tail_is_text_however_it_is_cut() {
        let mut tail = Tail::default();
        tail.add(b"  short\n");
        assert_eq!(tail.text(), "short");
        for _ in 0..TAIL {
            tail.add("é".as_bytes());
        }
        tail.add(b"x");
        assert_eq!(tail.text(), format!("{}x", "é".repeat((TAIL - 1) / 2)));
    }
}
