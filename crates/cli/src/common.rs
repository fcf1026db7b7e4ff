//! Builders of clients, as the common flags want them.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use ottla::{
    Admin, AdminBuilder, BuildError, ConsumerBuilder, IsolationLevel, Producer, ProducerBuilder, Properties,
    config::is_secret, error::BuildErrorKind,
};

use crate::{
    args::Common,
    failure::{Failure, tell},
    unused::{self, Kind},
};

/// Where the cluster is when nobody says so.
const BOOTSTRAP_SERVERS: &str = "localhost:9092";
/// A person waits at the other end: shorter than the library's minute.
const API_TIMEOUT_MS: &str = "10000";

/// Whose view of a log is asked for, by the name that `--isolation` has.
pub(crate) fn isolation(named: Option<&str>) -> IsolationLevel {
    match named {
        Some("read_committed") => IsolationLevel::ReadCommitted,
        _ => IsolationLevel::ReadUncommitted,
    }
}

/// The properties of all clients of a command.
#[derive(Debug)]
pub(crate) struct Clients {
    properties: Properties,
    /// Those that a file set and nothing else did: a file may be for other tools too.
    from_file: BTreeSet<String>,
    /// Of these, those that were told to change nothing here.
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
        if let Some(read) = read_file(common)? {
            from_file.extend(read.iter().map(|(key, _)| key.to_owned()));
            properties.extend(read);
        }
        let mut given = Properties::new();
        for pair in &common.properties {
            given.push_pair(pair)?;
        }
        warn_of_secrets(&given);
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
        let builder =
            self.set(Kind::Consumer, defaults, |builder, property| builder.properties([property]))?;
        if builder.settings().allow_auto_create_topics() {
            let why = "the command line never creates a topic by reading it; use `ottla topics create`";
            return Err(Failure::usage(format!("`allow.auto.create.topics`: {why}")));
        }
        Ok(builder)
    }

    pub(crate) fn producer(&self) -> Result<ProducerBuilder, Failure> {
        let set = |builder: ProducerBuilder, property: (&str, &str)| builder.properties([property]);
        Ok(self.set(Kind::Producer, Producer::builder(), set)?.on_wait(waiting))
    }

    pub(crate) fn admin(&self) -> Result<AdminBuilder, Failure> {
        let set = |builder: AdminBuilder, property: (&str, &str)| builder.properties([property]);
        Ok(self.set(Kind::Admin, Admin::builder(), set)?.on_wait(waiting))
    }

    /// An admin client beside another client, which has checked the properties: those that are not an admin client's
    /// are that one's alone.
    pub(crate) fn admin_beside(&self) -> Result<AdminBuilder, Failure> {
        let set = |builder: AdminBuilder, property: (&str, &str)| builder.properties([property]);
        self.set_beside(Kind::Admin, Admin::builder(), set)
    }

    /// A producer beside a consumer, in the same way.
    pub(crate) fn producer_beside(&self) -> Result<ProducerBuilder, Failure> {
        let set = |builder: ProducerBuilder, property: (&str, &str)| builder.properties([property]);
        Ok(self.set_beside(Kind::Producer, Producer::builder(), set)?.on_wait(waiting))
    }

    fn set_beside<B: Clone>(
        &self,
        kind: Kind,
        builder: B,
        set: impl Fn(B, (&str, &str)) -> Result<B, BuildError>,
    ) -> Result<B, Failure> {
        let set = |builder: B, property: (&str, &str)| match set(builder.clone(), property) {
            Err(error)
                if error.kind() == BuildErrorKind::ForeignProperty
                    || self.is_unused(kind, &error, property.0) =>
            {
                Ok(builder)
            }
            result => result,
        };
        Ok(self.properties.iter().try_fold(builder, set)?)
    }

    /// Sets all properties. Those of a file that change nothing are told, once and in one line.
    fn set<B: Clone>(
        &self,
        kind: Kind,
        builder: B,
        set: impl Fn(B, (&str, &str)) -> Result<B, BuildError>,
    ) -> Result<B, Failure> {
        let mut untold = BTreeSet::new();
        let mut told = self.unused.lock().unwrap_or_else(PoisonError::into_inner);
        let set = |builder: B, (key, value): (&str, &str)| match set(builder.clone(), (key, value)) {
            Err(error) if self.is_unused(kind, &error, key) => {
                if told.insert(key.to_owned()) {
                    untold.insert(format!("`{key}`"));
                }
                Ok(builder)
            }
            result => result,
        };
        let builder = self.properties.iter().try_fold(builder, set)?;
        if !untold.is_empty() {
            let names: Vec<String> = untold.into_iter().collect();
            tell(format!("of no use here, of the file: {}", names.join(", ")));
        }
        Ok(builder)
    }

    /// Whether a property that was refused is of a file, and changes nothing: it is another client's, or of other tools.
    fn is_unused(&self, kind: Kind, error: &BuildError, key: &str) -> bool {
        self.from_file.contains(key)
            && match error.kind() {
                BuildErrorKind::ForeignProperty => true,
                BuildErrorKind::UnknownProperty | BuildErrorKind::UnsupportedProperty => {
                    unused::is_unused(kind, key)
                }
                _ => false,
            }
    }
}

fn waiting(why: &str) {
    tell(format!("waiting: {why}"));
}

/// The file that was named. A flag's stands for all of the environment's: secrets for one cluster are not sent to another.
fn read_file(common: &Common) -> Result<Option<Properties>, Failure> {
    if let Some(file) = &common.config {
        return Ok(Some(Properties::read(file)?));
    }
    let Some(file) = std::env::var_os("OTTLA_CONFIG").filter(|file| !file.is_empty()) else {
        return Ok(None);
    };
    Properties::read(&file).map(Some).map_err(|error| Failure::usage(format!("OTTLA_CONFIG: {error:#}")))
}

/// A process's arguments are no secret on its machine.
fn warn_of_secrets(given: &Properties) {
    let names: BTreeSet<&str> = given.iter().map(|(key, _)| key).filter(|key| is_secret(key)).collect();
    if !names.is_empty() {
        let names: Vec<&str> = names.into_iter().collect();
        let why = "others on this machine can see what is on a command line; --config FILE hides it";
        tell(format!("-X {}: {why}", names.join(", ")));
    }
}
