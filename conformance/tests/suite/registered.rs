//! Values that Confluent's Python serializers wrote, with the schemas that they registered: in Apicurio, and where it has no GUIDs in a
//! stub.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Failed;
use ottla::schema_registry::apache_avro::types::Value as Avro;
use ottla::schema_registry::prost_reflect::{DynamicMessage, ReflectMessage as _, Value as Field};
use ottla::schema_registry::{
    AvroValue, DeserializeError, JsonSchema, Protobuf, RegisteredJson, SchemaId, SchemaIdIn, SchemaRegistry,
    SchemaRegistryError, SchemaRegistryErrorKind, SchemaType,
};
use ottla::{Deserializer, Field as Part, OwnedRecord, Serialized};
use ottla_conformance::process::run;
use ottla_conformance::registry::{Asked, Serializers, Stub, shared};
use ottla_conformance::targets::{Target, unique};
use serde_json::{Value as Json, json};

use crate::cases::{Case, Outcome};
use crate::kit::{PATIENCE, consumer, equal, holds, take, topic, wait};

pub(crate) fn cases() -> Vec<Case> {
    let kafka = |name: &str, run: fn(&Target) -> Outcome| Case::kafka(name, run).with_registry().heavy();
    let alone = |name: &str, run: fn() -> Outcome| Case::alone(name, run).with_registry().heavy();
    vec![
        kafka("what_pythons_serializers_wrote_is_read_with_apicurios_schemas", |target| {
            wait(prefixed(target))
        }),
        kafka("what_pythons_serializers_wrote_with_guids_in_headers_is_read", |target| {
            wait(in_headers(target))
        }),
        alone("apicurios_answers_are_what_they_were_observed_to_be", || wait(answers())),
        alone("a_schema_is_read_with_what_it_refers_to_in_apicurio", || wait(references())),
    ]
}

/// How long Python takes to load its libraries where the machine is busy, and to write.
const WRITTEN_WITHIN: Duration = Duration::from_secs(180);

/// The records that Python writes in this form, by what they are.
async fn written(
    target: &Target,
    registry: &str,
    form: &str,
    count: usize,
) -> Result<Vec<(String, OwnedRecord)>, Failed> {
    let topic = topic(target, "registered", 1).await?;
    let mut python: Command = Serializers::get()?.command();
    python.args([target.bootstrap().as_str(), registry, &topic, form]);
    tokio::task::spawn_blocking(move || run(&python, WRITTEN_WITHIN)).await??;
    let mut consumer = consumer(target).build().await?;
    consumer.assign([(topic.as_str(), 0)])?;
    let records = take(&mut consumer, count).await?;
    equal("records behind them", consumer.lag().into_values().flatten().sum::<i64>(), 0)?;
    let named = |record: OwnedRecord| {
        (String::from_utf8_lossy(record.key().unwrap_or_default()).into_owned(), record)
    };
    Ok(records.into_iter().map(named).collect())
}

/// A deserializer of each format.
struct All {
    avro: AvroValue,
    protobuf: Protobuf,
    json: RegisteredJson<Json>,
    validated: JsonSchema<Json>,
}

impl All {
    fn new(url: &str) -> Result<Self, Failed> {
        let registry = SchemaRegistry::builder([url]).build()?;
        Ok(Self {
            avro: AvroValue::new(registry.clone()),
            protobuf: Protobuf::new(registry.clone()),
            json: RegisteredJson::new(registry.clone()),
            validated: JsonSchema::new(registry),
        })
    }

    /// That each of these records has the value that Python was given.
    async fn read(&self, records: &[(String, OwnedRecord)]) -> Outcome {
        let mut avro = avros();
        let mut jsons = jsons();
        let (mut messages, mut refused) = (0, 0);
        for (name, record) in records {
            let field = record.serialized(Part::Value);
            if let Some(expected) = avro.remove(name.as_str()) {
                equal(name, value(&self.avro, &field).await?, expected)?;
            } else if let Some(expected) = jsons.remove(name.as_str()) {
                equal(name, value(&self.json, &field).await?, Some(expected.clone()))?;
                equal(name, value(&self.validated, &field).await?, Some(expected))?;
            } else if name == "json refused" {
                refused += 1;
                self.refuse(&field).await?;
            } else if let Some(message) = name.strip_prefix("protobuf ") {
                messages += 1;
                let read = value(&self.protobuf, &field).await?.ok_or("no message")?;
                is_message(message, &read)?;
            }
        }
        equal("values of Avro that were not written", avro.keys().collect::<Vec<_>>(), Vec::new())?;
        equal("values of JSON that were not written", jsons.keys().collect::<Vec<_>>(), Vec::new())?;
        equal("values that are not what their schema says", refused, 1)?;
        equal("messages", messages, MESSAGES)
    }

