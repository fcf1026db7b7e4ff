//! In the place of the command line's: what is refused.

#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    pub(crate) fn told(&self) -> &str {
        &self.0
    }
}
