//! A pseudo-terminal in which a program runs, and whose screen an emulator keeps: what a person would see.

use std::{
    fs::File,
    io::{Read, Write},
    num::NonZeroU16,
    os::fd::OwnedFd,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use rustix::{
    pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};

use crate::support::{Done, Process, until};

/// A terminal in which a program runs.
pub(crate) struct Terminal {
    pub(crate) process: Process,
    /// The side of the person.
    side: File,
    /// The program's side, by which it is seen how that left it.
    tty: OwnedFd,
    emulator: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    /// Runs a program, with what is added to its command.
    pub(crate) fn start(
        columns: u16,
        lines: u16,
        program: &str,
        add: impl FnOnce(&mut Command) -> &mut Command,
    ) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let side = openpt(flags).unwrap();
        grantpt(&side).unwrap();
        unlockpt(&side).unwrap();
        let tty = ioctl_tiocgptpeer(&side, flags).unwrap();
        tcsetwinsize(&side, size(columns, lines)).unwrap();
        let end = || Stdio::from(tty.try_clone().unwrap());
        // In a session of its own, whose terminal this is.
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait", program]).env("TERM", "xterm-256color");
        command.env_remove("OTTLA_BOOTSTRAP_SERVERS").env_remove("OTTLA_CONFIG").env_remove("NO_COLOR");
        command.stdin(end()).stdout(end()).stderr(end());
        let process = Process::start(add(&mut command));
        let emulator = vt100::Parser::new(nonzero(lines), nonzero(columns), 0);
        let emulator = Arc::new(Mutex::new(emulator));
        let (side, fed) = (File::from(side), emulator.clone());
        let mut output = side.try_clone().unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 4_096];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                fed.lock().unwrap().process(&buffer[..count]);
            }
        });
        Self { process, side, tty, emulator }
    }

    pub(crate) fn resize(&self, columns: u16, lines: u16) {
        self.emulator.lock().unwrap().set_size(nonzero(lines), nonzero(columns));
        tcsetwinsize(&self.side, size(columns, lines)).unwrap();
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.side.write_all(keys.as_bytes()).unwrap();
    }

    /// The lines of the screen, without what is empty at their ends.
    pub(crate) fn lines(&self) -> Vec<String> {
        let emulator = self.emulator.lock().unwrap();
        let (_, columns) = emulator.screen().size();
        emulator.screen().rows(0, columns.get()).map(|line| line.trim_end().to_owned()).collect()
    }

    pub(crate) fn text(&self) -> String {
        self.lines().join("\n")
    }

    /// Waits until the screen has all of these.
    pub(crate) fn shows(&self, what: &[&str]) -> String {
        until(&format!("{what:?}"), || {
            let text = self.text();
            what.iter().all(|what| text.contains(what)).then_some(text)
        })
    }

    /// Whether cells have another color than the terminal's.
    pub(crate) fn has_colors(&self) -> bool {
        let emulator = self.emulator.lock().unwrap();
        let (lines, columns) = emulator.screen().size();
        let cells = (0..lines.get()).flat_map(|y| (0..columns.get()).map(move |x| (y, x)));
        cells
            .filter_map(|(y, x)| emulator.screen().cell(y, x))
            .any(|cell| cell.fgcolor() != vt100::Color::Default)
    }

    /// Waits for its end, and looks how the terminal was left.
    pub(crate) fn wait(self) -> Done {
        let done = self.process.wait();
        let modes = tcgetattr(&self.tty).unwrap().local_modes;
        assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO), "it is left raw: {modes:?}");
        until("the screen of before, with its cursor", || {
            let emulator = self.emulator.lock().unwrap();
            (!emulator.screen().alternate_screen() && !emulator.screen().hide_cursor()).then_some(())
        });
        done
    }
}

fn size(columns: u16, lines: u16) -> Winsize {
    Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

fn nonzero(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap()
}
