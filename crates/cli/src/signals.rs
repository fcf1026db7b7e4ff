//! Ctrl-C and SIGTERM: asked once, a command closes properly; asked twice, or when that takes too long, it ends.

use std::{
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

/// How long a command may take to close: longer than its own limits together.
const PATIENCE: Duration = Duration::from_secs(40);
/// And how long its last words may.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Whether the command is to stop.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    requested: watch::Receiver<bool>,
    last_words: LastWords,
}

/// What is done before a command ends that could not close, and says what was left.
#[derive(Clone, Default)]
struct LastWords(Arc<Mutex<Option<Said>>>);

type Said = Box<dyn FnOnce() -> String + Send>;

impl Stop {
    /// Takes over the signals.
    pub(crate) fn install() -> io::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let mut signals = Signals::new()?;
        let last_words = LastWords::default();
        let left = last_words.clone();
        tokio::spawn(async move {
            signals.next().await;
            stop.send_replace(true);
            let why = tokio::select! {
                () = signals.next() => "stopped twice: ended at once",
                () = tokio::time::sleep(PATIENCE) => "could not close in time: ended",
            };
            let left = left.say();
            let words = format!("{why}{left}; what was not committed is delivered again");
            // Where nobody takes them, as from a terminal that stands, they hold nothing up. It is not awaited: who ends meanwhile
            // would end well.
            let (saying, said) = std::sync::mpsc::channel::<()>();
            std::thread::spawn(move || {
                crate::failure::tell(words);
                drop(saying);
            });
            _ = said.recv_timeout(LAST_WORDS);
            std::process::exit(1);
        });
        Ok(Self { requested: stopped, last_words })
    }

    /// One that a test requests.
    #[cfg(test)]
    pub(crate) fn by_hand() -> (watch::Sender<bool>, Self) {
        let (stop, requested) = watch::channel(false);
        (stop, Self { requested, last_words: LastWords::default() })
    }

    /// What to do, in no time, before the process ends without having closed. It returns what was left, which is told.
    pub(crate) fn last_words(&self, say: impl FnOnce() -> String + Send + 'static) {
        *self.last_words.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(say));
    }

    /// Returns when the command is to stop.
    pub(crate) async fn requested(&mut self) {
        if self.requested.wait_for(|stop| *stop).await.is_err() {
            std::future::pending().await
        }
    }

    /// Whether it is.
    pub(crate) fn is_requested(&self) -> bool {
        *self.requested.borrow()
    }
}

impl LastWords {
    fn say(&self) -> String {
        let say = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        say.map(|say| say())
            .filter(|left| !left.is_empty())
            .map(|left| format!("; {left}"))
            .unwrap_or_default()
    }
}

impl fmt::Debug for LastWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LastWords")
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}
