//! Which broker coordinates a group. All groups of a run are given names that one broker coordinates: its death hits
//! them alike, and hits each where it hurts most.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Result, bail};
use ottla_conformance::wait::until_some;
use ottla_protocol::messages::FindCoordinatorRequest;
use ottla_protocol::{ApiKey, RequestHeader, Response, ResponseHeader};

const VERSION: i16 = 4;
/// The first question makes Kafka create the topic of offsets.
const WITHIN: Duration = Duration::from_secs(60);

/// A group's coordinator.
pub(super) fn of(bootstrap: &str, group: &str) -> Result<i32> {
    let address = bootstrap.split(',').next().unwrap_or_default();
    let mut connection = TcpStream::connect(address)?;
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

fn ask(connection: &mut TcpStream, group: &str) -> Result<Option<i32>> {
    let request = FindCoordinatorRequest { coordinator_keys: vec![group.to_owned()], ..Default::default() };
    let key = ApiKey::FindCoordinator;
    let header = RequestHeader { key, version: VERSION, correlation_id: 0, client_id: None };
    connection.write_all(&header.encode(&request.into()))?;
    let mut length = [0; 4];
    connection.read_exact(&mut length)?;
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    connection.read_exact(&mut frame)?;
    match ResponseHeader::decode(key, VERSION, &frame)?.1 {
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