    /// What Python was told not to hold against its schema is JSON all the same.
    async fn refuse(&self, field: &Serialized<'_>) -> Outcome {
        equal("not held against it", value(&self.json, field).await?, Some(json!({"name": "a", "n": "x"})))?;
        let error = value(&self.validated, field).await.map(drop).err().ok_or("it is not refused")?;
        let why = error.source().map(ToString::to_string).unwrap_or_default();
        holds(
            &format!("fatal, with its place: {error}: {why}"),
            !error.is_retriable()
                && why.starts_with(
                    "at `/n`: value is not of type \"integer\" (`/properties/n/type` of schema ",
                ),
        )
    }
}

/// As a processor does: what has to be asked for is asked for first.
async fn value<D: Deserializer<Error = DeserializeError>>(
    by: &D,
    field: &Serialized<'_>,
) -> Result<D::Output, DeserializeError> {
    if let Some(preparing) = by.prepare(field) {
        preparing.await?;
    }
    by.deserialize_field(field)
}

/// How many messages of Protobuf there are.
const MESSAGES: usize = 10;

fn avros() -> BTreeMap<&'static str, Option<Avro>> {
    let text = |text: &str| Avro::String(text.to_owned());
    let one = |index, value| Avro::Union(index, Box::new(value));
    let record = |fields: &[(&str, Avro)]| {
        Avro::Record(fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    };
    let r = record(&[("name", text("ab")), ("n", Avro::Int(1))]);
    let branch = record(&[("b", Avro::Int(3))]);
    let year = 1_704_067_200_000;
    let uuid = "703728f3-af1e-548a-663d-de737237d988".parse().unwrap();
    [
        ("avro record", r.clone()),
        ("avro string", text("ab")),
        ("avro long", Avro::Long(-1)),
        ("avro enum", Avro::Enum(1, "B".to_owned())),
        ("avro array", Avro::Array(vec![Avro::Int(1), Avro::Int(2)])),
        ("avro map", Avro::Map([("a".to_owned(), Avro::Int(1))].into())),
        ("avro bytes", Avro::Bytes(b"ab".to_vec())),
        ("avro no bytes", Avro::Bytes(Vec::new())),
        ("avro union", one(1, text("ab"))),
        ("avro other union", one(0, text("ab"))),
        ("avro branch", record(&[("u", one(2, branch))])),
        ("avro null branch", record(&[("u", one(0, Avro::Null))])),
        (
            "avro logical",
            record(&[
                ("millis", Avro::TimestampMillis(year)),
                ("micros", Avro::TimestampMicros(year * 1000)),
                ("date", Avro::Date(19_723)),
                ("time", Avro::TimeMillis(3_723_004)),
                ("decimal", Avro::Decimal(vec![0x7b].into())),
                ("uuid", Avro::Uuid(uuid)),
            ]),
        ),
        ("avro reference", record(&[("r", r)])),
    ]
    .map(|(name, value)| (name, Some(value)))
    .into_iter()
    // Confluent's serializers write no bytes for it.
    .chain([("avro null of a union", None), ("null", None)])
    .collect()
}

fn jsons() -> HashMap<&'static str, Json> {
    [
        ("json object", json!({"name": "äb", "n": 1})),
        ("json integer", json!(7)),
        ("json reference", json!([{"name": "a", "n": 1}])),
    ]
    .into()
}

