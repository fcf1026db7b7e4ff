//! Child processes: spawned, read, waited for, and never left behind.
//!
//! A child of [`Process::spawn`] is *tethered*: a watcher beside it reads a pipe that only we hold open, and
//! kills the child when the pipe closes. So it ends with this process, even one that was SIGKILLed. (`prctl`
//! would need unsafe code, and a process group does not survive its leader's SIGKILL.)

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::wait::{TimedOut, until_some};

/// The shell starts the watcher and then *becomes* the program, so that pid, signals and exit status are the
/// program's own. A line on the pipe lets go: the program has ended and its pid may belong to somebody else.
const TETHER: &str = r#"
exec 3<&0
( read -r released || kill -KILL $$ ) <&3 3<&- >/dev/null 2>&1 &
exec "$@" </dev/null 3<&-
"#;

/// Long enough for the last bytes of a pipe whose writer has ended.
const DRAIN: Duration = Duration::from_secs(5);

/// A running or ended child process, killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    tether: Option<ChildStdin>,
    input: Option<ChildStdin>,
    stdout: Capture,
    stderr: Capture,
    ended: Option<ExitStatus>,
}

/// What a process wrote before it ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// All of its standard output, with what is not UTF-8 replaced.
    pub stdout: String,
    /// All of it as it was.
    pub bytes: Vec<u8>,
    /// All of its standard error, with what is not UTF-8 replaced.
    pub stderr: String,
}

impl Output {
    /// The lines of its standard error that tell of anything else than a wait, which a busy machine may bring.
    pub fn but_waits(&self) -> Vec<&str> {
        let waits = |line: &str| line.starts_with("ottla: waiting: ") || line == "ottla: it goes on";
        self.stderr.lines().filter(|line| !waits(line)).collect()
    }

    /// Those that are not what `consume` notes, either.
    pub fn complaints(&self) -> Vec<&str> {
        self.but_waits().into_iter().filter(|line| !is_note(line)).collect()
    }
}

/// What `ottla consume` says beside the records, unless `-q` silences it.
fn is_note(line: &str) -> bool {
    let of_group = |what: &str| line.starts_with("ottla: group `") && line.contains(what);
    line.starts_with("ottla: reached the ")
        || [": assigned ", ": revoked ", ": lost "].into_iter().any(of_group)
}

