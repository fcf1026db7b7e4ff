//! The `kafka-protocol` crate, generated from Kafka 4.1's schema files, reads what we write and writes what we read.

use crate::{
    Direction, Subject, cases,
    model::{self, CLIENT_ID, CORRELATION_ID, Strangers},
    round_trip::{decode, encode},
    seeded,
};
use bytes::{Bytes, BytesMut};
use kafka_protocol::{
    messages::{ApiKey, RequestHeader, RequestKind, ResponseHeader, ResponseKind},
    protocol::{Decodable, Encodable},
};

/// What the other crate does not have: versions that were unstable in Kafka 4.1, or that came later.
const LACKING: &[(&str, i16)] = &[
    ("ApiVersionsRequest", 5),
    ("ApiVersionsResponse", 5),
    ("DeleteGroupsRequest", 3),
    ("DeleteGroupsResponse", 3),
    ("DescribeLogDirsRequest", 5),
    ("DescribeLogDirsResponse", 5),
    ("DescribeShareGroupOffsetsRequest", 1),
    ("DescribeShareGroupOffsetsResponse", 1),
    ("ListOffsetsRequest", 11),
    ("ListOffsetsResponse", 11),
    ("OffsetCommitRequest", 10),
    ("OffsetFetchRequest", 10),
    ("StreamsGroupDescribeRequest", 0),
    ("StreamsGroupDescribeRequest", 1),
    ("StreamsGroupDescribeResponse", 0),
    ("StreamsGroupDescribeResponse", 1),
    ("TxnOffsetCommitRequest", 6),
    ("TxnOffsetCommitResponse", 6),
    ("WriteTxnMarkersRequest", 2),
    ("WriteTxnMarkersResponse", 2),
];

/// Reads a frame with the other crate and writes it again; `None` where it lacks the version.
fn through_other(subject: Subject, frame: &[u8]) -> Option<Vec<u8>> {
    let key = ApiKey::try_from(subject.key as i16).ok()?;
    let (mut bytes, mut out) = (Bytes::copy_from_slice(frame), BytesMut::new());
    let version = subject.version;
    match subject.direction {
        Direction::Request => {
            let header_version = key.request_header_version(version);
            let header = RequestHeader::decode(&mut bytes, header_version).expect("a request's header");
            assert_eq!((header.request_api_key, header.request_api_version), (key as i16, version));
            assert_eq!(header.correlation_id, CORRELATION_ID);
            assert_eq!(header.client_id.as_deref(), CLIENT_ID);
            header.encode(&mut out, header_version).expect("a request's header");
            let message = RequestKind::decode(key, &mut bytes, version).ok()?;
            message.encode(&mut out, version).expect("what was read can be written");
        }
        Direction::Response => {
            let header_version = key.response_header_version(version);
            let header = ResponseHeader::decode(&mut bytes, header_version).expect("a response's header");
            assert_eq!(header.correlation_id, CORRELATION_ID);
            header.encode(&mut out, header_version).expect("a response's header");
            let message = ResponseKind::decode(key, &mut bytes, version).ok()?;
            message.encode(&mut out, version).expect("what was read can be written");
        }
    }
    assert!(bytes.is_empty(), "{subject}: {} bytes are left", bytes.len());
    Some(out.to_vec())
}

#[test]
fn the_other_crate_reads_what_we_write_and_we_read_what_it_writes() {
    seeded("the_other_crate_reads_what_we_write_and_we_read_what_it_writes", |rng| {
        for subject in Subject::all().cycle().take(cases()) {
            let values = model::random_fields(rng, subject.schema().fields);
            let drawn = model::frame(subject, &values, &mut Strangers::None);
            let message = decode(subject, &drawn).unwrap_or_else(|e| panic!("{subject}: {e}: {values:?}"));
            let ours = encode(subject, &message);
            let theirs = through_other(subject, &ours);
            if LACKING.contains(&(subject.schema().name, subject.version)) {
                assert_eq!(theirs, None, "{subject} need not be listed any more");
                continue;
            }
            let theirs = theirs.unwrap_or_else(|| panic!("{subject}: unreadable for the other: {message:?}"));
            assert_eq!(theirs, ours, "{subject}: {message:?}");
            assert_eq!(decode(subject, &theirs), Ok(message), "{subject}");
        }
    });
}
