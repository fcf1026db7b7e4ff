//! Typed values: a schema as a registry has it, with one that it refers to, and data that were written by it.

use std::sync::OnceLock;

use ottla::{
    Deserializer,
    fuzzing::{know, registry},
    schema_registry::{
        Avro, AvroValue, DeserializeError, JsonSchema, Protobuf, SchemaRegistry, SchemaType, apache_avro,
    },
};
use ottla_fuzz::{Input, within};
use serde_json::Value;

/// What a value may take.
const MEMORY: usize = 256 << 10;

/// What the schema's own parts may take while a value is read: what is remembered of patterns, of branches, of names.
const ASIDE: usize = 8 << 20;

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let flags = input.byte();
    let Some(name) = input.text() else { return };
    let (Some(text), Some(other)) = (input.text(), input.text()) else { return };
    let references = [(name, other)];
    let references = if name.is_empty() { &[][..] } else { &references };
    static REGISTRY: OnceLock<SchemaRegistry> = OnceLock::new();
    let registry = REGISTRY.get_or_init(|| registry().unwrap());
    let framed = [&[0, 0, 0, 0, 1], input.rest()].concat();
    let knows = |schema_type| know(registry, schema_type, text, references);
    let registry = registry.clone();
    match flags % 4 {
        0 => {
            knows(SchemaType::Avro);
            let values = AvroValue::new(registry).memory_max(MEMORY);
            match flags & 4 {
                0 => read(&values, &framed),
                _ => read(&values.reader_schema(reader()), &framed),
            }
        }
        1 => {
            knows(SchemaType::Avro);
            read(&Avro::<Value>::from(AvroValue::new(registry).memory_max(MEMORY)), &framed);
        }
        2 => {
            knows(SchemaType::Json);
            read(&JsonSchema::<Value>::new(registry).memory_max(MEMORY), &framed);
        }
        _ => {
            knows(SchemaType::Protobuf);
            read(&Protobuf::new(registry).memory_max(MEMORY), &framed);
        }
    }
}

fn read<D: Deserializer<Error = DeserializeError>>(by: &D, framed: &[u8]) {
    // The schema is compiled with the first: there is nothing in it that would be read.
    let _ = by.deserialize("t", Some(&[0, 0, 0, 0, 1]));
    let _ = within(3 * MEMORY + ASIDE, || by.deserialize("t", Some(framed)));
}

/// A program's own.
fn reader() -> apache_avro::Schema {
    let text = r#"{"type": "record", "name": "r", "fields": [
        {"name": "a", "type": "long"},
        {"name": "b", "type": ["null", "string"], "default": null},
        {"name": "c", "type": {"type": "array", "items": "double"}, "default": []},
        {"name": "d", "type": {"type": "map", "values": "bytes"}, "default": {}},
        {"name": "e", "type": {"type": "enum", "name": "x", "symbols": ["s", "t"], "default": "s"}, "default": "t"}
    ]}"#;
    apache_avro::Schema::parse_str(text).unwrap()
}
