//! The first contact: a client is built once a broker has answered.

use std::time::Duration;

use ottla_core::{Address, Machine, Metadata};

use crate::{driver::Shared, error::BuildError};

/// Waits for the first metadata, for as long as an operation may take.
pub(crate) async fn reach<M: Machine>(
    shared: &Shared<M>,
    metadata: impl Fn(&M) -> &Metadata,
    tried: &[Address],
    patience: Duration,
) -> Result<(), BuildError> {
    let known = shared.wait(|machine, _| metadata(machine).is_known().then_some(()));
    match tokio::time::timeout(patience, known).await {
        Ok(known) => Ok(known?),
        Err(_) => {
            let last = shared.inspect(|machine| metadata(machine).last_failure().cloned());
            Err(BuildError::unreachable(tried, patience, last.as_ref()))
        }
    }
}
