//! Who writes, transforms or watches beside the others: Ottla, another build of it, or another client, each a program that
//! is told the same and prints the same.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use clap::ValueEnum;
use ottla_bench_child::{ByWhat, Lap};

use crate::{lap, peers};

/// A client, and where Ottla has two ways, which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Who {
    Ottla,
    OttlaRecv,
    OttlaPoll,
    Rdkafka,
    FranzGo,
    Kacrab,
    Krafka,
    Java,
    ParallelConsumer,
    Kafkajs,
}

/// A client whose program is there.
pub(crate) struct Contender {
    pub(crate) who: Who,
    pub(crate) name: &'static str,
    program: Command,
    /// Behind all other arguments.
    more: &'static [&'static str],
}

impl Contender {
    /// Builds what is not there yet.
    pub(crate) fn new(who: Who, java: &str) -> Result<Self> {
        let own = || std::env::current_exe().map(Command::new);
        let (name, program) = match who {
            Who::Ottla => ("Ottla", own()?),
            Who::OttlaRecv => ("Ottla, recv", own()?),
            Who::OttlaPoll => ("Ottla, iterator", own()?),
            Who::Rdkafka => ("rdkafka 0.39, base", Command::new(peers::rust("rdkafka")?)),
            Who::FranzGo => ("franz-go 1.22", Command::new(peers::franz_go()?)),
            Who::Kacrab => ("kacrab 0.4", Command::new(peers::rust("kacrab")?)),
            Who::Krafka => ("krafka 0.28", Command::new(peers::rust("krafka")?)),
            Who::Java => ("Java 4.4, warm", peers::java(java, &[])?),
            Who::ParallelConsumer => ("parallel-consumer 0.5.3.3, warm", peers::parallel_consumer()?),
            Who::Kafkajs => ("kafkajs 2.2.4", peers::kafkajs()?),
        };
        let more: &[&str] = if who == Who::OttlaRecv { &["--by-recv"] } else { &[] };
        Ok(Self { who, name, program, more })
    }

    /// Those that are asked for, or all, in this order; `java` is the class of Java's.
    pub(crate) fn all(who: &[Who], asked: &[Who], java: &str) -> Result<Vec<Self>> {
        let asked = |who: &&Who| asked.is_empty() || asked.contains(who);
        who.iter().filter(asked).map(|who| Self::new(*who, java)).collect()
    }

    /// Another build of this program.
    pub(crate) fn before(program: &Path) -> Result<Self> {
        let program = Command::new(peers::whole(program)?);
        Ok(Self { who: Who::Ottla, name: "Ottla, before", program, more: &[] })
    }

    /// Whether it is another client than Ottla.
    pub(crate) fn is_peer(&self) -> bool {
        !matches!(self.who, Who::Ottla | Who::OttlaRecv | Who::OttlaPoll)
    }

    /// Whether it has to do all once before it is measured: a JVM compiles what it has seen often.
    pub(crate) fn is_warmed(&self) -> bool {
        matches!(self.who, Who::Java | Who::ParallelConsumer)
    }

    /// Whether it offers this order.
    pub(crate) fn keeps(&self, order: ByWhat) -> bool {
        self.who != Who::Kafkajs || order == ByWhat::Partition
    }

    pub(crate) fn lap(&self, verb: &str, args: Vec<String>) -> Result<Lap> {
        let mut child = peers::again(&self.program);
        child.arg(verb);
        let more = self.more.iter().map(|argument| (*argument).to_owned());
        lap::finish(child, args.into_iter().chain(more).collect())
    }
}
