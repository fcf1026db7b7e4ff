//! What one node knows of its cluster: it answers within a millisecond, where a tool takes a second.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use ottla_protocol::messages::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseTopic,
};
use ottla_protocol::{ApiKey, RequestHeader, Response, ResponseHeader};

const PATIENCE: Duration = Duration::from_secs(2);
const VERSION: i16 = 4;
/// Far more than a test's cluster needs.
const LONGEST: u32 = 1 << 20;

/// How many live brokers the node at `address` knows.
pub(super) fn brokers_known_to(address: SocketAddr) -> io::Result<usize> {
    Ok(ask(address, &[])?.brokers.len())
}

/// Whether the node at `address` knows a topic and a leader for each of its partitions.
pub(super) fn knows(address: SocketAddr, topic: &str) -> io::Result<bool> {
    let complete = |topic: &MetadataResponseTopic| {
        topic.error_code.is_ok() && topic.partitions.iter().all(|partition| partition.error_code.is_ok())
    };
    Ok(ask(address, &[topic])?.topics.iter().all(complete))
}

fn ask(address: SocketAddr, topics: &[&str]) -> io::Result<MetadataResponse> {
    let named = |name: &&str| MetadataRequestTopic { name: Some((*name).to_owned()), ..Default::default() };
    let request = MetadataRequest {
        topics: Some(topics.iter().map(named).collect()),
        allow_auto_topic_creation: false,
        ..Default::default()
    };
    let key = ApiKey::Metadata;
    let header = RequestHeader { key, version: VERSION, correlation_id: 0, client_id: None };
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&header.encode(&request.into()))?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > LONGEST {
        return Err(io::Error::other(format!("an answer of {length} bytes")));
    }
    let mut frame = vec![0; length as usize];
    stream.read_exact(&mut frame)?;
    match ResponseHeader::decode(key, VERSION, &frame).map_err(io::Error::other)?.1 {
        Response::Metadata(metadata) => Ok(metadata),
        other => Err(io::Error::other(format!("not metadata: {other:?}"))),
    }
}
