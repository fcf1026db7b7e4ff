//! What Confluent's Python serializer wrote in Avro is read as told, and what is damaged fails as a record.

use ottla::{
    Deserializer, Field, Serialized,
    schema_registry::{
        Avro, AvroValue, DeserializeError, SchemaIdIn,
        apache_avro::{Schema, types::Value},
    },
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    hex,
    stub::{Answer, Stub},
};

const R: &str = r#"{"type":"record","name":"R","namespace":"x.y","fields":[{"name":"name","type":"string"},{"name":"n","type":"int"}]}"#;

#[derive(Debug, PartialEq, Deserialize)]
struct R {
    name: String,
    n: i32,
}

fn values(schema: &str) -> (Stub, AvroValue) {
    let schema = schema.to_owned();
    let stub = Stub::new(move |_| Answer::avro(&schema));
    let client = stub.client();
    (stub, AvroValue::new(client))
}

/// The value of these data behind an id.
fn read(schema: &str, data: &str) -> Result<Value, DeserializeError> {
    let (_stub, values) = values(schema);
    let value = values.deserialize("t", Some(&hex(&format!("0000000001{data}"))));
    value.map(Option::unwrap)
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

/// The error of data, with what is behind it.
fn told(result: Result<Value, DeserializeError>) -> String {
    let error = result.unwrap_err();
    assert!(!error.is_retriable(), "{error}");
    let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
    format!("{error}{}", source.unwrap_or_default())
}

#[test]
fn a_record_becomes_a_type_of_the_program() {
    let (_stub, values) = values(R);
    let records = Avro::<R>::from(values);
    let record = records.deserialize("t", Some(&hex("00000000010461 6202".replace(' ', "").as_str())));
    assert_eq!(record.unwrap(), Some(R { name: "ab".to_owned(), n: 1 }));
}

#[test]
fn what_python_wrote_is_read() {
    let array = r#"{"type":"array","items":"int"}"#;
    let map = r#"{"type":"map","values":"int"}"#;
    let union = r#"{"type":"record","name":"U","fields":[{"name":"u","type":["null",{"type":"record","name":"A","fields":[{"name":"a","type":"int"}]},{"type":"record","name":"B","fields":[{"name":"b","type":"int"}]}]}]}"#;
    let of = |index, name: &str, n| {
        let record = Value::Record(vec![(name.to_owned(), Value::Int(n))]);
        Value::Record(vec![("u".to_owned(), Value::Union(index, Box::new(record)))])
    };
    let null = Value::Record(vec![("u".to_owned(), Value::Union(0, Box::new(Value::Null)))]);
    let one = |index, value| Value::Union(index, Box::new(value));
    for (schema, data, expected) in [
        ("\"string\"", "046162", text("ab")),
        ("\"long\"", "01", Value::Long(-1)),
        (r#"{"type":"enum","name":"E","symbols":["A","B"]}"#, "02", Value::Enum(1, "B".to_owned())),
        (array, "04020400", Value::Array(vec![Value::Int(1), Value::Int(2)])),
        // In a block that tells its size.
        (array, "0304020400", Value::Array(vec![Value::Int(1), Value::Int(2)])),
        (map, "0202610200", Value::Map([("a".to_owned(), Value::Int(1))].into())),
        ("\"bytes\"", "6162", Value::Bytes(b"ab".to_vec())),
        (r#"{"type":"bytes"}"#, "6162", Value::Bytes(b"ab".to_vec())),
        ("\"bytes\"", "", Value::Bytes(Vec::new())),
        (r#"["null","string"]"#, "02046162", one(1, text("ab"))),
        (r#"["string","null"]"#, "00046162", one(0, text("ab"))),
        (union, "0406", of(2, "b", 3)),
        (union, "0208", of(1, "a", 4)),
        (union, "00", null),
        (
            r#"{"type":"long","logicalType":"timestamp-millis"}"#,
            "80d08fa59863",
            Value::TimestampMillis(1_704_067_200_000),
        ),
        (
            r#"{"type":"long","logicalType":"local-timestamp-millis"}"#,
            "80d08fa59863",
            Value::LocalTimestampMillis(1_704_067_200_000),
        ),
        (
            r#"{"type":"long","logicalType":"timestamp-micros"}"#,
            "80808982e2f58606",
            Value::TimestampMicros(1_704_067_200_000_000),
        ),
        (r#"{"type":"int","logicalType":"date"}"#, "96b402", Value::Date(19_723)),
        (r#"{"type":"int","logicalType":"time-millis"}"#, "f8bbc603", Value::TimeMillis(3_723_004)),
    ] {
        assert_eq!(read(schema, data).unwrap(), expected, "{schema} {data}");
    }
    let decimal = r#"{"type":"fixed","name":"F","size":4,"logicalType":"decimal","precision":6,"scale":2}"#;
    assert_eq!(read(decimal, "0000007b").unwrap(), Value::Decimal(hex("0000007b").into()));
    let uuid = "703728f3-af1e-548a-663d-de737237d988";
    let written: String = uuid.bytes().map(|byte| format!("{byte:02x}")).collect();
    let Value::Uuid(read) =
        read(r#"{"type":"string","logicalType":"uuid"}"#, &format!("48{written}")).unwrap()
    else {
        panic!("no UUID");
    };
    assert_eq!(read.to_string(), uuid);
}

#[test]
fn a_null_is_none_and_nobody_is_asked() {
    let (stub, values) = values(R);
    assert!(values.deserialize("t", None).unwrap().is_none());
    assert!(values.prepare(&Serialized::new("t", Field::Value, None)).is_none());
    assert!(stub.paths().is_empty());
}

#[test]
fn bytes_that_are_left_over_are_an_error_as_those_behind_a_stale_header_are() {
    assert_eq!(told(read(R, "0461620200")), "the data are not what the schema says: 1 bytes are left over");
    // A payload with its own id, read as bare data: a record with an empty name and 0, if the rest were not looked at.
    let (_stub, values) = values(R);
    let stale = hex("01703728f3af1e548a663dde737237d98800000000010461 6202".replace(' ', "").as_str());
    let error = values.clone().schema_id_in(SchemaIdIn::Prefix).deserialize("t", Some(&stale)).unwrap_err();
    assert!(matches!(error, DeserializeError::Data(_)), "{error}");
}

#[test]
fn data_that_end_too_early_or_name_what_is_not_there_are_errors() {
    let short = "the data are not what the schema says: they end too early";
    for (schema, data) in [
        (R, ""),
        (R, "046162"),
        (R, "0861"),
        // The library takes these for nulls.
        ("\"boolean\"", ""),
        ("\"string\"", "0461"),
        (r#"["null","int"]"#, ""),
    ] {
        assert_eq!(told(read(schema, data)), short, "{schema} {data}");
    }
    for (schema, data) in [
        (r#"["null","int"]"#, "04"),
        (r#"["null","int"]"#, "01"),
        (r#"{"type":"enum","name":"E","symbols":["A","B"]}"#, "04"),
        ("\"int\"", "ffffffffff7f"),
        ("\"long\"", "ffffffffffffffffffffff7f"),
        ("\"string\"", "03"),
        ("\"string\"", "02ff"),
        ("\"boolean\"", "02"),
    ] {
        told(read(schema, data));
    }
}

#[test]
fn nested_data_fail_as_a_record() {
    let list = r#"{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"]}]}"#;
    let nested = |levels: usize| format!("{}00", "02".repeat(levels));
    read(list, &nested(11)).unwrap();
    assert_eq!(told(read(list, &nested(100_000))), "the data are nested too deep");
    // Without a byte.
    let within = r#"{"type":"record","name":"W","fields":[{"name":"w","type":"W"}]}"#;
    assert_eq!(told(read(within, "")), "the data are nested too deep");
    // As deep as may be set, in a thread with an ordinary stack.
    let (_stub, values) = values(list);
    let deep = hex(&format!("0000000001{}", nested(15)));
    values.clone().depth_max(usize::MAX).deserialize("t", Some(&deep)).unwrap();
    values.deserialize("t", Some(&deep)).unwrap_err();
}

#[test]
fn a_datum_is_as_deep_and_takes_as_much_memory_as_is_allowed_and_no_more() {
    let (_stub, values) = values(r#"{"type":"array","items":{"type":"array","items":"int"}}"#);
    // Two levels, and what is in the inner one.
    let data = hex("0000000001020402060000");
    values.clone().depth_max(2).deserialize("t", Some(&data)).unwrap();
    let error = values.clone().depth_max(1).deserialize("t", Some(&data)).unwrap_err();
    assert_eq!(error.to_string(), "the data are nested too deep");
    let takes =
        (0..10_000).find(|bytes| values.clone().memory_max(*bytes).deserialize("t", Some(&data)).is_ok());
    let error = values.memory_max(takes.unwrap() - 1).deserialize("t", Some(&data)).unwrap_err();
    assert_eq!(error.to_string(), "the data would take too much memory");
}

#[test]
fn data_that_would_take_more_memory_than_is_allowed_fail_as_a_record() {
    let nulls = r#"{"type":"array","items":"null"}"#;
    // 2^40 items, of which none has a byte.
    for (schema, data) in [
        (nulls, "8080808080804000"),
        (r#"{"type":"array","items":{"type":"record","name":"E","fields":[]}}"#, "8080808080804000"),
    ] {
        assert_eq!(told(read(schema, data)), "the data would take too much memory", "{schema}");
    }
    assert!(told(read("\"string\"", "feffffffffffffff7f")).contains("they end too early"));
    assert!(told(read("{\"type\":\"map\",\"values\":\"int\"}", "ffffffffffffffffff01")).contains("they end"));
    // A record of few bytes whose fields are many, and more at each level.
    let wide = |level: usize| {
        let below = if level == 0 { "\"null\"".to_owned() } else { format!("\"R{}\"", level - 1) };
        let fields: Vec<_> = (0..10).map(|at| format!(r#"{{"name":"f{at}","type":{below}}}"#)).collect();
        json!({"schema": format!(r#"{{"type":"record","name":"R{level}","fields":[{}]}}"#, fields.join(","))})
    };
    let references: Vec<_> = (0..12)
        .map(|at| json!({"name": format!("R{at}"), "subject": format!("r{at}"), "version": 1}))
        .collect();
    let stub = Stub::new(move |request| {
        let level =
            request.path.strip_prefix("/subjects/r").and_then(|rest| rest.split('/').next()?.parse().ok());
        let mut schema = wide(level.unwrap_or(12));
        if level.is_none() {
            schema["references"] = json!(references);
        }
        Answer::Json(200, schema)
    });
    let error = AvroValue::new(stub.client()).deserialize("t", Some(&hex("0000000001"))).unwrap_err();
    assert_eq!(error.to_string(), "the data would take too much memory", "{error:?}");
}

#[test]
fn a_schema_that_is_damaged_or_of_another_type_is_an_error() {
    assert!(told(read("{\"type\":\"record\"}", "02")).starts_with("the schema is damaged: "));
    told(read(&"[".repeat(100_000), "02"));
    let stub = Stub::with([("/schemas/ids/1", json!({"schema": "{}", "schemaType": "JSON"}))]);
    let error = AvroValue::new(stub.client()).deserialize("t", Some(&hex("000000000102"))).unwrap_err();
    assert_eq!(error.to_string(), "the schema is one of JSON");
}

#[test]
fn a_schema_of_ones_own_is_read_by_avros_rules() {
    let writer = r#"{"type":"record","name":"V","fields":[{"name":"a","type":"int"},{"name":"gone","type":"string"}]}"#;
    let reader = r#"{"type":"record","name":"V","fields":[{"name":"a","type":"long"},{"name":"new","type":"string","default":"d"}]}"#;
    let (_stub, values) = values(writer);
    let values = values.reader_schema(Schema::parse_str(reader).unwrap());
    let value = values.deserialize("t", Some(&hex("00000000010e0278"))).unwrap().unwrap();
    let expected = vec![("a".to_owned(), Value::Long(7)), ("new".to_owned(), text("d"))];
    assert_eq!(value, Value::Record(expected));
}

#[test]
fn what_a_schema_of_ones_own_cannot_be_made_of_is_an_error() {
    let written = r#"{"type":"record","name":"V","fields":[{"name":"a","type":"int"},{"name":"gone","type":"string"}]}"#;
    let read = |name: &str, field: &str| {
        let (_stub, values) = values(written);
        let reader = format!(r#"{{"type":"record","name":"{name}","fields":[{{"name":{field}}}]}}"#);
        let values = values.reader_schema(Schema::parse_str(&reader).unwrap());
        let value = values.deserialize("t", Some(&hex("00000000010e0278"))).map(Option::unwrap);
        value.map(|value| match value {
            Value::Record(mut fields) => fields.remove(0).1,
            other => other,
        })
    };
    assert_eq!(read("V", r#""a","type":"double""#).unwrap(), Value::Double(7.0));
    let union = Value::Union(1, Box::new(Value::Int(7)));
    assert_eq!(read("V", r#""a","type":["null","int"]"#).unwrap(), union);
    // Neither the names of records are compared, nor is a field's alias followed, as fastavro does.
    assert_eq!(read("Other", r#""a","type":"int""#).unwrap(), Value::Int(7));
    for field in [r#""new","type":"int""#, r#""a","type":"string""#, r#""b","aliases":["a"],"type":"int""#] {
        assert!(told(read("V", field)).starts_with("the data are not what the schema says: "), "{field}");
    }
}

#[test]
fn schemas_that_are_referred_to_are_part_of_it() {
    let outer = r#"{"type":"record","name":"O","namespace":"x.y","fields":[{"name":"r","type":"x.y.R"}]}"#;
    let references = json!([{"name": "x.y.R", "subject": "r", "version": 1}]);
    let stub = Stub::with([
        ("/schemas/ids/1", json!({"schema": outer, "references": references})),
        ("/subjects/r/versions/1?deleted=true", json!({"schema": R})),
    ]);
    #[derive(Debug, PartialEq, Deserialize)]
    struct O {
        r: R,
    }
    let record = Avro::<O>::new(stub.client()).deserialize("t", Some(&hex("000000000104616202")));
    assert_eq!(record.unwrap(), Some(O { r: R { name: "ab".to_owned(), n: 1 } }));
}

/// Replay: `SEED=N cargo test -p ottla --test registry whatever`.
#[test]
fn whatever_the_bytes_are_they_are_read_or_refused() {
    let seeds = match std::env::var("SEED") {
        Ok(seed) => seed.parse().unwrap()..=seed.parse().unwrap(),
        Err(_) => 0..=3_000,
    };
    let schema = r#"{"type":"record","name":"X","fields":[
        {"name":"l","type":{"type":"array","items":["null","X","string",{"type":"map","values":"X"}]}},
        {"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":6,"scale":2}},
        {"name":"f","type":{"type":"fixed","name":"F","size":3}}]}"#;
    let (_stub, values) = values(schema);
    for seed in seeds {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut bytes = vec![0, 0, 0, 0, 1];
        bytes.extend((0..rng.usize(0..60)).map(|_| if rng.u8(..) < 200 { rng.u8(0..9) } else { rng.u8(..) }));
        if let Err(error) = values.deserialize("t", Some(&bytes)) {
            assert!(!error.is_retriable(), "SEED={seed}: {error}");
        }
    }
}