fn is_message(name: &str, message: &DynamicMessage) -> Outcome {
    let (name, is_empty) = name.strip_suffix(" of nothing").map_or((name, false), |name| (name, true));
    equal("the message", message.descriptor().full_name(), format!("x.y.{name}").as_str())?;
    let field = |name: &str| message.get_field_by_name(name).map(std::borrow::Cow::into_owned);
    if name == "Outer" {
        let number = |within: &str, name: &str| {
            let within = field(within)?;
            Some(within.as_message()?.get_field_by_name(name)?.into_owned())
        };
        equal("of another file", number("inner", "i"), Some(Field::I32(7)))?;
        return equal("of Google's", number("at", "seconds"), Some(Field::I64(1)));
    }
    let (text, number) = if is_empty { ("", 0) } else { ("ab", 1) };
    equal("its text", field("s"), Some(Field::String(text.to_owned())))?;
    equal("its number", field("i"), Some(Field::I32(number)))
}

async fn prefixed(target: &Target) -> Outcome {
    let registry = shared()?;
    let records = written(target, &registry.url(), "prefix", 30).await?;
    let is_prefixed = |record: &OwnedRecord| record.value().is_none_or(|value| value.first() == Some(&0));
    holds("ids in front", records.iter().all(|(_, record)| is_prefixed(record)))?;
    All::new(&registry.url())?.read(&records).await
}

async fn in_headers(target: &Target) -> Outcome {
    let stub = Stub::start()?;
    let records = written(target, &stub.url(), "header", 34).await?;
    let (by_header, copied): (Vec<_>, Vec<_>) =
        records.into_iter().partition(|(name, _)| !["avro twice", "avro stale"].contains(&name.as_str()));
    let headers = |record: &OwnedRecord| record.headers().flatten().count();
    for (name, record) in &by_header {
        equal(name, headers(record), usize::from(record.value().is_some()))?;
    }
    let all = All::new(&stub.url())?;
    all.read(&by_header).await?;

    // Headers that a program copied from the record before.
    let r = avros().remove("avro record").flatten();
    let [(_, seven), (_, twice), (_, fresh), (_, stale)] = copied.as_slice() else {
        return Err(format!("{} records with copied headers", copied.len()).into());
    };
    equal("its own", value(&all.avro, &seven.serialized(Part::Value)).await?, Some(Avro::Long(7)))?;
    equal("of two headers", headers(twice), 2)?;
    equal("the last counts", value(&all.avro, &twice.serialized(Part::Value)).await?, r.clone())?;
    equal("one that is its own", value(&all.avro, &fresh.serialized(Part::Value)).await?, r.clone())?;
    let field = stale.serialized(Part::Value);
    let error = value(&all.avro, &field).await.map(drop).err().ok_or("a stale header is believed")?;
    let why = error.source().map(ToString::to_string).unwrap_or_default();
    holds(
        &format!("fatal, for what is left over: {error}: {why}"),
        !error.is_retriable() && why.contains("left over"),
    )?;
    let by_prefix = all.avro.clone().schema_id_in(SchemaIdIn::Prefix);
    equal("by its prefix", value(&by_prefix, &field).await?, r)
}

/// Of a registry that is given up soon.
async fn refused(url: &str, id: SchemaId) -> Result<SchemaRegistryError, Failed> {
    let registry = SchemaRegistry::builder([url]).total_timeout(PATIENCE / 6).build()?;
    Ok(registry.schema(id).await.map(drop).err().ok_or("no such schema, and it is there")?)
}

