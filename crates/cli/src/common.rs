//! Builders of clients, as the common flags want them.

use std::{collections::BTreeSet, sync::Mutex};

use ottla::{
    Admin, AdminBuilder, BuildError, ConsumerBuilder, Producer, ProducerBuilder, Properties,
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
    /// Those that a file set and nothing else did: a file may be for other clients too.
    from_file: BTreeSet<String>,
    /// Of these, those that were told to be of no use here.
    unused: Mutex<BTreeSet<String>>,
}

impl Clients {
    /// From the least to the most important: defaults, the environment, the file, `-X`, flags.
    pub(crate) fn new(common: &Common) -> Result<Self, Failure> {
        let mut properties = Properties::new();
        let servers =
            std::env::var("OTTLA_BOOTSTRAP_SERVERS").ok().filter(|servers| !servers.trim().is_empty());
        properties.push("bootstrap.servers", servers.unwrap_or_else(|| BOOTSTRAP_SERVERS.to_owned()));
        properties.push("default.api.timeout.ms", API_TIMEOUT_MS);
        let mut from_file = BTreeSet::new();
        if let Some(file) = &common.config {
            let read = Properties::read(file)?;
            from_file.extend(read.iter().map(|(key, _)| key.to_owned()));
            properties.extend(read);
        }
        let mut given = Properties::new();
        for pair in &common.properties {
            given.push_pair(pair)?;
        }
        given.iter().for_each(|(key, _)| _ = from_file.remove(key));
        properties.extend(given);
        if let Some(servers) = &common.bootstrap_servers {
            properties.push("bootstrap.servers", servers);
        }
        Ok(Self { properties, from_file, unused: Mutex::default() })
    }

    /// The value that stands, where the user, or a default, set one.
    pub(crate) fn property(&self, key: &str) -> Option<&str> {
        self.properties.last(key)
    }

    /// With these defaults where no property says otherwise.
    pub(crate) fn consumer(&self, defaults: ConsumerBuilder) -> Result<ConsumerBuilder, Failure> {
        let defaults = defaults.allow_auto_create_topics(false).on_wait(waiting);
        let builder = self.set(defaults, |builder, property| builder.properties([property]))?;
        if builder.settings().allow_auto_create_topics() {
            let why = "the command line never creates a topic by reading it; use `ottla topics create`";
            return Err(Failure::usage(format!("`allow.auto.create.topics`: {why}")));
        }
        Ok(builder)
    }

    pub(crate) fn producer(&self) -> Result<ProducerBuilder, Failure> {
        Ok(self
            .set(Producer::builder(), |builder, property| builder.properties([property]))?
            .on_wait(waiting))
    }

    pub(crate) fn admin(&self) -> Result<AdminBuilder, Failure> {
        Ok(self.set(Admin::builder(), |builder, property| builder.properties([property]))?.on_wait(waiting))
    }

    /// An admin client beside another client, which has checked the properties: those that are not an admin client's
    /// are that one's alone.
    pub(crate) fn admin_beside(&self) -> Result<AdminBuilder, Failure> {
        let shared =
            self.properties.iter().try_fold(
                Admin::builder(),
                |builder: AdminBuilder, property| match builder.clone().properties([property]) {
                    Err(error) if is_unused(&error, property.0) => Ok(builder),
                    result => result,
                },
            );
        Ok(shared?)
    }

    /// Sets all properties. Those of a file that are another client's are told, once.
    fn set<B: Clone>(
        &self,
        builder: B,
        set: impl Fn(B, (&str, &str)) -> Result<B, BuildError>,
    ) -> Result<B, Failure> {
        let set_or_tell = |builder: B, (key, value): (&str, &str)| match set(builder.clone(), (key, value)) {
            Err(error) if self.from_file.contains(key) && is_unused(&error, key) => {
                let mut unused = self.unused.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                if unused.insert(key.to_owned()) {
                    tell(format!("`{key}` of the file is of no use here"));
                }
                Ok(builder)
            }
            result => result,
        };
        Ok(self.properties.iter().try_fold(builder, set_or_tell)?)
    }
}

fn waiting(why: &str) {
    tell(format!("waiting: {why}"));
}

/// Whether it is another client's property, or about values as objects, of which there are none here.
fn is_unused(error: &BuildError, key: &str) -> bool {
    let serde = ["key.deserializer", "value.deserializer", "key.serializer", "value.serializer"];
    error.kind() == BuildErrorKind::ForeignProperty || serde.contains(&key)
}
