//! Whose group it is, and the program of a member.

use std::fmt;
use std::path::PathBuf;
use std::process::Command;
use std::str::FromStr;

use anyhow::{Context, Result};
use ottla_bench_child::{Membership, Protocol};

use crate::peers;

/// A client library with one of the two protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Client {
    pub(super) product: Product,
    pub(super) protocol: Protocol,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Product {
    Ottla,
    Java,
    Rdkafka,
}

impl Client {
    pub(super) const ALL: [Self; 6] = [
        Self { product: Product::Ottla, protocol: Protocol::Classic },
        Self { product: Product::Java, protocol: Protocol::Classic },
        Self { product: Product::Rdkafka, protocol: Protocol::Classic },
        Self { product: Product::Ottla, protocol: Protocol::Consumer },
        Self { product: Product::Java, protocol: Protocol::Consumer },
        Self { product: Product::Rdkafka, protocol: Protocol::Consumer },
    ];
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let product = match self.product {
            Product::Ottla => "ottla",
            Product::Java => "java",
            Product::Rdkafka => "rdkafka",
        };
        let protocol = match self.protocol {
            Protocol::Classic => "classic",
            Protocol::Consumer => "848",
        };
        write!(f, "{product}-{protocol}")
    }
}

impl FromStr for Client {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|client| client.to_string() == name).ok_or_else(|| {
            let names: Vec<String> = Self::ALL.iter().map(ToString::to_string).collect();
            format!("the clients are {}", names.join(", "))
        })
    }
}

/// The programs that were built.
#[derive(Debug)]
pub(super) struct Programs {
    ottla: PathBuf,
    rdkafka: PathBuf,
    java: Option<Command>,
}

impl Programs {
    pub(super) fn build(clients: &[Client]) -> Result<Self> {
        let java = clients.iter().any(|client| client.product == Product::Java);
        Ok(Self {
            ottla: std::env::current_exe()?,
            // It is the producer's program, too.
            rdkafka: peers::rust("rdkafka")?,
            java: java.then(|| peers::java("Member", peers::SMALL_JVM)).transpose()?,
        })
    }

    /// A process that will be a member.
    pub(super) fn member(&self, product: Product, membership: &Membership) -> Result<Command> {
        let mut command = match product {
            Product::Ottla => verb(&self.ottla, "member"),
            Product::Rdkafka => verb(&self.rdkafka, "member"),
            Product::Java => peers::again(self.java.as_ref().context("Java's member was not built")?),
        };
        command.args(membership.args());
        Ok(command)
    }

    /// The steady producer.
    pub(super) fn producer(&self, bootstrap: &str, topic: &str, partitions: u32, per_second: u64) -> Command {
        let mut command = verb(&self.rdkafka, "produce");
        command.args(["--bootstrap", bootstrap, "--topic", topic]);
        command.args(["--partitions", &partitions.to_string(), "--per-second", &per_second.to_string()]);
        command
    }
}

fn verb(program: &PathBuf, verb: &str) -> Command {
    let mut command = Command::new(program);
    command.arg(verb);
    command
}
