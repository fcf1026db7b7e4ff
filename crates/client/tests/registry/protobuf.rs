//! What Confluent's Python serializer wrote in Protobuf is read as told, and what is damaged fails as a record.

use base64::{Engine as _, prelude::BASE64_STANDARD as BASE64};
use ottla::{
    Deserializer,
    schema_registry::{
        DeserializeError, Protobuf,
        prost_reflect::{
            DynamicMessage, ReflectMessage as _, Value,
            prost::Message as _,
            prost_types::{
                DescriptorProto, FieldDescriptorProto, FileDescriptorProto,
                field_descriptor_proto::{Label, Type},
            },
        },
    },
};
use serde_json::json;

use crate::{hex, stub::Stub};

const FILE: &str = r#"
    syntax = "proto3";
    package x.y;
    message First { string s = 1; int32 i = 2; message In { string s = 1; } message In2 { string t = 1; } }
    message Second { string s = 1; int32 i = 2; First first = 3; Second next = 4; repeated bool flags = 5; map<string, Second> m = 6; }
"#;

fn schema(text: &str) -> serde_json::Value {
    json!({"schema": text, "schemaType": "PROTOBUF"})
}

fn messages(text: &str) -> (Stub, Protobuf) {
    let stub = Stub::with([("/schemas/ids/1", schema(text))]);
    let client = stub.client();
    (stub, Protobuf::new(client))
}

/// The message of these bytes behind an id.
fn read(text: &str, data: &str) -> Result<DynamicMessage, DeserializeError> {
    let (_stub, messages) = messages(text);
    messages.deserialize("t", Some(&hex(&format!("0000000001{data}")))).map(Option::unwrap)
}

fn told(result: Result<DynamicMessage, DeserializeError>) -> String {
    let error = result.unwrap_err();
    assert!(!error.is_retriable(), "{error}");
    let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
    format!("{error}{}", source.unwrap_or_default())
}

fn field(message: &DynamicMessage, name: &str) -> Value {
    message.get_field_by_name(name).unwrap().into_owned()
}

fn name_of(message: &DynamicMessage) -> String {
    message.descriptor().full_name().to_owned()
}

#[test]
fn what_python_wrote_is_read_as_the_message_that_its_path_names() {
    for (data, name) in [
        ("000a0261621001", "x.y.First"),
        ("02000a0261621001", "x.y.First"),
        ("02020a0261621001", "x.y.Second"),
        ("0400000a026162", "x.y.First.In"),
        ("0400020a026162", "x.y.First.In2"),
    ] {
        let message = read(FILE, data).unwrap();
        assert_eq!(name_of(&message), name, "{data}");
        if name.len() < 11 {
            assert_eq!(field(&message, "s"), Value::String("ab".to_owned()));
            assert_eq!(field(&message, "i"), Value::I32(1));
        }
    }
    assert_eq!(name_of(&read(FILE, "00").unwrap()), "x.y.First");
}

#[test]
fn the_path_is_in_the_header_in_header_form() {
    // As in front of the payload, where one may be, too.
    let guid = "05d83a2ce367f05471f5d6faf63a6559";
    let path = "/schemas/guids/05d83a2c-e367-f054-71f5-d6faf63a6559";
    let stub = Stub::with([(path, schema(FILE))]);
    let bytes = hex(&format!("01{guid}02020a06616263646566"));
    let message = Protobuf::new(stub.client()).deserialize("t", Some(&bytes)).unwrap().unwrap();
    assert_eq!(
        (name_of(&message).as_str(), field(&message, "s")),
        ("x.y.Second", Value::String("abcdef".into()))
    );
}

#[test]
fn a_schema_may_be_a_descriptor_in_base64_as_python_registers_it() {
    let field = FieldDescriptorProto {
        name: Some("s".to_owned()),
        number: Some(1),
        label: Some(Label::Optional as i32),
        r#type: Some(Type::String as i32),
        ..Default::default()
    };
    let file = FileDescriptorProto {
        name: Some("other.proto".to_owned()),
        message_type: vec![DescriptorProto {
            name: Some("M".to_owned()),
            field: vec![field],
            ..Default::default()
        }],
        syntax: Some("proto3".to_owned()),
        ..Default::default()
    };
    let message = read(&BASE64.encode(file.encode_to_vec()), "000a026162").unwrap();
    assert_eq!(message.get_field_by_name("s").unwrap().into_owned(), Value::String("ab".to_owned()));
}

