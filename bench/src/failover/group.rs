//! A group of one client's processes, and what can be done to it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use ottla_bench_child::now_millis;

use super::client::Client;
use super::ledger::Ledger;

/// Long enough for two heartbeats, and all that they bring about.
const QUIET_MILLIS: u64 = 2_500;

/// A process that prints deliveries. It is killed on drop, and ends by itself when this process dies.
#[derive(Debug)]
pub(super) struct Printer {
    child: Child,
    orders: ChildStdin,
    reader: Option<JoinHandle<()>>,
}

impl Printer {
    /// Starts it; it waits for its first order.
    pub(super) fn start(mut command: Command, ledger: &Arc<Ledger>, member: usize) -> Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let orders = child.stdin.take().context("no pipe to a child")?;
        let lines = BufReader::new(child.stdout.take().context("no pipe from a child")?).lines();
        let ledger = Arc::clone(ledger);
        let read = move || lines.map_while(Result::ok).for_each(|line| ledger.add(member, &line));
        Ok(Self { child, orders, reader: Some(std::thread::spawn(read)) })
    }

    /// The first order: to begin. The second: to end.
    pub(super) fn order(&mut self) -> Result<()> {
        Ok(writeln!(self.orders, "go on")?)
    }

    /// SIGKILL, after which all that it printed is in the ledger.
    pub(super) fn kill(&mut self) {
        // Neither fails for a child that was not waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }

    pub(super) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Printer {
    fn drop(&mut self) {
        self.kill();
    }
}

#[derive(Debug)]
pub(super) struct Group {
    pub(super) client: Client,
    pub(super) ledger: Arc<Ledger>,
    members: Vec<Printer>,
    /// Those that are to have partitions.
    active: Vec<usize>,
    /// Since when a look found it steady.
    steady: Option<u64>,
}

impl Group {
    pub(super) fn new(client: Client, partitions: u32, commands: Vec<Command>) -> Result<Self> {
        let ledger = Arc::new(Ledger::new(partitions as usize));
        let start = |(member, command)| Printer::start(command, &ledger, member);
        let members = commands.into_iter().enumerate().map(start).collect::<Result<_>>()?;
        Ok(Self { client, ledger, members, active: Vec::new(), steady: None })
    }

    /// Lets the next member join.
    pub(super) fn join(&mut self) -> Result<()> {
        let next = self.active.iter().max().map_or(0, |last| last + 1);
        self.member(next)?.order()?;
        self.active.push(next);
        Ok(())
    }

    /// Tells one to leave, in turn.
    pub(super) fn close(&mut self, turn: usize) -> Result<()> {
        let leaver = self.active.remove(turn % self.active.len());
        self.member(leaver)?.order()
    }

    /// Kills one, in turn.
    pub(super) fn kill(&mut self, turn: usize) -> Result<()> {
        let victim = self.active.remove(turn % self.active.len());
        self.member(victim)?.kill();
        Ok(())
    }

    fn member(&mut self, member: usize) -> Result<&mut Printer> {
        self.members.get_mut(member).with_context(|| format!("no member {member}"))
    }

    /// Forgets what it saw before an event.
    pub(super) fn unsettle(&mut self) {
        self.steady = None;
    }

    /// Whether, for a while now, all partitions flow and none has moved.
    pub(super) fn is_settled(&mut self) -> bool {
        let now = now_millis();
        let shared = self.ledger.shared_since(&self.active, now);
        self.steady = shared.map(|since| since.max(self.steady.unwrap_or(now)));
        self.steady.is_some_and(|since| since + QUIET_MILLIS <= now)
    }

    /// Kills all.
    pub(super) fn end(&mut self) {
        self.members.iter_mut().for_each(Printer::kill);
    }
}
