//! Compares the messages that `ottla-protocol` defines with Kafka's own schema files, field by field.
//!
//! Structures bear names of our own, as Kafka's are not unique among messages; everything else must agree. What a
//! field is where its message, or the structure around it, does not exist has no meaning and is not compared.

use std::collections::BTreeMap;

use ottla_protocol::{
    ApiKey,
    codec::{FieldSchema, MessageSchema, TypeName, Versions},
    messages::EMBEDDED,
};
use serde_json::Value;

/// Fields that can be null and that some versions lack: absent they are null with us, as every `Option` is, and empty
/// with Kafka. The bytes are the same.
const NULL_WHERE_KAFKA_IS_EMPTY: &[&str] = &[
    "CreateTopicsResponse.topics.configs",
    "DescribeConfigsResponse.results.configs.documentation",
    "FindCoordinatorResponse.error_message",
    // To null, versions 2 to 7 give the meaning of all topics; later ones ask in `groups`.
    "OffsetFetchRequest.topics",
];

/// Every way in which our definitions differ from `schemas`, which are Kafka's by message name.
pub fn differences(schemas: &BTreeMap<String, Value>) -> Vec<String> {
    let mut found = Vec::new();
    for &key in ApiKey::ALL {
        let (request, response) = (key.request_schema(), key.response_schema());
        let unstable = schemas.get(request.name).is_some_and(|kafka| kafka["latestVersionUnstable"] == true);
        for (ours, kind) in [(request, "request"), (response, "response")] {
            match schemas.get(ours.name) {
                Some(kafka) => Comparison { kafka, found: &mut found }.message(key, ours, kind, unstable),
                None => found.push(format!("{}: Kafka has no such message", ours.name)),
            }
        }
    }
    for ours in EMBEDDED {
        match schemas.get(ours.name) {
            Some(kafka) => Comparison { kafka, found: &mut found }.embedded(ours),
            None => found.push(format!("{}: Kafka has no such message", ours.name)),
        }
    }
    found
}

struct Comparison<'a> {
    /// The message's schema file.
    kafka: &'a Value,
    found: &'a mut Vec<String>,
}

impl<'a> Comparison<'a> {
    fn message(&mut self, key: ApiKey, ours: MessageSchema, kind: &str, unstable: bool) {
        let kafka = self.kafka;
        let valid = versions(&kafka["validVersions"]);
        let stable = valid.map(|valid| Versions { max: valid.max - i16::from(unstable), ..valid });
        let name = ours.name;
        self.same(&format!("{name}'s key"), Some(key as i64), kafka["apiKey"].as_i64());
        self.same(&format!("{name}'s kind"), Some(kind), kafka["type"].as_str());
        self.body(ours, stable);
    }

    /// A message that travels inside others.
    fn embedded(&mut self, ours: MessageSchema) {
        self.same(&format!("{}'s kind", ours.name), Some("data"), self.kafka["type"].as_str());
        self.body(ours, versions(&self.kafka["validVersions"]));
    }

    fn body(&mut self, ours: MessageSchema, stable: Option<Versions>) {
        let (kafka, name) = (self.kafka, ours.name);
        let flexible = versions(&kafka["flexibleVersions"]).map_or(i16::MAX, |flexible| flexible.min);
        self.same(&format!("{name}'s stable versions"), Some(ours.versions), stable);
        self.same(&format!("{name}'s first flexible version"), ours.flexible_since, flexible);
        let valid = versions(&kafka["validVersions"]).unwrap_or(Versions::ALL);
        self.fields(name, ours.fields, &kafka["fields"], valid);
    }

    fn fields(&mut self, path: &str, ours: &[FieldSchema], kafka: &Value, valid: Versions) {
        let ours = ours.iter().filter(|field| overlap(Some(field.versions), valid).is_some());
        let ours: Vec<_> = ours.collect();
        let kafka = kafka.as_array().map(Vec::as_slice).unwrap_or_default();
        let kafka: Vec<_> =
            kafka.iter().filter(|field| overlap(versions(&field["versions"]), valid).is_some()).collect();
        let our_names: Vec<_> = ours.iter().map(|field| field.name.to_owned()).collect();
        let kafka_names: Vec<_> = kafka.iter().map(|field| snake_case(text(&field["name"]))).collect();
        self.same(&format!("{path}'s fields"), &our_names, &kafka_names);
        for (ours, kafka) in ours.iter().zip(kafka).filter(|_| our_names == kafka_names) {
            self.field(&format!("{path}.{}", ours.name), ours, kafka, valid);
        }
    }

