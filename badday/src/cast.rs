//! The actors, as who starts them sees them: their processes, their lines, and what is measured of them.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::{
    judge::{Judge, Role},
    leaks::Samples,
    line::Told,
    tether::Tether,
};

/// A member's session.
pub(crate) const SESSION: Duration = Duration::from_secs(6);

/// Which clocks of an actor are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    True,
    /// The wall clock alone.
    Wall,
    Both,
}

/// What an actor is to be.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    /// As the command line names it.
    pub(crate) part: &'static str,
    pub(crate) role: Role,
    pub(crate) arguments: Vec<String>,
    pub(crate) clock: Clock,
    /// It lives all day, so that what it holds can be measured.
    pub(crate) is_kept: bool,
    /// The followers that have to wait where it is gone.
    pub(crate) concerns: Vec<String>,
    /// Its number, where it writes.
    pub(crate) writer: Option<u16>,
}

/// What actors share.
pub(crate) struct Stage {
    pub(crate) judge: Mutex<Judge>,
    pub(crate) dir: PathBuf,
    /// libfaketime's library.
    pub(crate) faketime: PathBuf,
    pub(crate) samples: Mutex<Samples>,
    pub(crate) tether: Tether,
}

impl Stage {
    pub(crate) fn judge(&self) -> MutexGuard<'_, Judge> {
        self.judge.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn samples(&self) -> MutexGuard<'_, Samples> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clock_file(&self, clock: Clock) -> PathBuf {
        self.dir.join(if clock == Clock::Wall { "wall" } else { "both" })
    }

    /// Sets the clocks of this kind so many seconds beside the true time.
    pub(crate) fn set_clock(&self, clock: Clock, seconds: i64) -> io::Result<()> {
        let (file, part) = (self.clock_file(clock), self.dir.join("clock.part"));
        fs::write(&part, format!("{seconds:+}\n"))?;
        fs::rename(part, file)
    }
}

/// What runs of an actor.
struct Running {
    child: Child,
    input: Option<ChildStdin>,
    lines: JoinHandle<()>,
}

pub(crate) struct Actor {
    pub(crate) spec: Spec,
    stage: Arc<Stage>,
    running: Option<Running>,
    life: u16,
    fatal: Arc<Mutex<Option<String>>>,
}

impl Actor {
    pub(crate) fn new(spec: Spec, stage: &Arc<Stage>) -> Self {
        Self { spec, stage: stage.clone(), running: None, life: 0, fatal: Arc::default() }
    }

    /// How the judge knows it: a writer by its number and its life, too.
    fn known_as(&self) -> String {
        match self.spec.writer {
            Some(writer) => format!("{}-{writer}.{}", self.spec.name, self.life),
            None => self.spec.name.to_owned(),
        }
    }