#[test]
fn what_a_file_imports_is_asked_for_and_googles_own_files_are_there() {
    let outer = r#"syntax = "proto3"; import "lib/other.proto"; import "google/protobuf/timestamp.proto";
        message O { lib.Inner inner = 1; google.protobuf.Timestamp at = 2; }"#;
    let references = json!([{"name": "lib/other.proto", "subject": "lib/other.proto", "version": 1}]);
    let stub = Stub::with([
        ("/schemas/ids/1", json!({"schema": outer, "schemaType": "PROTOBUF", "references": references})),
        (
            "/subjects/lib%2Fother.proto/versions/1?deleted=true",
            schema(r#"syntax = "proto3"; package lib; message Inner { int32 i = 1; }"#),
        ),
    ]);
    let bytes = hex("0000000001000a02080712020801");
    let message = Protobuf::new(stub.client()).deserialize("t", Some(&bytes)).unwrap().unwrap();
    let inner = field(&message, "inner");
    assert_eq!(field(inner.as_message().unwrap(), "i"), Value::I32(7));
    // And without what it refers to, it is none.
    assert!(told(read(outer, "00")).starts_with("the schema is damaged: "));
}

#[test]
fn a_path_or_a_schema_that_is_none_is_an_error() {
    let told_of = told(read(FILE, "0404000a026162"));
    assert_eq!(told_of, "the data are not what the schema says: the schema has no message at [2, 0]");
    assert!(told(read(FILE, "01")).starts_with("the bytes are not in Confluent's wire format: "));
    for text in
        ["message", "", "message M { string s = 1; string s = 1; }", "AAAA", "import \"/etc/passwd\";"]
    {
        told(read(text, "00"));
    }
    let nested = format!("{}{}", "message A { ".repeat(50_000), "}".repeat(50_000));
    assert!(told(read(&nested, "00")).contains("nested deeper"));
}

#[test]
fn data_that_are_damaged_are_an_error() {
    // A length, a number, a group and a tag without an end; another type; a prefix that is read as data, as behind a stale header.
    for data in ["000a05", "0010ffffffffffffffffffffff", "000b", "00ff", "0007", "00000000000100"] {
        told(read(FILE, data));
    }
    assert!(told(read(FILE, "000a02ff")).contains("they end too early"));
}

#[test]
fn a_message_takes_as_much_memory_as_is_allowed_and_no_more() {
    let (_stub, messages) = messages(FILE);
    let data = hex("0000000001000a0261621005");
    let takes =
        (0..10_000).find(|bytes| messages.clone().memory_max(*bytes).deserialize("t", Some(&data)).is_ok());
    let error = messages.memory_max(takes.unwrap() - 1).deserialize("t", Some(&data)).unwrap_err();
    assert_eq!(error.to_string(), "the data would take too much memory");
}

#[test]
fn nested_data_fail_as_a_record() {
    let nested = |levels: usize| {
        let mut data = Vec::new();
        for _ in 0..levels {
            let mut outer = vec![0x22];
            let mut length = data.len();
            while length >= 0x80 {
                outer.push(length as u8 | 0x80);
                length >>= 7;
            }
            outer.push(length as u8);
            outer.append(&mut data);
            data = outer;
        }
        [hex("00000000010202"), data].concat()
    };
    let (_stub, messages) = messages(FILE);
    messages.deserialize("t", Some(&nested(60))).unwrap();
    assert_eq!(
        told(messages.deserialize("t", Some(&nested(5000))).map(Option::unwrap)),
        "the data are nested too deep"
    );
    let groups = [hex("00000000010202"), vec![0x3b; 100_000]].concat();
    assert_eq!(
        told(messages.deserialize("t", Some(&groups)).map(Option::unwrap)),
        "the data are nested too deep"
    );
}

#[test]
fn data_that_would_take_more_memory_than_is_allowed_fail_as_a_record() {
    let (_stub, messages) = messages(FILE);
    // 3,000,000 booleans, of a byte each, that would be many times as much; as much text is fine.
    let of = |tag: &str, byte| [hex(&format!("00000000010202{tag}c08db701")), vec![byte; 3_000_000]].concat();
    let error = messages.deserialize("t", Some(&of("2a", 1))).unwrap_err();
    assert_eq!(error.to_string(), "the data would take too much memory", "{error:?}");
    messages.deserialize("t", Some(&of("0a", b'a'))).unwrap();
}

/// Replay: `SEED=N cargo test -p ottla --test registry whatever`.
#[test]
fn whatever_the_bytes_are_they_are_read_or_refused() {
    let seeds = match std::env::var("SEED") {
        Ok(seed) => seed.parse().unwrap()..=seed.parse().unwrap(),
        Err(_) => 0..=3_000,
    };
    let (_stub, messages) = messages(FILE);
    for seed in seeds {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut bytes = vec![0, 0, 0, 0, 1, 2, 2];
        let tags = [0x0a, 0x10, 0x1a, 0x22, 0x2a, 0x32, 0x3b, 0x3c];
        bytes.extend(
            (0..rng.usize(0..60)).map(|_| if rng.bool() { tags[rng.usize(0..8)] } else { rng.u8(..) }),
        );
        if let Err(error) = messages.deserialize("t", Some(&bytes)) {
            assert!(!error.is_retriable(), "SEED={seed}: {error}");
        }
    }
}
