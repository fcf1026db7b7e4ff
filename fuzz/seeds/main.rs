//! Writes `fuzz/corpus`, of the project's own vectors: `fuzz/run.sh --seeds`. It writes the same each time.
//!
//! An input begins with what its target draws from it (`fuzz/targets`).

use std::{error::Error, fs, path::Path, time::Instant};

use fastrand::Rng;
use ottla_broker::{Cluster, Config, TopicSpec};
use ottla_protocol::{
    ApiKey, Now, Request, RequestHeader, Timestamp,
    codec::{MessageSchema, RecordData},
    messages::*,
    records::{BatchBuilder, Compression, Compressor, Header},
};

mod client;
#[path = "../../crates/protocol/tests/messages/model.rs"]
#[allow(dead_code, reason = "the tests' own")]
mod model;

/// One message in one version, as [`model`] has it.
#[derive(Debug, Clone, Copy)]
struct Subject {
    key: ApiKey,
    version: i16,
    direction: Direction,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Direction {
    Request,
    Response,
}

impl Subject {
    fn schema(self) -> MessageSchema {
        match self.direction {
            Direction::Request => self.key.request_schema(),
            Direction::Response => self.key.response_schema(),
        }
    }

    fn is_flexible(self) -> bool {
        self.version >= self.schema().flexible_since
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} version {}", self.schema().name, self.version)
    }
}

fn write(target: &str, name: &str, parts: &[&[u8]]) -> Result<(), Box<dyn Error>> {
    let folder = Path::new("corpus").join(target);
    fs::create_dir_all(&folder)?;
    Ok(fs::write(folder.join(name), parts.concat())?)
}

