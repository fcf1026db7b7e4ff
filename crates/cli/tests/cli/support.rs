//! Runs the command, and a broker for it to talk to.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// How long anything may take here.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// The command, with nothing of the caller's environment that would change it.
pub(crate) fn ottla(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ottla"));
    command.args(args).env_remove("OTTLA_BOOTSTRAP_SERVERS").env_remove("OTTLA_CONFIG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What came of a command.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Done {
    /// Its output, if it succeeded.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.status, Some(0), "{self:?}");
        self.stdout
    }

    /// The lines of its standard error that tell of anything else than a wait, which a busy machine may bring, or what
    /// `consume` notes.
    pub(crate) fn complaints(&self) -> Vec<&str> {
        let waits = |line: &str| line.starts_with("ottla: waiting: ") || line == "ottla: it goes on";
        self.stderr.lines().filter(|line| !waits(line) && !is_note(line)).collect()
    }

    /// Its one line of failure, if it ended with this status; what it waited for it may have told before.
    pub(crate) fn failed(self, status: i32) -> String {
        assert_eq!(self.status, Some(status), "{self:?}");
        let lines = self.complaints();
        // Wrong usage is followed by the verb's help.
        let line = match (status, lines.as_slice()) {
            (_, [line]) | (2, [line, "", ..]) => line,
            _ => panic!("one line: {self:?}"),
        };
        assert!(line.starts_with("ottla: "), "{self:?}");
        (*line).to_owned()
    }
}

/// What `ottla consume` says beside the records, unless `-q` silences it.
fn is_note(line: &str) -> bool {
    let of_group = |what: &str| line.starts_with("ottla: group `") && line.contains(what);
    line.starts_with("ottla: reached the ")
        || [": assigned ", ": revoked ", ": lost "].into_iter().any(of_group)
}

/// A process that ends with the test.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self { child: command.spawn().unwrap() }
    }

    pub(crate) fn stdout(&mut self) -> BufReader<ChildStdout> {
        BufReader::new(self.child.stdout.take().unwrap())
    }

    pub(crate) fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap()
    }

    /// What it says on stderr, as it comes.
    pub(crate) fn stderr_lines(&mut self) -> impl Iterator<Item = String> + use<> {
        BufReader::new(self.child.stderr.take().unwrap()).lines().map_while(Result::ok)
    }

    /// Feeds stdin, and closes it.
    pub(crate) fn feed(&mut self, input: &[u8]) {
        self.stdin().write_all(input).unwrap();
    }

    /// The most memory that it has had at once, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        peak.unwrap().trim().parse::<u64>().unwrap() * 1_024
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Such as STOP, which has it stand still until CONT.
    pub(crate) fn signal(&self, name: &str) {
        let killed = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
    }

    /// Waits for the end, with all output that was not taken.
    pub(crate) fn wait(mut self) -> Done {
        let stdout = self.child.stdout.take().map(|pipe| thread::spawn(move || read(pipe)));
        let stderr = self.child.stderr.take().map(|pipe| thread::spawn(move || read(pipe)));
        let deadline = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "still running");
            thread::sleep(Duration::from_millis(5));
        };
        let text = |reader: Option<thread::JoinHandle<String>>| {
            reader.map(|it| it.join().unwrap()).unwrap_or_default()
        };
        Done { status: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(mut pipe: impl Read) -> String {
    let mut bytes = Vec::new();
    pipe.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Runs a command to its end.
pub(crate) fn run(args: &[&str]) -> Done {
    Process::start(&mut ottla(args)).wait()
}

/// `ottla broker`, on free ports.
pub(crate) struct Broker {
    pub(crate) servers: String,
    process: Process,
}

impl Broker {
    pub(crate) fn start(topics: &[&str]) -> Self {
        Self::with(&topics.iter().flat_map(|topic| ["--topic", topic]).collect::<Vec<_>>())
    }

    pub(crate) fn with(args: &[&str]) -> Self {
        Self::of(ottla(&["broker", "--listen", "127.0.0.1:0"]).args(args))
    }

    /// What a command starts, which says where it listens.
    pub(crate) fn of(command: &mut Command) -> Self {
        let mut process = Process::start(command);
        let mut line = String::new();
        process.stdout().read_line(&mut line).unwrap();
        let servers = line.trim().strip_prefix("ready ").unwrap_or_else(|| panic!("{line:?}")).to_owned();
        Self { servers, process }
    }

    /// A command that talks to it.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = ottla(args);
        command.env("OTTLA_BOOTSTRAP_SERVERS", &self.servers);
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Done {
        Process::start(&mut self.command(args)).wait()
    }

    pub(crate) fn start_command(&self, args: &[&str]) -> Process {
        Process::start(&mut self.command(args))
    }

    /// `ottla produce` with these lines.
    pub(crate) fn produce(&self, args: &[&str], input: &str) -> Done {
        let mut process = Process::start(self.command(&["produce"]).args(args).stdin(Stdio::piped()));
        process.feed(input.as_bytes());
        process.wait()
    }

    /// SIGKILL.
    pub(crate) fn kill(self) {
        drop(self.process);
    }

    pub(crate) fn stop(self) -> Done {
        self.process.terminate();
        self.process.wait()
    }
}

/// Lines as they come, so that a test can wait for one.
pub(crate) struct Lines(mpsc::Receiver<String>);

impl Lines {
    pub(crate) fn of(process: &mut Process) -> Self {
        Self::read(process.stdout().lines().map_while(Result::ok))
    }

    /// Those of stderr.
    pub(crate) fn of_stderr(process: &mut Process) -> Self {
        Self::read(process.stderr_lines())
    }

    fn read(each: impl Iterator<Item = String> + Send + 'static) -> Self {
        let (send, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in each {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        Self(lines)
    }

    pub(crate) fn take(&self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.0.recv_timeout(DEADLINE).expect("another line")).collect()
    }

    /// The next that has this in it.
    pub(crate) fn with(&self, part: &str) -> String {
        loop {
            let line = self.0.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("no line with {part}"));
            if line.contains(part) {
                return line;
            }
        }
    }

    /// The next, if it comes within a moment.
    pub(crate) fn soon(&self) -> Option<String> {
        self.0.recv_timeout(Duration::from_millis(100)).ok()
    }

    /// What is left once the process has ended.
    pub(crate) fn rest(self) -> Vec<String> {
        self.0.into_iter().collect()
    }
}

/// A file that ends with the test.
pub(crate) struct File(PathBuf);

impl File {
    pub(crate) fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ottla-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A directory that is not there yet, and ends with the test.
pub(crate) struct Dir(pub(crate) PathBuf);

impl Dir {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ottla-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Looks again until it is so.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not seen: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn numbers(range: std::ops::Range<u32>) -> String {
    range.map(|n| format!("{n}\n")).collect()
}

/// The rows of a table in JSON.
pub(crate) fn rows(text: &str) -> Vec<serde_json::Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