    fn field(&mut self, path: &str, ours: &FieldSchema, kafka: &Value, valid: Versions) {
        let present = overlap(versions(&kafka["versions"]), valid);
        let nullable = |versions| overlap(versions, present.unwrap_or(Versions::ALL));
        self.same(&format!("{path}'s versions"), overlap(Some(ours.versions), valid), present);
        self.same(
            &format!("{path}'s nullable versions"),
            nullable(ours.nullable),
            nullable(versions(&kafka["nullableVersions"])),
        );
        self.same(&format!("{path}'s tag"), ours.tag.map(i64::from), kafka["tag"].as_i64());
        let tagged = ours.tag.and(present);
        self.same(
            &format!("{path}'s tagged versions"),
            tagged,
            overlap(versions(&kafka["taggedVersions"]), valid),
        );
        self.same(&format!("{path}'s type"), type_name(ours.ty), kafka_type(text(&kafka["type"])));
        self.default(path, ours, kafka, present != Some(valid) || tagged.is_some());
        if let Some(fields) = struct_fields(ours.ty) {
            self.fields(path, fields, self.kafka_fields(kafka), present.unwrap_or(valid));
        }
    }

    /// The fields of a structure: written where it is used, or once for all its uses.
    fn kafka_fields<'k>(&self, field: &'k Value) -> &'k Value
    where
        'a: 'k,
    {
        let name = text(&field["type"]).trim_start_matches("[]");
        let common = self.kafka["commonStructs"].as_array().map(Vec::as_slice).unwrap_or_default();
        let of_all = common.iter().find(|common| text(&common["name"]) == name);
        of_all.map_or(&field["fields"], |common| &common["fields"])
    }

    /// An empty value of Kafka's and our null differ only where the default can be seen.
    fn default(&mut self, path: &str, ours: &FieldSchema, kafka: &Value, can_be_seen: bool) {
        let null = kafka["default"] == "null";
        if ours.nullable.is_none() {
            self.same(&format!("{path}'s default"), our_default(ours), kafka_default(&kafka["default"]));
        } else if !null && can_be_seen && !NULL_WHERE_KAFKA_IS_EMPTY.contains(&path) {
            self.found.push(format!("{path}'s default: null here, empty in Kafka"));
        }
    }

    fn same<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, ours: T, kafka: T) {
        if ours != kafka {
            self.found.push(format!("{what}: {ours:?} here, {kafka:?} in Kafka"));
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A range as Kafka writes it: `3+`, `0-4`, `2`; `None` for `none` and for nothing.
fn versions(value: &Value) -> Option<Versions> {
    let text = value.as_str()?;
    if let Some(min) = text.strip_suffix('+') {
        return Some(Versions::since(min.parse().ok()?));
    }
    let (min, max) = text.split_once('-').unwrap_or((text, text));
    Some(Versions::between(min.parse().ok()?, max.parse().ok()?))
}

fn overlap(one: Option<Versions>, other: Versions) -> Option<Versions> {
    let one = one?;
    let both = Versions::between(one.min.max(other.min), one.max.min(other.max));
    (both.min <= both.max).then_some(both)
}

/// `ThrottleTimeMs` as `throttle_time_ms`.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// A type without the names of structures.
fn type_name(ty: TypeName) -> String {
    match ty {
        TypeName::Primitive(name) => name.to_owned(),
        TypeName::Struct(_) => "structure".to_owned(),
        TypeName::Array(element) => format!("[]{}", type_name(*element)),
        TypeName::Nullable(inner) => type_name(*inner),
    }
}

/// The same of a type in Kafka's files, where only structures begin with a capital.
fn kafka_type(name: &str) -> String {
    match name.strip_prefix("[]") {
        Some(element) => format!("[]{}", kafka_type(element)),
        None if name.starts_with(|first: char| first.is_ascii_uppercase()) => "structure".to_owned(),
        None => name.to_owned(),
    }
}

fn struct_fields(ty: TypeName) -> Option<&'static [FieldSchema]> {
    match ty {
        TypeName::Primitive(_) => None,
        TypeName::Struct(schema) => Some(schema.fields),
        TypeName::Array(inner) | TypeName::Nullable(inner) => struct_fields(*inner),
    }
}

/// The default of a field that is never null, as a number; 0 stands for all that is zero, false or empty.
fn our_default(field: &FieldSchema) -> Result<i64, String> {
    match field.default {
        None => Ok(0),
        Some("i32::MIN") => Ok(i32::MIN.into()),
        Some("i32::MAX") => Ok(i32::MAX.into()),
        Some("i64::MAX") => Ok(i64::MAX),
        Some(other) => number(other),
    }
}

fn kafka_default(value: &Value) -> Result<i64, String> {
    match value {
        Value::Null => Ok(0),
        Value::String(text) => number(text),
        other => number(&other.to_string()),
    }
}

fn number(text: &str) -> Result<i64, String> {
    let parsed = match (text, text.strip_prefix("0x")) {
        ("" | "false", _) => Ok(0),
        ("true", _) => Ok(1),
        (_, Some(digits)) => i64::from_str_radix(digits, 16),
        (decimal, None) => decimal.parse(),
    };
    parsed.map_err(|_| text.to_owned())
}
