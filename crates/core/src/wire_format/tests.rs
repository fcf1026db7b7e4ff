//! What Confluent's Python serializers wrote is read; whatever else there is, is an error.

use super::*;

const AVRO_GUID: &str = "703728f3af1e548a663dde737237d988";
const PROTOBUF_GUID: &str = "05d83a2ce367f05471f5d6faf63a6559";

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

fn header<'a>(key: &'a str, value: Option<&'a [u8]>) -> Result<Header<'a>, DecodeError> {
    Ok(Header { key: key.as_bytes(), value })
}

fn prefixed(bytes: &[u8]) -> Result<Framed<'_>, WireFormatError> {
    Framed::read(bytes, [], Field::Value, SchemaIdIn::default())
}

/// The indexes and the data of a message behind an id.
fn message(behind_the_id: &str) -> Result<(Vec<u32>, Vec<u8>), WireFormatError> {
    let bytes = hex(&format!("0000000001{behind_the_id}"));
    let (indexes, data) = prefixed(&bytes)?.message()?;
    Ok((indexes.as_slice().to_vec(), data.to_vec()))
}

#[test]
fn an_id_stands_in_front_of_the_data() {
    let bytes = hex("000000000104616202");
    let framed = prefixed(&bytes).unwrap();
    assert_eq!(framed.schema(), SchemaId::Id(1));
    assert_eq!(framed.data().unwrap(), hex("04616202"));
    // A top-level `bytes` of none.
    assert_eq!(prefixed(&hex("00ffffffff")).unwrap().data(), Ok(&[][..]));
}

#[test]
fn a_message_of_protobuf_is_named_by_its_path() {
    let data = hex("0a0261621001");
    let with = |path: &str| message(&format!("{path}0a0261621001"));
    for (path, indexes) in [
        ("00", &[0][..]),
        ("0200", &[0]),
        ("0202", &[1]),
        ("040000", &[0, 0]),
        ("040002", &[0, 1]),
        ("06000000", &[0, 0, 0]),
        ("040200", &[1, 0]),
        ("028001", &[64]),
        ("028e01", &[71]),
    ] {
        assert_eq!(with(path), Ok((indexes.to_vec(), data.clone())), "{path}");
    }
    assert_eq!(message("00"), Ok((vec![0], vec![])), "an empty first message");
}

#[test]
fn a_path_that_is_none_is_an_error() {
    // Negative counts; a negative index; ends; a count that nothing backs; a varint without an end.
    for path in ["01", "ff01", "0201", "02", "", "80", "808080808000", "fe01", "c09a0c00", "feffffff0f00"] {
        assert_eq!(message(path), Err(WireFormatError::Indexes), "{path}");
    }
}

#[test]
fn a_guid_stands_in_the_header_and_the_payload_is_bare() {
    let (name, payload) = (hex(&format!("01{AVRO_GUID}")), hex("086162636402"));
    let headers = [header("trace", None), header("__value_schema_id", Some(&name))];
    let framed = Framed::read(&payload, headers, Field::Value, SchemaIdIn::default()).unwrap();
    assert_eq!(framed.schema().to_string(), "703728f3-af1e-548a-663d-de737237d988");
    assert_eq!(framed.data(), Ok(&payload[..]));
}

#[test]
fn the_path_of_a_message_is_in_the_header_in_header_form() {
    let payload = hex("0a06616263646566");
    for (path, indexes) in [("00", &[0][..]), ("0202", &[1]), ("040002", &[0, 1])] {
        let name = hex(&format!("01{PROTOBUF_GUID}{path}"));
        let headers = [header("__key_schema_id", Some(&name))];
        let framed = Framed::read(&payload, headers, Field::Key, SchemaIdIn::default()).unwrap();
        let (read, data) = framed.message().unwrap();
        assert_eq!((read.as_slice(), data), (indexes, &payload[..]));
        // Read as Avro, the path is one too many.
        assert_eq!(framed.data(), Err(WireFormatError::LeftOver(path.len() / 2)));
    }
    let name = hex(&format!("01{PROTOBUF_GUID}00ff"));
    let headers = [header("__key_schema_id", Some(&name))];
    let framed = Framed::read(&payload, headers, Field::Key, SchemaIdIn::default()).unwrap();
    assert_eq!(framed.message(), Err(WireFormatError::LeftOver(1)));
}

