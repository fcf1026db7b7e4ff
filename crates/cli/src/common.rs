//! Builders of clients, as the common flags want them.

use ottla::{
    Admin, AdminBuilder, BuildError, Consumer, ConsumerBuilder, Producer, ProducerBuilder, Properties,
    error::BuildErrorKind,
};

use crate::{
    args::Common,
    failure::{Failure, tell},
};

/// Where the cluster is when nobody says so.
const BOOTSTRAP_SERVERS: &str = "localhost:9092";
/// A person waits at the other end: shorter than the library's minute.
const API_TIMEOUT_MS: &str = "10000";

/// The properties of all clients of a command.
#[derive(Debug)]
pub(crate) struct Clients {
    properties: Properties,
}

impl Clients {
    /// From the least to the most important: defaults, the environment, the file, `-X`, flags.
    pub(crate) fn new(common: &Common) -> Result<Self, Failure> {
        let mut properties = Properties::new();
        let servers =
            std::env::var("OTTLA_BOOTSTRAP_SERVERS").ok().filter(|servers| !servers.trim().is_empty());
        properties.push("bootstrap.servers", servers.unwrap_or_else(|| BOOTSTRAP_SERVERS.to_owned()));
        properties.push("default.api.timeout.ms", API_TIMEOUT_MS);
        if let Some(file) = &common.config {
            properties.extend(Properties::read(file)?);
        }
        for pair in &common.properties {
            properties.push_pair(pair)?;
        }
        if let Some(servers) = &common.bootstrap_servers {
            properties.push("bootstrap.servers", servers);
        }
        Ok(Self { properties })
    }

    /// The value that stands, where the user, or a default, set one.
    pub(crate) fn property(&self, key: &str) -> Option<&str> {
        self.properties.last(key)
    }

    pub(crate) fn consumer(&self) -> Result<ConsumerBuilder, Failure> {
        const CREATE: &str = "allow.auto.create.topics";
        if self.property(CREATE).is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            let why = "the command line never creates a topic by reading it; use `ottla topics create`";
            return Err(Failure::usage(format!("`{CREATE}`: {why}")));
        }
        let builder = Consumer::builder().properties(self.properties.iter())?;
        Ok(builder.allow_auto_create_topics(false).on_wait(waiting))
    }

    pub(crate) fn producer(&self) -> Result<ProducerBuilder, Failure> {
        Ok(Producer::builder().properties(self.properties.iter())?.on_wait(waiting))
    }

    pub(crate) fn admin(&self) -> Result<AdminBuilder, Failure> {
        Ok(Admin::builder().properties(self.properties.iter())?.on_wait(waiting))
    }

    /// An admin client beside another client, which has checked the properties: those that are not an admin client's
    /// are that one's alone.
    pub(crate) fn admin_beside(&self) -> Result<AdminBuilder, Failure> {
        let shared =
            self.properties.iter().try_fold(
                Admin::builder(),
                |builder: AdminBuilder, property| match builder.clone().properties([property]) {
                    Err(error) if is_unknown(&error) => Ok(builder),
                    result => result,
                },
            );
        Ok(shared?)
    }
}

fn waiting(why: &str) {
    tell(format!("waiting: {why}"));
}

fn is_unknown(error: &BuildError) -> bool {
    error.kind() == BuildErrorKind::UnknownProperty
}
