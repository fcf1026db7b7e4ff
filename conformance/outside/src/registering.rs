//! Schemas out of a registry, and values by them: without one, up to where one would be asked.

use ottla::{
    Deserializer, Field, Preparing, Serialized,
    schema_registry::{
        Avro, AvroValue, DeserializeError, Framed, JsonSchema, MessageIndexes, Protobuf, Referenced,
        RegisteredJson, Schema, SchemaId, SchemaIdIn, SchemaRegistry, SchemaRegistryBuilder,
        SchemaRegistryError, SchemaRegistryErrorKind, SchemaType, WireFormatError,
    },
};

use crate::{Outcome, PATIENCE, equal};

pub(crate) async fn all() -> Outcome {
    let registry = builder().total_timeout(PATIENCE / 100).build()?;
    let error = registry.schema(SchemaId::Id(7)).await.map(text).err().ok_or("nobody listens there")?;
    equal(kind(&error), SchemaRegistryErrorKind::Unavailable)?;
    equal(avro(&registry).deserialize("any", None).map_err(is_retriable), Ok(None))?;
    equal(values(&registry).deserialize("any", Some(b"{}")).map_err(is_retriable), Err(false))?;
    equal(json(&registry).deserialize("any", None).map_err(is_retriable), Ok(None))?;
    equal(validated(&registry).deserialize("any", None).map_err(is_retriable), Ok(None))?;
    equal(messages(&registry).deserialize("any", None).map_err(is_retriable), Ok(None))?;
    equal(prepared(&avro(&registry), &null(Field::Value)).is_none(), true)?;
    let framed = framed(&[0, 0, 0, 0, 7, 0, 1])?;
    equal((framed.schema(), path(framed)?), (SchemaId::Id(7), vec![0]))
}

fn null(field: Field) -> Serialized<'static> {
    Serialized::new("any", field, None)
}

fn builder() -> SchemaRegistryBuilder {
    // Port 9 takes what comes, and nobody has it.
    SchemaRegistry::builder(["http://127.0.0.1:9"])
}

fn kind(error: &SchemaRegistryError) -> SchemaRegistryErrorKind {
    error.kind()
}

fn is_retriable(error: DeserializeError) -> bool {
    error.is_retriable()
}

fn avro(registry: &SchemaRegistry) -> Avro<i64> {
    Avro::new(registry.clone())
}

fn values(registry: &SchemaRegistry) -> AvroValue {
    AvroValue::new(registry.clone())
}

fn json(registry: &SchemaRegistry) -> RegisteredJson<i64> {
    RegisteredJson::new(registry.clone())
}

fn validated(registry: &SchemaRegistry) -> JsonSchema<i64> {
    JsonSchema::new(registry.clone())
}

fn messages(registry: &SchemaRegistry) -> Protobuf {
    Protobuf::new(registry.clone())
}

fn prepared<D: Deserializer>(by: &D, field: &Serialized<'_>) -> Option<Preparing<D::Error>> {
    by.prepare(field)
}

fn framed(bytes: &[u8]) -> Result<Framed<'_>, WireFormatError> {
    Framed::read(bytes, [], Field::Value, SchemaIdIn::Prefix)
}

fn path(framed: Framed<'_>) -> Result<Vec<u32>, WireFormatError> {
    let indexes: MessageIndexes = framed.message()?.0;
    Ok(indexes.as_slice().to_vec())
}

fn text(schema: std::sync::Arc<Schema>) -> (SchemaType, Vec<Referenced>) {
    (schema.schema_type().clone(), schema.references().to_vec())
}
