//! How a command fails: one line on stderr, and a status.

use std::{collections::BTreeMap, error::Error as _, fmt::Display, io, process::ExitCode};

use ottla::{
    BuildError, ProcessError, SubscriptionError,
    error::{
        AdminError, BuildErrorKind, CloseError, CommitError, OffsetsError, Permission, RecvError, SeekError,
        SendError, TransactionError,
    },
};

use crate::output::harmless;

/// Why a command ends early.
#[derive(Debug)]
pub(crate) struct Failure {
    status: u8,
    /// Nothing where nobody is left to be told.
    message: String,
}

impl Failure {
    /// It was tried, and failed.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { status: 1, message: message.into() }
    }

    /// It was asked for in a way that cannot be.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { status: 2, message: message.into() }
    }

    /// A write to stdout failed. That its reader has gone is the reader's way to say that it has enough.
    pub(crate) fn stdout(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self { status: 0, message: String::new() },
            _ => Self::failed(format!("stdout: {error}; nothing more is written")),
        }
    }

    /// Tells it, and turns into the process's status.
    pub(crate) fn exit(self) -> ExitCode {
        if !self.message.is_empty() {
            tell(&self.message);
        }
        ExitCode::from(self.status)
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// What failed where several things were asked for.
#[derive(Debug, Default)]
pub(crate) struct Failures(Vec<Failure>);

impl Failures {
    pub(crate) fn add(&mut self, failure: impl Into<Failure>) {
        self.0.push(failure.into());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the failures out of the results of several things.
    pub(crate) fn take_from<K: Ord, T>(
        &mut self,
        results: impl IntoIterator<Item = (K, Result<T, AdminError>)>,
    ) -> BTreeMap<K, T> {
        let mut good = BTreeMap::new();
        for (key, result) in results {
            match result {
                Ok(value) => drop(good.insert(key, value)),
                Err(error) => self.add(error),
            }
        }
        good
    }

    /// Each is told, the last as the command's end.
    pub(crate) fn end(mut self) -> Result<(), Failure> {
        let last = self.0.pop();
        self.0.iter().for_each(|failure| tell(&failure.message));
        last.map_or(Ok(()), Err)
    }

    /// What is to be told of each, where the command goes on.
    pub(crate) fn into_notes(self) -> impl Iterator<Item = String> {
        self.0.into_iter().map(|failure| failure.message)
    }
}

/// What is told of a permission alone, without what was refused for want of it.
pub(crate) fn missing(permission: &Permission) -> String {
    format!("{permission} is missing")
}

/// One line on stderr.
pub(crate) fn tell(message: impl Display) {
    let message = message.to_string();
    let line: Vec<&str> = message.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    eprintln!("ottla: {}", harmless(&line.join(" ")));
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        match is_usage(&error) {
            true => Self::usage(format!("{error:#}")),
            false => Self::failed(format!("{error:#}")),
        }
    }
}

impl From<ProcessError> for Failure {
    fn from(error: ProcessError) -> Self {
        match error.source().and_then(|source| source.downcast_ref()).is_some_and(is_usage) {
            true => Self::usage(format!("{error:#}")),
            false => Self::failed(format!("{error:#}")),
        }
    }
}

fn is_usage(error: &BuildError) -> bool {
    matches!(
        error.kind(),
        BuildErrorKind::UnknownProperty
            | BuildErrorKind::ForeignProperty
            | BuildErrorKind::UnsupportedProperty
            | BuildErrorKind::InvalidValue
            | BuildErrorKind::MissingProperty
            | BuildErrorKind::InvalidFile
    )
}

macro_rules! failed {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::failed(format!("{error:#}"))
            }
        }
    )*};
}

failed!(
    AdminError,
    CloseError,
    CommitError,
    OffsetsError,
    RecvError,
    SeekError,
    SendError,
    SubscriptionError,
    TransactionError
);