#[test]
fn the_last_header_counts_and_a_null_one_or_the_other_fields_does_not() {
    let (one, two) = (hex("0000000001"), hex("0000000002"));
    let payload = hex("000000000904616202");
    let read = |headers: Vec<_>, place| {
        Framed::read(&payload, headers, Field::Value, place).map(|framed| framed.schema())
    };
    let twice = || vec![header("__value_schema_id", Some(&one)), header("__value_schema_id", Some(&two))];
    assert_eq!(read(twice(), SchemaIdIn::HeaderOrPrefix), Ok(SchemaId::Id(2)));
    assert_eq!(read(twice(), SchemaIdIn::Prefix), Ok(SchemaId::Id(9)));
    let null = vec![header("__value_schema_id", None)];
    assert_eq!(read(null, SchemaIdIn::HeaderOrPrefix), Ok(SchemaId::Id(9)));
    let other = vec![header("__key_schema_id", Some(&one))];
    assert_eq!(read(other, SchemaIdIn::HeaderOrPrefix), Ok(SchemaId::Id(9)));
}

#[test]
fn a_guid_may_stand_in_front_of_the_payload_and_an_id_in_the_header() {
    let payload = hex(&format!("01{AVRO_GUID}02"));
    let framed = prefixed(&payload).unwrap();
    assert!(matches!(framed.schema(), SchemaId::Guid(_)));
    assert_eq!(framed.data(), Ok(&[2][..]));
    let name = hex("0000000007");
    let headers = [header("__value_schema_id", Some(&name))];
    let framed = Framed::read(&[2], headers, Field::Value, SchemaIdIn::default()).unwrap();
    assert_eq!((framed.schema(), framed.data()), (SchemaId::Id(7), Ok(&[2][..])));
}

#[test]
fn bytes_without_a_name_are_told_with_their_place() {
    let told = |bytes: &[u8]| prefixed(bytes).unwrap_err().to_string();
    assert_eq!(told(b"{}"), "the payload begins with byte 123, where a schema's id begins with 0 or 1");
    assert_eq!(told(&[0, 0, 0, 1]), "the payload has 4 bytes, which is no schema's id");
    assert_eq!(told(&[]), "the payload has 0 bytes, which is no schema's id");
    for (name, expected) in [
        (&[][..], "__value_schema_id has 0 bytes, which is no schema's id"),
        (&[1, 2, 3], "__value_schema_id has 3 bytes, which is no schema's id"),
        (&[9], "__value_schema_id begins with byte 9, where a schema's id begins with 0 or 1"),
    ] {
        let headers = [header("__value_schema_id", Some(name))];
        let error = Framed::read(&[0; 9], headers, Field::Value, SchemaIdIn::default()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

/// Replay: `SEED=N cargo test -p ottla-core wire_format`.
#[test]
fn whatever_the_bytes_are_they_are_read_or_refused_and_what_is_read_lies_within_them() {
    let seeds = match std::env::var("SEED") {
        Ok(seed) => seed.parse().unwrap()..=seed.parse().unwrap(),
        Err(_) => 0..=2_000,
    };
    for seed in seeds {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut bytes = |most| -> Vec<u8> {
            let length = rng.usize(0..most);
            // Small ones are what formats are made of.
            (0..length).map(|_| if rng.bool() { rng.u8(0..3) } else { rng.u8(..) }).collect()
        };
        let (payload, name) = (bytes(40), bytes(24));
        let is_within = |data: &[u8]| payload.as_slice().ends_with(data);
        let headers = [header("__value_schema_id", Some(&name))];
        for framed in
            [prefixed(&payload), Framed::read(&payload, headers, Field::Value, SchemaIdIn::HeaderOrPrefix)]
                .into_iter()
                .flatten()
        {
            assert!(framed.data().is_ok_and(is_within) || framed.data().is_err(), "SEED={seed}");
            if let Ok((indexes, data)) = framed.message() {
                assert!(is_within(data), "SEED={seed}");
                assert!((1..=100).contains(&indexes.as_slice().len()), "SEED={seed}");
            }
        }
    }
}
