//! One run of the command, for one record.

use std::{
    fmt, io,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use ottla::processor::{Handler, HandlerError, Handling, Message, Outputs};
use tokio::{
    io::AsyncWriteExt,
    process::{ChildStdin, Command},
    sync::mpsc,
    time::timeout,
};

use super::{
    children::{self, Children},
    environment,
    lines::{Tail, Writer},
    linger::{Exited, LINGER},
    output::{Output, Written},
};
use crate::failure::Failure;

/// `EX_DATAERR` of sysexits.h: the input was wrong.
const FATAL: i32 = 65;
/// What a shell says of a command that it found and cannot run, and of one that it did not find.
const CANNOT_RUN: [i32; 2] = [126, 127];

/// Runs the command for each record.
#[derive(Debug)]
pub(super) struct Runner {
    pub(super) command: String,
    pub(super) group: String,
    pub(super) timeout: Option<Duration>,
    pub(super) children: Children,
    pub(super) output: Output,
    pub(super) stderr: Writer,
    pub(super) halt: Halt,
}

/// Ends the whole command: for what is no record's fault.
#[derive(Debug, Clone)]
pub(super) struct Halt(mpsc::Sender<Failure>);

impl Halt {
    /// And where the reason comes.
    pub(super) fn new() -> (Self, mpsc::Receiver<Failure>) {
        let (halt, halted) = mpsc::channel(1);
        (Self(halt), halted)
    }

    /// The first reason counts.
    pub(super) fn with(&self, failure: Failure) {
        let _ = self.0.try_send(failure);
    }
}

/// How a run ended that did not succeed.
#[derive(Debug)]
pub(super) enum Outcome {
    Failed(HandlerError),
    /// All stops: the record is neither done nor failed.
    Halted,
}

impl Handler for Runner {
    fn handle(&self, message: Message) -> Handling<'_> {
        Box::pin(async move { self.handled(&message, None).await })
    }
}

impl Runner {
    /// Runs it for this record. What it writes for a topic goes to `out`, where there are transactions.
    pub(super) async fn handled(&self, message: &Message, out: Option<&Outputs>) -> Result<(), HandlerError> {
        let in_hand = self.children.in_hand(place(message));
        let ended = self.run(message, out).await;
        // Its record may be the last one, and what this process has not written when it ends is lost.
        let (_, is_printed) = tokio::join!(self.stderr.written(), self.output.written());
        match ended {
            Ok(()) if is_printed => {
                in_hand.ended();
                Ok(())
            }
            Err(Outcome::Failed(error)) => {
                in_hand.ended();
                Err(error)
            }
            // Until the processor is dropped. Where nothing can be written any more, the writer has said why.
            Ok(()) | Err(Outcome::Halted) => std::future::pending().await,
        }
    }

    async fn run(&self, message: &Message, out: Option<&Outputs>) -> Result<(), Outcome> {
        let mut handling = self.start(message)?;
        let mut tail = Tail::default();
        let attending = self.attend(&mut handling, message, &mut tail);
        let attended = match self.timeout {
            None => Ok(attending.await),
            Some(most) => timeout(most, attending).await.map_err(|_| most),
        };
        let failed = |how: String| CommandFailed { how, stderr: tail.text() };
        let (status, written) = match attended {
            Ok((Ok(status), written)) => (status, written),
            Ok((Err(error), _)) => {
                return Err(Outcome::Failed(HandlerError::retriable(failed(format!("it is lost: {error}")))));
            }
            Err(most) => {
                handling.end().await;
                let failed = failed(format!("not ended after {most:?}, and killed"));
                return Err(Outcome::Failed(HandlerError::retriable(failed)));
            }
        };
        drop(handling);
        match status.code() {
            Some(0) => self.output.put(written, message, out, &self.halt).await,
            Some(FATAL) => Err(Outcome::Failed(HandlerError::fatal(failed(how(status))))),
            Some(code) if CANNOT_RUN.contains(&code) => {
                let what = format!("--exec `{}`: it cannot be run ({})", self.command, failed(how(status)));
                Err(self.halted(format!("{}: {what}; no record counts as failed for that", place(message))))
            }
            _ => Err(Outcome::Failed(HandlerError::retriable(failed(how(status))))),
        }
    }

    fn halted(&self, why: String) -> Outcome {
        self.halt.with(Failure::failed(why));
        Outcome::Halted
    }

    fn start(&self, message: &Message) -> Result<children::Handling, Outcome> {
        let mut command = Command::new("sh");
        command.arg("-c").arg(&self.command);
        for name in environment::NAMES {
            command.env_remove(name);
        }
        command.envs(environment::of(message, &self.group));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.children.start(&mut command, place(message)).map_err(|error| match error.kind() {
            io::ErrorKind::ArgumentListTooLong => {
                let why = "its key and headers are more than an environment can hold";
                Outcome::Failed(HandlerError::fatal(format!("{why}: {error}")))
            }
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => {
                self.halted(format!("`sh`: {error}; it has to be on the PATH"))
            }
            // Too many processes, or no memory: that passes.
            _ => Outcome::Failed(HandlerError::retriable(format!("no process for it: {error}"))),
        })
    }

    /// Feeds it and takes what it writes until it has ended.
    async fn attend(
        &self,
        handling: &mut children::Handling,
        message: &Message,
        tail: &mut Tail,
    ) -> (io::Result<ExitStatus>, Written) {
        let Some((stdin, stdout, stderr)) = handling.streams() else {
            return (Err(io::Error::other("it has no streams")), Written::Lines);
        };
        let exited = Exited::new();
        let streams = async {
            let (_, _, written) = tokio::join!(
                exited.or(feed(stdin, message.value().unwrap_or_default())),
                self.stderr.follow(stderr, &exited, |read| tail.add(read)),
                self.output.take(stdout, &exited),
            );
            written
        };
        let mut streams = std::pin::pin!(streams);
        let ended = tokio::select! {
            status = handling.wait() => Err(status),
            written = &mut streams => Ok(written),
        };
        match ended {
            Ok(written) => (handling.wait().await, written),
            Err(status) => {
                exited.set();
                let written = match timeout(LINGER, &mut streams).await {
                    Ok(written) => written,
                    Err(_) => {
                        // What it has started holds its streams.
                        handling.kill();
                        streams.await
                    }
                };
                (status, written)
            }
        }
    }
}

/// Where a record is.
fn place(message: &Message) -> String {
    format!("{} offset {}", message.topic_partition(), message.offset())
}

/// Its whole input. One that does not read it, or not to its end, has not failed by that.
async fn feed(mut stdin: ChildStdin, value: &[u8]) {
    let _ = stdin.write_all(value).await;
}

/// How it ended.
fn how(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        let name =
            nix::sys::signal::Signal::try_from(signal).map_or("no name", nix::sys::signal::Signal::as_str);
        return format!("killed by signal {signal} ({name})");
    }
    match status.code() {
        Some(code) => format!("exit status {code}"),
        None => status.to_string(),
    }
}

/// How a run failed, and the end of what it said.
#[derive(Debug)]
struct CommandFailed {
    how: String,
    stderr: String,
}

impl fmt::Display for CommandFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.how)?;
        match self.stderr.as_str() {
            "" => Ok(()),
            stderr => write!(f, ": {stderr}"),
        }
    }
}

impl std::error::Error for CommandFailed {}
