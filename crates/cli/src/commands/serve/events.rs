//! Server-sent events: the last ones are kept for those who come, and those who do not keep up are let go.

use std::{
    collections::VecDeque,
    fmt::Display,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::broadcast::{Receiver, Sender, error::RecvError};

use crate::{commands::looks::Event, epoch, signals::Stop};

/// How many events are kept for those who come, or come back.
const KEPT: usize = 256;
/// How many events a reader may be behind before it is let go. All readers share them.
const BEHIND: usize = 512;
/// How many may read at once: each has a connection, of which there are more.
const READERS: usize = 64;
/// How often something is sent when nothing happens, by which it is seen who is gone.
const BEAT: Duration = Duration::from_secs(15);
/// How long a browser waits before it comes back.
const BACK: &str = "retry: 3000\n\n";

/// An event as it is sent.
type Text = Arc<str>;

/// By which a reader that comes back says what it has seen: who told it, and the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    start: i64,
    number: u64,
}

impl Seen {
    /// As it stands in `Last-Event-ID`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (start, number) = text.split_once('-')?;
        Some(Self { start: start.parse().ok()?, number: number.parse().ok()? })
    }
}

#[derive(Debug)]
pub(super) struct Events {
    /// When the server began: of another server's numbers nothing follows.
    start: i64,
    kept: Mutex<Kept>,
    sender: Sender<Text>,
    readers: Arc<AtomicUsize>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Kept {
    /// The number of the last.
    last: u64,
    texts: VecDeque<(u64, Text)>,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            start: epoch::now(),
            kept: Mutex::default(),
            sender: Sender::new(BEHIND),
            readers: Arc::default(),
            dropped: Arc::default(),
        }
    }
}

impl Events {
    /// Tells it to those who read now, and to those who come.
    pub(super) fn tell(&self, kind: &str, text: &dyn Display) {
        let mut kept = self.lock();
        kept.last += 1;
        let number = kept.last;
        let text: Text = format!("id: {}-{number}\nevent: {kind}\ndata: {text}\n\n", self.start).into();
        if kept.texts.len() == KEPT {
            kept.texts.pop_front();
        }
        kept.texts.push_back((number, text.clone()));
        // With the lock held: who comes now has either what is kept, or what is sent.
        _ = self.sender.send(text);
    }

    /// Those that are kept, the oldest first.
    pub(super) fn kept(&self) -> Vec<Event> {
        let kept = self.lock();
        let parts = |text: &Text| {
            let mut lines = text.lines().skip(1);
            let kind = lines.next()?.strip_prefix("event: ")?;
            Some((kind.to_owned(), lines.next()?.strip_prefix("data: ")?.to_owned()))
        };
        kept.texts.iter().filter_map(|(_, text)| parts(text)).collect()
    }

    /// Those that were kept before, in this server's own numbers.
    pub(super) fn begin(&self, events: &[Event]) {
        let is_line = |text: &String| !text.contains(['\n', '\r']);
        events
            .iter()
            .filter(|(kind, text)| is_line(kind) && is_line(text))
            .for_each(|(kind, text)| self.tell(kind, text));
    }

    /// Tells it only to those who read now.
    pub(super) fn pass(&self, kind: &str, text: &dyn Display) {
        _ = self.sender.send(format!("event: {kind}\ndata: {text}\n\n").into());
    }

    /// Someone comes who has seen all up to there. Nothing, where there are enough.
    pub(super) fn reader(&self, seen: Option<Seen>, stop: Stop) -> Option<Reader> {
        let seat = Seat::take(&self.readers)?;
        let kept = self.lock();
        let live = self.sender.subscribe();
        // Of a server that was started anew all is unseen: its numbers begin again.
        let seen = seen.filter(|seen| seen.start == self.start).map_or(0, |seen| seen.number);
        let mut first = BACK.to_owned();
        kept.texts.iter().filter(|(number, _)| *number > seen).for_each(|(_, text)| first.push_str(text));
        drop(kept);
        Some(Reader {
            first: Some(first.into()),
            live,
            stop,
            has_lost: false,
            dropped: self.dropped.clone(),
            _seat: seat,
        })
    }

    pub(super) fn readers(&self) -> usize {
        self.readers.load(Ordering::Relaxed)
    }

    /// How many were let go because they did not keep up.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reader's place, which is free again when it goes.
#[derive(Debug)]
struct Seat(Arc<AtomicUsize>);

impl Seat {
    fn take(readers: &Arc<AtomicUsize>) -> Option<Self> {
        let is_free = |count: usize| (count < READERS).then_some(count + 1);
        readers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_free).ok()?;
        Some(Self(readers.clone()))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Who reads events as they come.
#[derive(Debug)]
pub(super) struct Reader {
    first: Option<Text>,
    live: Receiver<Text>,
    stop: Stop,
    /// It was so far behind that an event is not there any more.
    has_lost: bool,
    dropped: Arc<AtomicU64>,
    _seat: Seat,
}

impl Reader {
    /// What is sent next; nothing, when it is to go.
    pub(super) async fn next(&mut self) -> Option<Text> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        let mut stop = self.stop.clone();
        tokio::select! {
            () = stop.requested() => None,
            text = self.live.recv() => match text {
                Ok(text) => Some(text),
                Err(RecvError::Closed) => None,
                Err(RecvError::Lagged(_)) => {
                    self.has_lost = true;
                    None
                }
            },
            () = tokio::time::sleep(BEAT) => Some(":\n\n".into()),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // A connection that takes nothing ends before the reader is asked for more.
        if self.has_lost || self.live.len() > BEHIND {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}