/// With its length before it.
fn sized(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

fn main() -> Result<(), Box<dyn Error>> {
    messages()?;
    records()?;
    group()?;
    sasl()?;
    data_dir()?;
    client::all()
}

/// Each API in its oldest version and its newest.
fn messages() -> Result<(), Box<dyn Error>> {
    for &key in ApiKey::ALL {
        let versions = key.versions();
        for version in [versions.min, versions.max] {
            let api = [key as i16 as u8, (version - versions.min) as u8];
            for direction in [Direction::Response, Direction::Request] {
                let subject = Subject { key, version, direction };
                // The shortest of some that are drawn, but for those that hold nothing.
                let frames = (0..20).map(|seed| {
                    let mut rng = Rng::with_seed(seed);
                    let values = model::random_fields(&mut rng, subject.schema().fields);
                    model::frame(subject, &values, &mut model::Strangers::None)
                });
                let frame = frames.filter(|frame| frame.len() > 40).min_by_key(Vec::len).unwrap_or_default();
                let name = format!("{key:?}-{version}");
                match direction {
                    Direction::Response => write("responses", &name, &[&api, &frame])?,
                    // Key and version come from the API that is drawn.
                    Direction::Request => {
                        let body = frame.get(4..).unwrap_or_default();
                        write("requests", &name, &[&[0], &api, &sized(body)])?;
                    }
                }
            }
        }
    }
    Ok(())
}

fn batch(codec: Compression) -> Vec<u8> {
    let mut builder = BatchBuilder::new(codec, 1 << 20);
    for offset in 0..3 {
        let header = Header { key: b"h", value: Some(b"v") };
        builder.append(offset, Some(b"key"), Some(b"a value, a value, a value"), [header]);
    }
    builder.finish(&mut Compressor::new())
}

fn records() -> Result<(), Box<dyn Error>> {
    for file in fs::read_dir("../crates/protocol/tests/golden")? {
        let file = file?;
        let name = file.file_name().to_string_lossy().into_owned();
        let bytes = fs::read(file.path())?;
        if name.ends_with(".bin") && bytes.len() < 2000 {
            write("batches", name.trim_end_matches(".bin"), &[&[6], &bytes])?;
        }
    }
    for (index, &codec) in Compression::ALL.iter().enumerate() {
        let mut packed = Vec::new();
        Compressor::new().compress(codec, None, b"something, something, something", &mut packed)?;
        // The remainder by the number of codecs is the codec.
        let index = if index == 0 { 5 } else { index as u8 };
        write("batches", &format!("packed-{codec}"), &[&[index, 1, 0, 2], &packed])?;
        let record = [&[4][..], &sized(b"key"), &sized(b"a value, a value"), &sized(b"header")].concat();
        write("batches", &format!("written-{codec}"), &[&[0, index], &record, &record])?;
    }
    for codec in 0..5 {
        let told = [2, 1, 0, 2, 1];
        let kinds = [9, 10, 0x29, 5, 0, 9, 6, 10];
        write("fetch", &format!("aborted-{codec}"), &[&[codec << 2 | 3], &told, &[8], &kinds])?;
        write(
            "fetch",
            &format!("damaged-{codec}"),
            &[&[1 << 5 | codec << 2], &told, &[8], &kinds, &[0, 90, 1]],
        )?;
    }
    Ok(())
}

fn group() -> Result<(), Box<dyn Error>> {
    let owned =
        |topic: &str| ConsumerProtocolTopicPartition { topic: topic.to_owned(), partitions: vec![0, 2] };
    let subscription = |topics: &[&str], user_data: Option<Vec<u8>>| {
        let message = ConsumerProtocolSubscription {
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            user_data,
            owned_partitions: vec![owned("t")],
            generation_id: 5,
            rack_id: Some("r".to_owned()),
        };
        sized(&encode_embedded(&message, 3))
    };
    // As the sticky assignor writes it: its last assignment, and the generation of it.
    let last = [
        &1_i32.to_be_bytes()[..],
        &[0, 1, b't'],
        &1_i32.to_be_bytes(),
        &1_i32.to_be_bytes(),
        &5_i32.to_be_bytes(),
    ];
    for (assignor, name) in ["range", "roundrobin", "sticky", "cooperative-sticky"].iter().enumerate() {
        let members = [subscription(&["t", "u"], Some(last.concat())), subscription(&["t"], None)].concat();
        write("embedded", name, &[&[assignor as u8], &members])?;
    }
    let assignment =
        ConsumerProtocolAssignment { assigned_partitions: vec![owned("t")], user_data: Some(vec![1]) };
    write("embedded", "assignment", &[&[4], &encode_embedded(&assignment, 3)])?;
    // The vectors of docs/processing.md, and what a parallel-consumer writes.
    for (base, shift, text) in [
        (0_u16, 0_u8, "ottla1rAAABCQ"),
        (0, 0, "ottla1rAAEBtxc"),
        (3, 0, "ottla1bAwBu"),
        (15625, 6, "ottla1rwIQ9CAGfwh4"),
        (0, 0, "ottla1bAAOqqqqqqg"),
        (5, 0, "ottla1bBQAH"),
        (3, 0, "bgABAAY="),
    ] {
        write("metadata", &text.replace('=', ""), &[&[shift << 2], &base.to_be_bytes(), text.as_bytes()])?;
    }
    write("metadata", "ranges", &[&[1, 0, 5, 1, 0, 9, 3, 1, 0]])?;
    write("metadata", "ranges-of-an-epoch", &[&[0x43, 0, 5, 1, 0, 9, 3, 1, 0]])?;
    Ok(())
}

fn sasl() -> Result<(), Box<dyn Error>> {
    let user = sized(b"alice");
    let server_first = sized(b"r=nonceserver,s=c2FsdHNhbHQ=,i=4096");
    write("sasl", "scram-proven", &[&[0, 0x12], &user, &server_first, &sized(b"v=")])?;
    write("sasl", "scram-unproven", &[&[0, 2], &user, &server_first, &sized(b"v=c2FsdA==")])?;
    write("sasl", "scram-refused", &[&[0, 0x0a], &user, &sized(b""), &sized(b"e=invalid-proof")])?;
    write("sasl", "plain", &[&[0, 0], &user, &sized(b"")])?;
    write("sasl", "oauth", &[&[0, 1], &user, &sized(b"{\"status\":\"invalid_token\"}"), &sized(b"")])?;
    write("sasl", "server-plain", &[&[1, 0], &sized(b"\0alice\0open sesame")])?;
    let client_first = sized(b"n,,n=alice,r=rOprNGfwEbeRWgbNEkqO");
    write(
        "sasl",
        "server-scram",
        &[&[1, 1], &client_first, &sized(b"c=biws,r=rOprNGfwEbeRWgbNEkqO,p=AAAA")],
    )?;
    write(
        "sasl",
        "server-oauth",
        &[&[1, 3], &sized(b"n,,\x01auth=Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.\x01\x01")],
    )?;
    Ok(())
}

/// The journal of a broker that was used.
fn data_dir() -> Result<(), Box<dyn Error>> {
    let folder = std::env::temp_dir().join(format!("ottla-seeds-{}", std::process::id()));
    let now = Now { mono: Instant::now(), wall: Timestamp(1_700_000_000_000) };
    let config = Config {
        data_dir: Some(folder.clone()),
        topics: vec![TopicSpec::new("t", 2)],
        seed: 1,
        ..Config::default()
    };
    let mut cluster = Cluster::open(config, now)?;
    let conn = cluster.handle_connect(1, now);
    let records = Some(RecordData::Owned(batch(Compression::None)));
    let partition = ProducePartitionData { index: 0, records };
    let topic =
        ProduceTopicData { name: "t".to_owned(), partition_data: vec![partition], ..Default::default() };
    let produce =
        ProduceRequest { acks: -1, timeout_ms: 1000, topic_data: vec![topic], ..Default::default() };
    let init = InitProducerIdRequest {
        transactional_id: Some("tx".to_owned()),
        transaction_timeout_ms: 60_000,
        ..Default::default()
    };
    let committed = OffsetCommitRequestPartition { committed_offset: 2, ..Default::default() };
    let commits =
        OffsetCommitRequestTopic { name: "t".to_owned(), partitions: vec![committed], ..Default::default() };
    let commit =
        OffsetCommitRequest { group_id: "g".to_owned(), topics: vec![commits], ..Default::default() };
    let requests: [(i16, Request); 3] = [(9, produce.into()), (4, init.into()), (8, commit.into())];
    for (version, request) in requests {
        let header = RequestHeader { key: request.key(), version, correlation_id: 1, client_id: None };
        cluster.handle_frame(conn, header.encode(&request)[4..].to_vec(), now);
    }
    drop(cluster);
    let journal = fs::read(folder.join("journal"))?;
    fs::remove_dir_all(folder)?;
    write("data_dir", "journal", &[&[1], &journal])?;
    // Each entry behind its length and two checksums, of four bytes each.
    let (mut rest, mut entries) = (journal.get(8..).unwrap_or_default(), Vec::new());
    while let Some((head, behind)) = rest.split_first_chunk::<12>() {
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let (entry, behind) = behind.split_at(length);
        entries.extend(sized(entry));
        rest = behind;
    }
    write("data_dir", "entries", &[&[0], &entries])
}
