//! The first contact: a client is built once a broker has answered, unless it is not to wait for that.

use std::time::{Duration, Instant};

use ottla_core::{Machine, Metadata};

use crate::{config::common::CommonConfig, error::BuildError, shared::Shared};

/// How long nothing is said of a wait.
const SILENT: Duration = Duration::from_millis(1500);
/// How often it is looked whether what is waited for has changed.
const LOOK: Duration = Duration::from_millis(250);

/// Waits for the first metadata, for as long as an operation may take; or not at all.
pub(crate) async fn reach<M: Machine>(
    shared: &Shared<M>,
    metadata: impl Fn(&M) -> &Metadata,
    config: &CommonConfig,
) -> Result<(), BuildError> {
    if !config.wait_for_broker {
        return Ok(());
    }
    let last = || shared.inspect(|machine| metadata(machine).last_failure().cloned());
    let known = shared.wait(|machine, now| match machine.refusal(now) {
        Some(refused) => Some(Err(BuildError::refused(refused))),
        None => metadata(machine).is_known().then_some(Ok(())),
    });
    let begun = Instant::now();
    let patience = config.default_api_timeout;
    let mut known = std::pin::pin!(known);
    let mut told = None;
    loop {
        let waited = begun.elapsed();
        if waited >= patience {
            return Err(BuildError::unreachable(&config.bootstrap_servers, patience, last().as_ref()));
        }
        if let Ok(known) = tokio::time::timeout(LOOK.min(patience - waited), &mut known).await {
            return known?;
        }
        let Some(tell) = config.on_wait.0.as_ref().filter(|_| begun.elapsed() >= SILENT) else { continue };
        let why = match last() {
            Some((address, why)) => format!("no broker has answered yet; last {address}: {why}"),
            None => match shared.with(|machine, now| machine.first_contact(now)) {
                Some((address, stage)) => format!("no broker has answered yet; {address}: {stage}"),
                None => "no broker has answered yet".to_owned(),
            },
        };
        if told.as_ref() != Some(&why) {
            tell(&why);
            told = Some(why);
        }
    }
}