    /// Starts its process. What the one before it told has been judged.
    pub(crate) fn start(&mut self) -> io::Result<()> {
        self.life += 1;
        // The same program, even where it was built anew meanwhile.
        let mut command = Command::new("/proc/self/exe");
        command.args(["actor", self.spec.part]).args(&self.spec.arguments);
        if let Some(writer) = self.spec.writer {
            command.arg(format!("own.writer={writer}")).arg(format!("own.life={}", self.life));
        }
        command.args(self.so_far());
        if self.spec.clock != Clock::True {
            command.env("LD_PRELOAD", &self.stage.faketime);
            command.env("FAKETIME_TIMESTAMP_FILE", self.stage.clock_file(self.spec.clock));
            command.env("FAKETIME_CACHE_DURATION", "1");
        }
        if self.spec.clock == Clock::Wall {
            command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        let complaints = self.stage.dir.join(format!("{}.stderr", self.spec.name));
        let complaints = File::options().create(true).append(true).open(complaints)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(complaints);
        let known_as = self.known_as();
        self.stage.judge().started(self.spec.role, &known_as, Instant::now());
        let mut child = command.spawn()?;
        self.stage.tether.tie(child.id())?;
        let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let (stage, role, name) = (self.stage.clone(), self.spec.role, self.spec.name);
        let fatal = self.fatal.clone();
        let lines = std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = String::new();
            // A line that was cut off has not been told.
            while output.read_line(&mut line).is_ok_and(|_| line.ends_with('\n')) {
                let now = Instant::now();
                match line.trim_end().parse() {
                    Ok(Told::Fatal(why)) => *fatal.lock().unwrap_or_else(PoisonError::into_inner) = Some(why),
                    Ok(told) => {
                        if let Told::Tick { tasks, .. } = told {
                            stage.samples().tasks(name, tasks);
                        }
                        stage.judge().told(role, &known_as, &told, now);
                    }
                    Err(error) => {
                        stage.judge().violations.add("unread", format!("{name}: {error}: {line}"), now)
                    }
                }
                line.clear();
            }
        });
        let input = child.stdin.take();
        self.stage.samples().started(self.spec.name, child.id(), self.spec.is_kept);
        self.running = Some(Running { child, input, lines });
        Ok(())
    }

    /// Where it goes on, as far as the judge has heard.
    fn so_far(&self) -> Option<String> {
        let judge = self.stage.judge();
        let offsets = match self.spec.role {
            Role::Audit(topic) => judge.log(topic).audit_from(),
            Role::Outcome(topic, follower) => {
                let partitions = crate::company::partitions_of_outcomes(topic);
                judge.log(topic).followers.get(follower)?.outcomes_from(self.spec.name, partitions)
            }
            Role::Writer => {
                let count = judge.log(crate::judge::Topic::Orders).partitions();
                return Some(format!("own.partitions={count}"));
            }
            _ => return None,
        };
        let offsets: Vec<String> = offsets.iter().map(i64::to_string).collect();
        Some(format!("own.from={}", offsets.join(",")))
    }

    /// SIGKILL. All that it told has been judged when this returns.
    pub(crate) fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            self.stage.samples().ended(self.spec.name);
            let _ = running.child.kill();
            let _ = self.stage.tether.free(running.child.id());
            let _ = running.child.wait();
            let _ = running.lines.join();
        }
    }

    pub(crate) fn signal(&self, signal: &str) {
        if let Some(running) = &self.running {
            let _ = Command::new("/bin/sh")
                .args(["-c", r#"kill -s "$0" "$1""#, signal, &running.child.id().to_string()])
                .status();
        }
    }

    /// A line for its standard input. One that has ended is noticed elsewhere.
    pub(crate) fn order(&mut self, order: &str) {
        if let Some(input) = self.running.as_mut().and_then(|running| running.input.as_mut()) {
            let _ = writeln!(input, "{order}");
        }
    }

    fn last_words(&self) -> String {
        let fatal = self.fatal.lock().unwrap_or_else(PoisonError::into_inner).take();
        fatal.unwrap_or_else(|| format!("no word; see {}.stderr", self.spec.name))
    }

    /// One that has ended by itself is a violation, and is started again.
    pub(crate) fn check(&mut self) -> io::Result<()> {
        let Some(running) = &mut self.running else { return Ok(()) };
        let Some(status) = running.child.try_wait()? else { return Ok(()) };
        self.kill();
        let text = format!("{}: {status}: {}", self.known_as(), self.last_words());
        self.stage.judge().violations.add("ended by itself", text, Instant::now());
        self.start()
    }

    /// Has it end in good order, which is a violation where it does not.
    pub(crate) fn end(&mut self) {
        if let Some(running) = &mut self.running {
            running.input = None;
        }
    }

    pub(crate) fn ended(&mut self, within: Duration) {
        let Some(running) = &mut self.running else { return };
        let deadline = Instant::now() + within;
        let status = loop {
            match running.child.try_wait() {
                Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
                Ok(status) => break status,
                Err(_) => break None,
            }
        };
        self.kill();
        let text = match status {
            Some(status) if status.success() => return,
            Some(status) => format!("{}: {status}: {}", self.known_as(), self.last_words()),
            None => format!("{}: not within {within:?}", self.known_as()),
        };
        self.stage.judge().violations.add("no good end", text, Instant::now());
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Where Debian's package `libfaketime` has put it, or another's.
pub(crate) fn faketime() -> Option<PathBuf> {
    const NAME: &str = "faketime/libfaketimeMT.so.1";
    let triplets = fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    let places = triplets.chain([Path::new("/usr/lib").to_owned(), Path::new("/usr/local/lib").to_owned()]);
    places.map(|place| place.join(NAME)).find(|library| library.is_file())
}
