//! The terminal: it is taken when a screen is opened, and given back as it was however that ends.

use std::{
    io::{self, BufWriter, IsTerminal, Stdout, Write, stdout},
    panic,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use ratatui_core::{
    layout::{Position, Rect, Size},
    terminal::Terminal,
};
use ratatui_crossterm::{
    CrosstermBackend,
    crossterm::{
        cursor::{Hide, Show},
        event::{self, Event},
        queue,
        terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
    },
};
use tokio::sync::mpsc;

use super::{app::App, draw};
use crate::failure::Failure;

/// How many keys may wait to be handled.
const KEYS: usize = 64;
/// How long a key is waited for before it is seen whether the screen is still open.
const PAUSE: Duration = Duration::from_millis(100);

/// Whether the terminal is taken. There is one of a process.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Why there can be no screen.
pub(super) fn refusal() -> Option<&'static str> {
    if !io::stdin().is_terminal() || !stdout().is_terminal() {
        return Some(
            "it draws on a terminal, and reads its keys; `ottla lag --watch` writes to files and pipes",
        );
    }
    let is_dumb = std::env::var_os("TERM").is_some_and(|name| name == "dumb");
    is_dumb.then_some("TERM=dumb: a terminal is needed whose cursor moves; or `ottla lag --watch`")
}

/// An open screen.
pub(super) struct Screen(Terminal<CrosstermBackend<BufWriter<Stdout>>>);

impl Screen {
    pub(super) fn open() -> Result<Self, Failure> {
        let terminal = Terminal::new(CrosstermBackend::new(BufWriter::new(stdout()))).map_err(failed)?;
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |why| {
            // Before the message, which else goes with the screen.
            leave();
            hook(why);
        }));
        TAKEN.store(true, Ordering::Relaxed);
        let screen = Self(terminal);
        enable_raw_mode().map_err(failed)?;
        let mut out = stdout().lock();
        queue!(out, EnterAlternateScreen, Hide).and_then(|()| out.flush()).map_err(failed)?;
        Ok(screen)
    }

    pub(super) fn draw(&mut self, app: &App, now: i64) -> Result<(), Failure> {
        if !TAKEN.load(Ordering::Relaxed) {
            return Err(Failure::failed("top: a part of it panicked: start it again"));
        }
        self.0.draw(|frame| draw::draw(frame, app, now)).map_err(failed)?;
        Ok(())
    }

    pub(super) fn size(&self) -> Size {
        self.0.size().unwrap_or_default()
    }

    /// What others wrote is gone with the next drawing.
    pub(super) fn forget(&mut self) -> Result<(), Failure> {
        let area = Rect::from((Position::ORIGIN, self.size()));
        self.0.resize(area).map_err(failed)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave();
    }
}

/// Gives the terminal back; what fails here cannot be told anywhere.
fn leave() {
    if TAKEN.swap(false, Ordering::Relaxed) {
        let mut out = stdout().lock();
        _ = queue!(out, LeaveAlternateScreen, Show).and_then(|()| out.flush());
        _ = disable_raw_mode();
    }
}

/// The same before the process ends at once, also where the terminal takes nothing, and a write to it never returns.
pub(super) fn leave_in_time() {
    wait_for(&thread::spawn(leave));
    _ = disable_raw_mode();
}

/// A moment, and no longer.
fn wait_for(other: &JoinHandle<()>) {
    let end = Instant::now() + 3 * PAUSE;
    while !other.is_finished() && Instant::now() < end {
        thread::sleep(PAUSE / 20);
    }
}

fn failed(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::stdout(&error),
        _ => Failure::failed(format!("terminal: {error}")),
    }
}

/// Keys and sizes as they come, read by a thread that ends with this; or with the process, where a terminal has sent a part of what one key
/// sends: the rest is waited for without an end.
pub(super) struct Keys {
    events: mpsc::Receiver<io::Result<Event>>,
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Keys {
    pub(super) fn read() -> Self {
        let (send, events) = mpsc::channel(KEYS);
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let thread = thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let event = match event::poll(PAUSE) {
                    Ok(false) => continue,
                    Ok(true) => event::read(),
                    Err(error) => Err(error),
                };
                let is_last = event.is_err();
                if send.blocking_send(event).is_err() || is_last {
                    break;
                }
            }
        });
        Self { events, is_over, thread }
    }

    pub(super) async fn next(&mut self) -> Result<Event, Failure> {
        match self.events.recv().await {
            Some(event) => event.map_err(failed),
            None => Err(Failure::failed("terminal: no more keys come from it")),
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.events.close();
        wait_for(&self.thread);
    }
}

// `setsid --ctty`, and what opens a pseudo-terminal, are Linux's.
#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{
        fs::File,
        io::Read,
        num::NonZeroU16,
        process::{Command, Stdio},
    };

    use rustix::{
        pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt},
        termios::{LocalModes, tcgetattr},
    };

    use super::*;

    /// Says that the test runs in a terminal that another one made.
    const IN_TERMINAL: &str = "OTTLA_TEST_IN_TERMINAL";

    #[test]
    #[ignore = "it runs in a terminal that another test makes"]
    fn it_panics() {
        if std::env::var_os(IN_TERMINAL).is_none() {
            return;
        }
        let _screen = Screen::open().unwrap();
        panic!("this is planted");
    }

    #[test]
    fn after_a_panic_the_terminal_is_as_it_was_and_shows_the_message() {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let side = openpt(flags).unwrap();
        unlockpt(&side).unwrap();
        let tty = ioctl_tiocgptpeer(&side, flags).unwrap();
        let end = || Stdio::from(tty.try_clone().unwrap());
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait"]).arg(std::env::current_exe().unwrap());
        command.args(["--exact", "--ignored", "--nocapture", "commands::top::screen::tests::it_panics"]);
        command.env("RUST_BACKTRACE", "0").env(IN_TERMINAL, "");
        let status = command.stdin(end()).stdout(end()).stderr(end()).status().unwrap();
        assert!(!status.success());
        let modes = tcgetattr(&tty).unwrap().local_modes;
        assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO), "it is left raw: {modes:?}");
        let size = |number| NonZeroU16::new(number).unwrap();
        let mut emulator = vt100::Parser::new(size(24), size(80), 0);
        let (mut output, mut buffer, mut all) = (File::from(side), [0; 4_096], Vec::new());
        // Where nobody has the other side any more, a read fails after the last byte.
        drop((command, tty));
        while let Ok(count @ 1..) = output.read(&mut buffer) {
            all.extend_from_slice(&buffer[..count]);
        }
        let text = String::from_utf8_lossy(&all);
        let taken = text.find("\u{1b}[?1049h").expect("it had the terminal");
        let given = text.find("\u{1b}[?1049l").expect("it gave it back");
        assert!(taken < given && given < text.find("this is planted").unwrap(), "{text:?}");
        emulator.process(&all);
        let screen = emulator.screen();
        assert!(!screen.alternate_screen() && !screen.hide_cursor(), "{text:?}");
        assert!(screen.contents().contains("this is planted"), "{}", screen.contents());
    }
}
