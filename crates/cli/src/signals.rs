//! Ctrl-C and SIGTERM: asked once, a command closes properly; asked twice, or when that takes too long, it ends.

use std::{io, time::Duration};

use tokio::sync::watch;

/// How long a command may take to close: longer than its own limits together.
const PATIENCE: Duration = Duration::from_secs(40);

/// Whether the command is to stop.
#[derive(Debug, Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Takes over the signals.
    pub(crate) fn install() -> io::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let mut signals = Signals::new()?;
        tokio::spawn(async move {
            signals.next().await;
            stop.send_replace(true);
            let why = tokio::select! {
                () = signals.next() => "stopped twice: ended at once",
                () = tokio::time::sleep(PATIENCE) => "could not close in time: ended",
            };
            crate::failure::tell(format!("{why}; what was not committed is delivered again"));
            std::process::exit(1);
        });
        Ok(Self(stopped))
    }

    /// Returns when the command is to stop.
    pub(crate) async fn requested(&mut self) {
        if self.0.wait_for(|stop| *stop).await.is_err() {
            std::future::pending().await
        }
    }

    /// Whether it is.
    pub(crate) fn is_requested(&self) -> bool {
        *self.0.borrow()
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