async fn answers() -> Outcome {
    use SchemaRegistryErrorKind::{NoEndpoint, NotFound};
    let registry = shared()?;
    for id in [0, 999_999, u32::MAX] {
        let error = refused(&registry.url(), SchemaId::Id(id)).await?;
        let told = (error.kind(), error.status(), error.error_code(), error.is_retriable());
        equal("an id that is not there", told, (NotFound, Some(404), Some(40403), false))?;
    }
    // It has no GUIDs: an empty 404, which is no word about the schema.
    for url in [registry.url(), registry.url().replace("/v7", "/v8")] {
        let error = refused(&url, SchemaId::Guid([7; 16])).await?;
        equal("a GUID", (error.kind(), error.error_code(), error.is_retriable()), (NoEndpoint, None, true))?;
    }
    let error = refused(&registry.url().replace("/apis", "/elsewhere"), SchemaId::Id(1)).await?;
    equal("another address", (error.kind(), error.is_retriable()), (NoEndpoint, true))?;

    // Both forms that Protobuf's schemas have, both of JSON's names, and Avro's, which is left out.
    let types = [
        (json!({"schema": "\"long\""}), SchemaType::Avro),
        (json!({"schema": PERSON, "schemaType": "JSON"}), SchemaType::Json),
        (json!({"schema": PROTO, "schemaType": "PROTOBUF"}), SchemaType::Protobuf),
    ];
    for (schema, expected) in types {
        let id = register(&unique("typed"), &schema)?;
        for url in [registry.url(), registry.url().replace("/v7", "/v8")] {
            let client = SchemaRegistry::builder([url]).build()?;
            let found = client.schema(SchemaId::Id(id)).await?;
            equal("its type", found.schema_type(), &expected)?;
        }
    }
    // The same schema has one id under any subject.
    let long = json!({"schema": "\"long\""});
    equal("ids", register(&unique("one"), &long)?, register(&unique("other"), &long)?)?;
    // .proto text, as Java registers it.
    let id = register(&unique("text"), &json!({"schema": PROTO, "schemaType": "PROTOBUF"}))?;
    let payload = [&[0], id.to_be_bytes().as_slice(), &[0, 0x0a, 2, b'a', b'b']].concat();
    let all = All::new(&registry.url())?;
    let read = value(&all.protobuf, &Serialized::new("t", Part::Value, Some(&payload))).await?;
    let read = read.ok_or("no message")?;
    equal(
        "its text",
        read.get_field_by_name("s").map(|field| field.into_owned()),
        Some(Field::String("ab".into())),
    )?;
    // Of a subject that was deleted softly: the id is still there.
    let subject = unique("deleted");
    let schema =
        json!({"schema": format!(r#"{{"type":"fixed","name":"F{}","size":1}}"#, std::process::id())});
    let id = register(&subject, &schema)?;
    equal("deleted", registry.ask(Asked::delete(&format!("/subjects/{subject}")))?.0, 200)?;
    let payload = [&[0], id.to_be_bytes().as_slice(), &[9]].concat();
    let read = value(&all.avro, &Serialized::new("t", Part::Value, Some(&payload))).await?;
    equal("of a deleted subject", read, Some(Avro::Fixed(1, vec![9])))
}

const PERSON: &str = r#"{"$schema":"http://json-schema.org/draft-07/schema#","title":"P","type":"object"}"#;
const PROTO: &str = "syntax = \"proto3\"; message M { string s = 1; }";

/// The id that Apicurio gives this schema.
fn register(subject: &str, schema: &Json) -> Result<u32, Failed> {
    let path = format!("/subjects/{subject}/versions");
    let (status, answer) = shared()?.ask(Asked::post(&path, schema))?;
    let id = answer["id"].as_u64().and_then(|id| u32::try_from(id).ok());
    Ok(id.ok_or_else(|| format!("{schema} was not registered: {status} {answer}"))?)
}

async fn references() -> Outcome {
    let registry = shared()?;
    let inner = unique("inner");
    let fixed = format!(r#"{{"type":"fixed","name":"Ref{}","size":1}}"#, std::process::id());
    register(&inner, &json!({"schema": fixed}))?;
    let name = format!("Ref{}", std::process::id());
    let outer = json!({
        "schema": format!(r#"{{"type":"array","items":"{name}"}}"#),
        "references": [{"name": name, "subject": inner, "version": 1}],
    });
    let id = register(&unique("outer"), &outer)?;
    let payload = [&[0], id.to_be_bytes().as_slice(), &[2, 9, 0]].concat();
    let field = Serialized::new("t", Part::Value, Some(&payload));
    let read = value(&All::new(&registry.url())?.avro, &field).await?;
    equal("with what it refers to", read, Some(Avro::Array(vec![Avro::Fixed(1, vec![9])])))?;
    // What is referred to cannot be deleted, not even softly, so that it is there for whoever reads.
    equal("deleted", registry.ask(Asked::delete(&format!("/subjects/{inner}")))?.0, 422)
}
