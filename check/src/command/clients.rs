//! Builders of clients with the user's properties.

use std::path::PathBuf;

use clap::Args;
use ottla::{
    Admin, AdminBuilder, BuildError, Consumer, ConsumerBuilder, IsolationLevel, Producer, ProducerBuilder,
    Properties, config::is_secret, error::BuildErrorKind,
};
use ottla_check::history::Isolation;

use super::tell;

/// Which cluster, and how.
#[derive(Debug, Clone, Args)]
pub(super) struct ClientArgs {
    /// Brokers to ask first, as host:port[,host:port...]
    #[arg(short, long, value_name = "SERVERS", default_value = "localhost:9092")]
    bootstrap_servers: String,
    /// A property by Kafka's own name; repeatable. It wins over --config. Others on this machine can see it: passwords
    /// belong into a file
    #[arg(short = 'X', value_name = "KEY=VALUE")]
    properties: Vec<String>,
    /// A file of properties, as for Kafka's own tools
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ClientArgs {
    /// Tells of secrets on the command line, as `ottla` does.
    pub(super) fn warn_of_secrets(&self) {
        let names = self.properties.iter().filter_map(|pair| pair.split('=').next());
        for name in names.filter(|name| is_secret(name.trim())) {
            tell(format!(
                "-X {name}: others on this machine can see what is on a command line; --config FILE hides it"
            ));
        }
    }

    /// As arguments of another process.
    pub(super) fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["--bootstrap-servers".to_owned(), self.bootstrap_servers.clone()];
        arguments.extend(self.properties.iter().map(|property| format!("-X{property}")));
        let config = self.config.iter().flat_map(|file| ["--config".to_owned(), file.display().to_string()]);
        arguments.extend(config);
        arguments
    }

    fn read(&self) -> Result<Properties, BuildError> {
        let mut properties = match &self.config {
            Some(file) => Properties::read(file)?,
            None => Properties::new(),
        };
        for pair in &self.properties {
            properties.push_pair(pair)?;
        }
        properties.push("bootstrap.servers", &self.bootstrap_servers);
        Ok(properties)
    }

    pub(super) fn admin(&self) -> Result<AdminBuilder, BuildError> {
        set(&self.read()?, Admin::builder(), |builder, property| builder.properties([property]))
    }

    pub(super) fn producer(&self) -> Result<ProducerBuilder, BuildError> {
        set(&self.read()?, Producer::builder(), |builder, property| builder.properties([property]))
    }

    /// A member of the group; for nobody it commits by itself.
    pub(super) fn member(&self, group: &str, isolation: Isolation) -> Result<ConsumerBuilder, BuildError> {
        let given = self.read()?;
        let mut properties = Properties::new();
        // A killed member's partitions are to be read again within the run. Under the other protocol the broker decides.
        if given.last("group.protocol").is_none_or(|protocol| !protocol.eq_ignore_ascii_case("consumer")) {
            properties.push("session.timeout.ms", "6000");
            properties.push("heartbeat.interval.ms", "1000");
        }
        properties.push("auto.offset.reset", "earliest");
        properties.extend(given);
        properties.push("group.id", group);
        properties.push("enable.auto.commit", "false");
        consumer(&properties, isolation)
    }

    /// A consumer without a group.
    pub(super) fn reader(&self, isolation: Isolation) -> Result<ConsumerBuilder, BuildError> {
        let given = self.read()?;
        let of_groups = ["group.", "session.timeout", "heartbeat.interval", "partition.assignment"];
        let mut properties = Properties::new();
        for (key, value) in given.iter().filter(|(key, _)| !of_groups.iter().any(|of| key.starts_with(of))) {
            properties.push(key, value);
        }
        consumer(&properties, isolation)
    }
}

fn consumer(properties: &Properties, isolation: Isolation) -> Result<ConsumerBuilder, BuildError> {
    let builder = set(properties, Consumer::builder(), |builder, property| builder.properties([property]))?;
    Ok(match isolation {
        Isolation::ReadCommitted => builder.isolation_level(IsolationLevel::ReadCommitted),
        Isolation::ReadUncommitted => builder,
    })
}

/// With all properties but those of other kinds of clients: all kinds are given the same.
fn set<B: Clone>(
    properties: &Properties,
    builder: B,
    set: impl Fn(B, (&str, &str)) -> Result<B, BuildError>,
) -> Result<B, BuildError> {
    properties.iter().try_fold(builder, |builder, property| match set(builder.clone(), property) {
        Err(error) if error.kind() == BuildErrorKind::ForeignProperty => Ok(builder),
        result => result,
    })
}
