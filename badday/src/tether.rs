//! Actors end with this process, even where it is killed. Each sees the end of its standard input, but one that is stopped sees nothing:
//! so a watcher beside them reads a pipe that only we hold open, and kills them when it closes.

use std::{
    io::{self, Write as _},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Mutex, PoisonError},
};

/// What is for us, such as an interrupt of the terminal's, is not for it.
const WATCHER: &str = r#"
trap '' HUP INT QUIT TERM
tied=
while read -r what child; do
    others=
    for other in $tied; do [ "$other" = "$child" ] || others="$others $other"; done
    tied=$others
    [ "$what" = free ] || tied="$tied $child"
done
for child in $tied; do kill -KILL "$child"; done
"#;

pub(crate) struct Tether {
    watcher: Child,
    /// None once it is let go.
    pipe: Mutex<Option<ChildStdin>>,
}

impl Tether {
    pub(crate) fn new() -> io::Result<Self> {
        let mut watcher = Command::new("/bin/sh");
        watcher.args(["-c", WATCHER, "tether"]);
        let mut watcher =
            watcher.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let pipe = Mutex::new(watcher.stdin.take());
        Ok(Self { watcher, pipe })
    }

    pub(crate) fn tie(&self, child: u32) -> io::Result<()> {
        self.say("tie", child)
    }

    /// Before the child is waited for: its number is another's then.
    pub(crate) fn free(&self, child: u32) -> io::Result<()> {
        self.say("free", child)
    }

    fn say(&self, what: &str, child: u32) -> io::Result<()> {
        let mut pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        pipe.as_mut().map_or(Ok(()), |pipe| writeln!(pipe, "{what} {child}"))
    }
}

impl Drop for Tether {
    fn drop(&mut self) {
        *self.pipe.get_mut().unwrap_or_else(PoisonError::into_inner) = None;
        let _ = self.watcher.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::process::ExitStatusExt as _,
        time::{Duration, Instant},
    };

    use super::*;

    fn sleeps() -> Child {
        Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap()
    }

    fn signal(signal: &str, child: &Child) {
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
    }

    fn ignores_interrupts(child: &Child) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
        u64::from_str_radix(ignored.trim(), 16).unwrap() & 1 << 1 != 0
    }

    #[test]
    fn who_is_tied_ends_when_the_pipe_closes_even_where_he_is_stopped_and_who_is_free_does_not() {
        let (mut tied, mut freed) = (sleeps(), sleeps());
        let tether = Tether::new().unwrap();
        for child in [&freed, &tied] {
            tether.tie(child.id()).unwrap();
        }
        tether.free(freed.id()).unwrap();
        signal("STOP", &tied);
        let deadline = Instant::now() + Duration::from_secs(30);
        while !ignores_interrupts(&tether.watcher) {
            assert!(Instant::now() < deadline, "the watcher ignores no interrupt");
            std::thread::sleep(Duration::from_millis(10));
        }
        // The terminal interrupts all, and one that is stopped does not notice.
        signal("INT", &tether.watcher);
        drop(tether);
        let ended = loop {
            match tied.try_wait().unwrap() {
                None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(10)),
                ended => break ended,
            }
        };
        let lives = freed.try_wait().unwrap().is_none();
        for child in [&mut tied, &mut freed] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert_eq!(ended.and_then(|ended| ended.signal()), Some(9));
        assert!(lives);
    }
}