impl Process {
    /// Starts a tethered child whose standard input is empty.
    pub fn spawn(command: &Command) -> io::Result<Self> {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", TETHER, "tether"]).arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(key, value),
                None => shell.env_remove(key),
            };
        }
        if let Some(dir) = command.get_current_dir() {
            shell.current_dir(dir);
        }
        let mut process = Self::start(shell, name_of(command))?;
        process.tether = process.child.stdin.take();
        Ok(process)
    }

    /// Starts a child whose standard input is ours to write; it sees the end of its input when we end.
    pub fn spawn_with_input(command: &Command) -> io::Result<Self> {
        let mut copy = Command::new(command.get_program());
        copy.args(command.get_args());
        copy.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
        let mut process = Self::start(copy, name_of(command))?;
        process.input = process.child.stdin.take();
        Ok(process)
    }

    fn start(mut command: Command, name: String) -> io::Result<Self> {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let stdout = Capture::of(child.stdout.take());
        let stderr = Capture::of(child.stderr.take());
        Ok(Self { name, child, tether: None, input: None, stdout, stderr, ended: None })
    }

    /// The process's id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Writes to the standard input of a child from [`Process::spawn_with_input`].
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let input = self.input.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        input.write_all(bytes)?;
        input.flush()
    }

    /// Ends the child's standard input.
    pub fn close_input(&mut self) {
        self.input = None;
    }

    /// Its standard output so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// Its standard output so far, from this byte on.
    pub fn stdout_from(&self, byte: usize) -> String {
        String::from_utf8_lossy(self.stdout.lock().bytes.get(byte..).unwrap_or_default()).into_owned()
    }

    /// Its standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// The complete lines of its standard output so far.
    pub fn lines(&self) -> Vec<String> {
        let text = self.stdout();
        let complete = text.rfind('\n').and_then(|end| text.get(..end)).unwrap_or_default();
        complete.lines().map(str::to_owned).collect()
    }

    /// Reads no more than so many bytes of its standard output until this is raised: once the pipe is full too, the
    /// child waits. All is read once it has ended.
    pub fn read_at_most(&self, bytes: usize) {
        self.stdout.raise_to(bytes);
    }

    /// How many bytes of its standard output have been read.
    pub fn bytes_read(&self) -> usize {
        self.stdout.lock().bytes.len()
    }

    /// How many complete lines it has written to its standard output so far, without copying them.
    pub fn line_count(&self) -> usize {
        self.stdout.lock().bytes.iter().filter(|&&byte| byte == b'\n').count()
    }

    /// Its exit status, if it has ended.
    pub fn status(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none()
            && let Ok(Some(status)) = self.child.try_wait()
        {
            self.ended = Some(status);
            self.stdout.raise_to(usize::MAX);
            if let Some(mut tether) = self.tether.take() {
                // The watcher may have been killed along with the program's process group.
                let _ = tether.write_all(b"released\n");
            }
        }
        self.ended
    }

    /// Whether all that it will ever write to its standard output has been read.
    pub fn is_drained(&self) -> bool {
        self.stdout.reader.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        self.status().is_none()
    }

    /// Sends a signal by its name: `TERM`, `INT`, `STOP`, `CONT`. Nothing happens to a process that has ended.
    pub fn signal(&mut self, signal: &str) -> io::Result<()> {
        if self.is_running() {
            Command::new("/bin/sh")
                .args(["-c", r#"kill -s "$0" "$1""#, signal, &self.id().to_string()])
                .status()?;
        }
        Ok(())
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        if self.is_running() {
            // It cannot fail for a child that has not been reaped.
            let _ = self.child.kill();
            let _ = self.child.wait();
            let _ = self.status();
        }
    }

    /// Waits for the end; the process goes on if it does not end in time.
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus, TimedOut> {
        let what = format!("the end of {}", self.name);
        until_some(within, &what, || self.status())
    }

    /// Waits for the end, and for success; a process that does not end in time is killed.
    pub fn finish(mut self, within: Duration) -> Result<Output, ProcessError> {
        let output = self.end(within)?;
        if output.status.success() { Ok(output) } else { Err(self.error(Cause::Status(output.status))) }
    }

    /// Waits for the end, whatever its exit status; a process that does not end in time is killed.
    pub fn end(&mut self, within: Duration) -> Result<Output, ProcessError> {
        let waited = self.wait(within);
        self.kill();
        let status = waited.map_err(|expired| self.error(Cause::TimedOut(expired)))?;
        self.stdout.drained();
        self.stderr.drained();
        let bytes = self.stdout.lock().bytes.clone();
        Ok(Output { status, stdout: self.stdout(), bytes, stderr: self.stderr() })
    }

    fn error(&self, cause: Cause) -> ProcessError {
        ProcessError {
            name: self.name.clone(),
            cause,
            stdout: tail(&self.stdout()),
            stderr: tail(&self.stderr()),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a command to its end, and to success.
pub fn run(command: &Command, within: Duration) -> Result<Output, ProcessError> {
    Process::spawn(command).map_err(|error| ProcessError::not_started(command, error))?.finish(within)
}

/// A process that failed, with the end of what it said.
#[derive(Debug)]
pub struct ProcessError {
    name: String,
    cause: Cause,
    stdout: String,
    stderr: String,
}

#[derive(Debug)]
enum Cause {
    NotStarted(io::Error),
    Status(ExitStatus),
    TimedOut(TimedOut),
}

impl ProcessError {
    /// A process that could not be started.
    pub fn not_started(command: &Command, error: io::Error) -> Self {
        let cause = Cause::NotStarted(error);
        Self { name: name_of(command), cause, stdout: String::new(), stderr: String::new() }
    }

    /// The exit status, if it ended by itself.
    pub fn status(&self) -> Option<ExitStatus> {
        if let Cause::Status(status) = self.cause { Some(status) } else { None }
    }

    /// The end of its standard error.
    pub fn stderr(&self) -> &str {
        &self.stderr
    }

    /// The end of its standard output.
    pub fn stdout(&self) -> &str {
        &self.stdout
    }
}

impl fmt::Display for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::NotStarted(error) => return write!(f, "{}: not started: {error}", self.name),
            Cause::Status(status) => write!(f, "{}: {status}", self.name)?,
            Cause::TimedOut(expired) => write!(f, "{expired}; killed")?,
        }
        write!(f, "\nstderr: {}\nstdout: {}", self.stderr.trim_end(), self.stdout.trim_end())
    }
}

impl std::error::Error for ProcessError {}

fn name_of(command: &Command) -> String {
    let program = command.get_program();
    // A Java program is known by its main class, not as `java`.
    let main = command.get_args().filter_map(OsStr::to_str).find(|arg| {
        arg.starts_with("org.apache.kafka.") || (arg.starts_with("kafka.") && !arg.contains('/'))
    });
    main.map_or_else(|| program.display().to_string(), str::to_owned)
}

fn tail(text: &str) -> String {
    const LINES: usize = 20;
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().join("\n")
}

/// What a child writes, gathered by a thread of its own.
#[derive(Debug)]
struct Capture {
    shared: Arc<Shared>,
    reader: Option<JoinHandle<io::Result<()>>>,
}

#[derive(Debug)]
struct Shared {
    captured: Mutex<Captured>,
    raised: Condvar,
}

#[derive(Debug)]
struct Captured {
    bytes: Vec<u8>,
    /// How many bytes may be read.
    limit: usize,
}

impl Capture {
    fn of(pipe: Option<impl Read + Send + 'static>) -> Self {
        let captured = Mutex::new(Captured { bytes: Vec::new(), limit: usize::MAX });
        let shared = Arc::new(Shared { captured, raised: Condvar::new() });
        let reader = pipe.map(|pipe| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.read(pipe))
        });
        Self { shared, reader }
    }

    fn lock(&self) -> MutexGuard<'_, Captured> {
        self.shared.captured.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.lock().bytes).into_owned()
    }

    fn raise_to(&self, limit: usize) {
        self.lock().limit = limit;
        self.shared.raised.notify_all();
    }

    /// Waits until all that was written has been read. A grandchild may hold the pipe open: hence a deadline.
    fn drained(&mut self) {
        if let Some(reader) = &self.reader {
            let _ = until_some(DRAIN, "the end of a pipe", || reader.is_finished().then_some(()));
        }
    }
}

impl Shared {
    fn read(&self, mut pipe: impl Read) -> io::Result<()> {
        let mut chunk = [0; 8192];
        loop {
            let captured = self.captured.lock().unwrap_or_else(PoisonError::into_inner);
            let full = |captured: &mut Captured| captured.bytes.len() >= captured.limit;
            let captured = self.raised.wait_while(captured, full).unwrap_or_else(PoisonError::into_inner);
            let room = chunk.len().min(captured.limit - captured.bytes.len());
            drop(captured);
            let read = pipe.read(chunk.get_mut(..room).unwrap_or_default())?;
            let bytes = chunk.get(..read).unwrap_or_default();
            if bytes.is_empty() {
                return Ok(());
            }
            self.captured.lock().unwrap_or_else(PoisonError::into_inner).bytes.extend_from_slice(bytes);
        }
    }
}
