//! Why a record was given up, as texts.

use std::{borrow::Cow, error::Error, iter};

/// Why a record was given up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Failure<'a> {
    /// The group that read the record; `None` for a consumer without one.
    pub group: Option<Cow<'a, str>>,
    /// How often the record was handed to its handler.
    pub attempts: u32,
    /// The error and its causes, the outermost first.
    pub errors: Vec<ErrorText<'a>>,
}

/// One error of a chain of causes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorText<'a> {
    /// What it says.
    pub message: Cow<'a, str>,
    /// The name of its type, where it is known. Where Java has the name of an exception's class, this stands.
    pub type_name: Option<Cow<'a, str>>,
}

impl<'a> Failure<'a> {
    /// After so many attempts, of a consumer without a group, without an error: what is known is to be set.
    pub fn after(attempts: u32) -> Self {
        Self { attempts, ..Self::default() }
    }

    /// The group that read the record.
    #[must_use]
    pub fn of_group(self, group: impl Into<Cow<'a, str>>) -> Self {
        Self { group: Some(group.into()), ..self }
    }

    /// The error, and its causes by [`source`](Error::source), up to 32 of them. The types of their errors are not known by
    /// this; see [`ErrorText::of_type`].
    #[must_use]
    pub fn because_of(self, error: &(dyn Error + 'static)) -> Self {
        const CHAIN_MAX: usize = 32;
        let chain = iter::successors(Some(error), |&error| error.source()).take(CHAIN_MAX);
        Self { errors: chain.map(|error| ErrorText::new(error.to_string())).collect(), ..self }
    }

    /// The whole chain in a line, `: ` between the messages.
    pub(super) fn line(&self) -> String {
        let messages: Vec<&str> = self.errors.iter().map(|error| &*error.message).collect();
        messages.join(": ")
    }

    /// The whole chain, a line each, in the form in which Java prints one.
    pub(super) fn trace(&self) -> String {
        let lines = self.errors.iter().map(|error| match &error.type_name {
            Some(name) => format!("{name}: {}", error.message),
            None => error.message.to_string(),
        });
        lines.collect::<Vec<_>>().join("\nCaused by: ")
    }
}

impl<'a> ErrorText<'a> {
    /// An error of which only the message is known.
    pub fn new(message: impl Into<Cow<'a, str>>) -> Self {
        Self { message: message.into(), type_name: None }
    }

    /// The same, of this type.
    #[must_use]
    pub fn of_type(self, name: impl Into<Cow<'a, str>>) -> Self {
        Self { type_name: Some(name.into()), ..self }
    }
}
