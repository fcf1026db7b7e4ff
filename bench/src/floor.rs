//! The floor: what reading a topic costs with no client around it. One blocking fetch at a time, the brokers in turn;
//! each batch's CRC is checked, its records are decompressed and walked. No API, no prefetch, no other thread.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, bail, ensure};
use ottla_bench_child::{Lap, Log, Meter};
use ottla_protocol::messages::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, MetadataRequest, MetadataRequestTopic,
    MetadataResponse,
};
use ottla_protocol::records::{BatchHeader, Compression, Decompressor, RecordWalk, check_crc, walk_headers};
use ottla_protocol::{Request, RequestHeader, Response, ResponseHeader, TopicId};

const METADATA_VERSION: i16 = 12;
const FETCH_VERSION: i16 = 17;
const PARTITION_MAX_BYTES: i32 = 1 << 20;
const MAX_DECOMPRESSED: usize = 256 << 20;

/// Reads the first `records` records of a topic, all partitions from offset 0.
pub(crate) fn read(bootstrap: &str, topic: &str, records: u64, fetch_max_bytes: i32) -> Result<Lap> {
    let mut brokers = connect(bootstrap, topic)?;
    let mut meter = Meter::new();
    let (mut log, mut fetched) = (Log::default(), 0);
    let mut decompressor = Decompressor::new();
    let mut decompressed = Vec::new();
    while meter.records < records {
        for broker in &mut brokers {
            let response = broker.fetch(fetch_max_bytes)?;
            fetched += broker.connection.size as u64;
            let frame = broker.connection.frame();
            for partition in response.responses.into_iter().flat_map(|topic| topic.partitions) {
                ensure!(partition.error_code.is_ok(), "fetch: {:?}", partition.error_code);
                let bytes = partition.records.as_ref().map_or(&[][..], |records| records.bytes(frame));
                for batch in walk_headers(bytes) {
                    let (range, header) = batch?;
                    meter.begin()?;
                    let batch = bytes.get(range).unwrap_or_default();
                    check_crc(batch)?;
                    let packed = batch.get(BatchHeader::SIZE..).unwrap_or_default();
                    let unpacked = match header.compression()? {
                        Compression::None => packed,
                        codec => {
                            decompressor.decompress(codec, packed, &mut decompressed, MAX_DECOMPRESSED)?;
                            &decompressed
                        }
                    };
                    for record in RecordWalk::new(&header, unpacked) {
                        let record = record?;
                        meter.add(record.key, record.value);
                    }
                    count(&mut log, batch.len(), unpacked.len());
                    broker.positions.insert(partition.partition_index, header.next_offset());
                }
            }
        }
    }
    Ok(Lap { fetched: Some(fetched), log: Some(log), ..meter.end()? })
}

fn count(log: &mut Log, batch: usize, decompressed: usize) {
    log.batches += 1;
    log.bytes += batch as u64;
    log.largest_batch = log.largest_batch.max(batch as u64);
    log.largest_decompressed = log.largest_decompressed.max(decompressed as u64);
}

/// A leader of some partitions, and where to go on in each.
struct Broker {
    connection: Connection,
    topic: TopicId,
    positions: BTreeMap<i32, i64>,
}

impl Broker {
    fn fetch(&mut self, max_bytes: i32) -> Result<FetchResponse> {
        let partition = |(&partition, &fetch_offset): (&i32, &i64)| FetchPartition {
            partition,
            fetch_offset,
            partition_max_bytes: PARTITION_MAX_BYTES,
            ..Default::default()
        };
        let partitions = self.positions.iter().map(partition).collect();
        let request = FetchRequest {
            max_wait_ms: 500,
            min_bytes: 1,
            max_bytes,
            topics: vec![FetchTopic { topic_id: self.topic, partitions, ..Default::default() }],
            ..Default::default()
        };
        match self.connection.ask(FETCH_VERSION, request.into())? {
            Response::Fetch(response) if response.error_code.is_ok() => Ok(response),
            response => bail!("no answer to a fetch: {response:?}"),
        }
    }
}

/// A connection to each leader.
fn connect(bootstrap: &str, topic: &str) -> Result<Vec<Broker>> {
    let first = bootstrap.split(',').next().unwrap_or_default();
    let metadata = metadata(first, topic)?;
    let found = metadata.topics.first().filter(|topic| topic.error_code.is_ok());
    let topic = found.with_context(|| format!("topic {topic}: {:?}", metadata.topics))?;
    let mut leaders: BTreeMap<i32, BTreeMap<i32, i64>> = BTreeMap::new();
    for partition in &topic.partitions {
        leaders.entry(partition.leader_id).or_default().insert(partition.partition_index, 0);
    }
    let connect = |(leader, positions)| {
        let node = metadata.brokers.iter().find(|broker| broker.node_id == leader);
        let node = node.with_context(|| format!("no leader {leader}"))?;
        let connection = Connection::open(&format!("{}:{}", node.host, node.port))?;
        Ok(Broker { connection, topic: topic.topic_id, positions })
    };
    leaders.into_iter().map(connect).collect()
}

fn metadata(address: &str, topic: &str) -> Result<MetadataResponse> {
    let topic = MetadataRequestTopic { name: Some(topic.to_owned()), ..Default::default() };
    let request =
        MetadataRequest { topics: Some(vec![topic]), allow_auto_topic_creation: false, ..Default::default() };
    match Connection::open(address)?.ask(METADATA_VERSION, request.into())? {
        Response::Metadata(response) => Ok(response),
        response => bail!("no answer to metadata: {response:?}"),
    }
}

pub(crate) struct Connection {
    stream: TcpStream,
    /// As large as the largest response, of which the last is in front.
    buffer: Vec<u8>,
    size: usize,
    correlation_id: i32,
}

impl Connection {
    pub(crate) fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| address.to_owned())?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new(), size: 0, correlation_id: 0 })
    }

    fn frame(&self) -> &[u8] {
        self.buffer.get(..self.size).unwrap_or_default()
    }

    pub(crate) fn ask(&mut self, version: i16, request: Request) -> Result<Response> {
        self.correlation_id += 1;
        let key = request.key();
        let client_id = Some("floor".to_owned());
        let header = RequestHeader { key, version, correlation_id: self.correlation_id, client_id };
        self.stream.write_all(&header.encode(&request))?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        self.size = u32::from_be_bytes(length) as usize;
        if self.buffer.len() < self.size {
            self.buffer.resize(self.size, 0);
        }
        self.stream.read_exact(self.buffer.get_mut(..self.size).unwrap_or_default())?;
        Ok(ResponseHeader::decode(key, version, self.frame())?.1)
    }
}
