//! Whom a builder tells what it waits for.

use std::{fmt, sync::Arc};

type Tell = dyn Fn(&str) + Send + Sync;

/// Told of a wait that takes long, if anybody is.
#[derive(Clone, Default)]
pub(crate) struct OnWait(pub(crate) Option<Arc<Tell>>);

impl fmt::Debug for OnWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OnWait({})", if self.0.is_some() { "set" } else { "not set" })
    }
}
