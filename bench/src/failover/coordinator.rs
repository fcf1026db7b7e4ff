//! Which broker coordinates a group. All groups of a run are given names that one broker coordinates: its death hits
//! them alike, and hits each where it hurts most.

use anyhow::{Result, bail};
use ottla_conformance::wait::until_some;
use ottla_protocol::Response;
use ottla_protocol::messages::FindCoordinatorRequest;
use std::time::Duration;

use crate::floor::Connection;

const VERSION: i16 = 4;
/// The first question makes Kafka create the topic of offsets.
const WITHIN: Duration = Duration::from_secs(60);

/// A group's coordinator.
pub(super) fn of(bootstrap: &str, group: &str) -> Result<i32> {
    let address = bootstrap.split(',').next().unwrap_or_default();
    let mut connection = Connection::open(address)?;
    let mut failed = None;
    let found = until_some(WITHIN, "a coordinator", || match ask(&mut connection, group) {
        Ok(found) => found,
        Err(error) => {
            failed = Some(error);
            Some(-1)
        }
    })?;
    failed.map_or(Ok(found), Err)
}

fn ask(connection: &mut Connection, group: &str) -> Result<Option<i32>> {
    let request = FindCoordinatorRequest { coordinator_keys: vec![group.to_owned()], ..Default::default() };
    match connection.ask(VERSION, request.into())? {
        Response::FindCoordinator(response) => {
            let found = response.coordinators.first().filter(|found| found.error_code.is_ok());
            Ok(found.map(|found| found.node_id))
        }
        response => bail!("no answer to FindCoordinator: {response:?}"),
    }
}

/// A name that starts with `prefix`, of a group that `node` coordinates.
pub(super) fn name(bootstrap: &str, prefix: &str, node: i32) -> Result<String> {
    for suffix in 0..100 {
        let name = format!("{prefix}-{suffix}");
        if of(bootstrap, &name)? == node {
            return Ok(name);
        }
    }
    bail!("node {node} coordinates no group")
}
