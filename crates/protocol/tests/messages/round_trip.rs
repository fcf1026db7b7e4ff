//! What one encoder writes, another reads: every message, every version, and from each version to each other.

use crate::{
    Direction, Subject, cases,
    model::{self, CLIENT_ID, CORRELATION_ID, Form, Strangers},
    seeded,
};
use ottla_protocol::{
    ApiKey, DecodeError, Request, RequestHeader, Response, ResponseHeader, codec::RecordData,
};

/// A decoded message of either direction.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Decoded {
    Request(Request),
    Response(Response),
}

/// Reads a frame without its length with the crate's decoders.
pub(crate) fn decode(subject: Subject, frame: &[u8]) -> Result<Decoded, DecodeError> {
    let Subject { key, version, .. } = subject;
    let mut decoded = match subject.direction {
        Direction::Request => {
            let (header, request) = RequestHeader::decode(frame)?;
            assert_eq!((header.key, header.version), (key, version));
            assert_eq!(header.correlation_id, CORRELATION_ID);
            Decoded::Request(request)
        }
        Direction::Response => {
            let (header, response) = ResponseHeader::decode(key, version, frame)?;
            assert_eq!(header.correlation_id, CORRELATION_ID);
            Decoded::Response(response)
        }
    };
    decoded.own_records(frame);
    Ok(decoded)
}

/// A frame without its length, written by the crate's encoders.
pub(crate) fn encode(subject: Subject, message: &Decoded) -> Vec<u8> {
    let Subject { key, version, .. } = subject;
    let correlation_id = CORRELATION_ID;
    let frame = match message {
        Decoded::Request(request) => {
            RequestHeader { key, version, correlation_id, client_id: CLIENT_ID.map(str::to_owned) }
                .encode(request)
        }
        Decoded::Response(response) => ResponseHeader { key, version, correlation_id }.encode(response),
    };
    let (length, frame) = frame.split_first_chunk().expect("a frame begins with its length");
    assert_eq!(u32::from_be_bytes(*length) as usize, frame.len());
    frame.to_vec()
}

impl Decoded {
    /// Only owned records can be written.
    fn own_records(&mut self, frame: &[u8]) {
        let own = |records: &mut Option<RecordData>| {
            *records = records.take().map(|records| RecordData::Owned(records.bytes(frame).to_vec()));
        };
        match self {
            Self::Request(Request::Produce(produce)) => {
                let partitions = produce.topic_data.iter_mut().flat_map(|topic| &mut topic.partition_data);
                partitions.for_each(|partition| own(&mut partition.records));
            }
            Self::Response(Response::Fetch(fetch)) => {
                let partitions = fetch.responses.iter_mut().flat_map(|topic| &mut topic.partitions);
                partitions.for_each(|partition| own(&mut partition.records));
            }
            _ => {}
        }
    }
}

#[test]
fn what_a_second_encoder_writes_comes_back_byte_for_byte() {
    seeded("what_a_second_encoder_writes_comes_back_byte_for_byte", |rng| {
        for subject in Subject::all().cycle().take(cases()) {
            let values = model::random_fields(rng, subject.schema().fields);
            let frame = model::frame(subject, &values, &mut Strangers::None);
            let decoded = decode(subject, &frame).unwrap_or_else(|e| panic!("{subject}: {e}: {values:?}"));
            let encoded = encode(subject, &decoded);
            assert_eq!(encoded, frame, "{subject}: {decoded:?}");
            assert_eq!(decode(subject, &encoded).as_ref(), Ok(&decoded), "{subject}");
        }
    });
}

/// An array is refused where its elements could not fit; so the least that an element takes must not be overrated.
#[test]
fn arrays_of_the_smallest_elements_are_read() {
    for subject in Subject::all() {
        for depth in 0..5 {
            let values = model::smallest_fields(subject.schema().fields, depth);
            let frame = model::frame(subject, &values, &mut Strangers::None);
            let decoded = decode(subject, &frame).unwrap_or_else(|e| panic!("{subject}, depth {depth}: {e}"));
            assert_eq!(encode(subject, &decoded), frame, "{subject}, depth {depth}");
        }
    }
}

#[test]
fn a_field_keeps_its_value_in_every_version_that_has_it_and_else_has_its_default() {
    seeded("a_field_keeps_its_value_in_every_version_that_has_it_and_else_has_its_default", |rng| {
        for read in Subject::all() {
            let fields = read.schema().fields;
            let values = model::random_fields(rng, fields);
            let decoded = decode(read, &model::frame(read, &values, &mut Strangers::None))
                .unwrap_or_else(|e| panic!("{read}: {e}: {values:?}"));
            let kept = model::restricted(&values, fields, Form::of(read));
            for version in read.key.versions().min..=read.key.versions().max {
                let written = read.in_version(version);
                let expected = model::frame(written, &kept, &mut Strangers::None);
                let encoded = encode(written, &decoded);
                assert_eq!(encoded, expected, "read as {read}, written as {written}: {decoded:?}");
            }
        }
    });
}

#[test]
fn tagged_fields_of_a_later_kafka_are_passed_over() {
    seeded("tagged_fields_of_a_later_kafka_are_passed_over", |rng| {
        for subject in Subject::all() {
            let values = model::random_fields(rng, subject.schema().fields);
            let plain = model::frame(subject, &values, &mut Strangers::None);
            let strange = model::frame(subject, &values, &mut Strangers::Some(rng));
            assert_eq!(decode(subject, &strange), decode(subject, &plain), "{subject}");
        }
    });
}

#[test]
fn the_answer_to_api_versions_has_no_tagged_fields_in_its_header() {
    let header = ResponseHeader { key: ApiKey::ApiVersions, version: 4, correlation_id: 7 };
    let frame = header.encode(&Response::ApiVersions(Default::default()));
    assert_eq!(frame, [0, 0, 0, 12, 0, 0, 0, 7, 0, 0, 1, 0, 0, 0, 0, 0]);
}

#[test]
fn both_messages_of_an_api_have_the_same_versions() {
    for key in ApiKey::ALL {
        let (request, response) = (key.request_schema(), key.response_schema());
        assert_eq!(request.versions, response.versions, "{key:?}");
        assert_eq!(request.flexible_since, response.flexible_since, "{key:?}");
    }
}
