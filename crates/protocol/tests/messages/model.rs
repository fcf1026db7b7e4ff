//! A second, plain encoder: values as trees, written by nothing but the field tables and the protocol guide's rules.
//! It shares no code with the crate's own encoders and decoders, so that a fault in those shows.

use crate::{Direction, Subject};
use fastrand::Rng;
use ottla_protocol::codec::{FieldSchema, StructSchema, TypeName};

/// A value of any type.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// Of fixed width, big-endian.
    Fixed(Vec<u8>),
    /// Text, bytes or records.
    Text(Option<Vec<u8>>),
    /// One element after the other.
    Array(Option<Vec<Value>>),
    /// One value a field, whether or not a version has it.
    Struct(Vec<Value>),
    /// A structure where null is possible.
    Optional(Option<Vec<Value>>),
}

/// The version for which something is written.
#[derive(Clone, Copy)]
pub(crate) struct Form {
    version: i16,
    flexible: bool,
}

impl Form {
    pub(crate) fn of(subject: Subject) -> Self {
        Self { version: subject.version, flexible: subject.is_flexible() }
    }

    fn has(self, field: &FieldSchema) -> bool {
        field.versions.contains(self.version)
    }

    fn nulls(self, field: &FieldSchema) -> bool {
        field.nullable.is_some_and(|versions| versions.contains(self.version))
    }
}

fn width(primitive: &str) -> Option<usize> {
    Some(match primitive {
        "bool" | "int8" => 1,
        "int16" | "uint16" => 2,
        "int32" => 4,
        "int64" | "float64" => 8,
        "uuid" => 16,
        _ => return None,
    })
}

/// A random value for each field.
pub(crate) fn random_fields(rng: &mut Rng, fields: &[FieldSchema]) -> Vec<Value> {
    fields.iter().map(|field| random(rng, field.ty)).collect()
}

fn random(rng: &mut Rng, ty: TypeName) -> Value {
    match ty {
        TypeName::Primitive("bool") => Value::Fixed(vec![rng.u8(..2)]),
        TypeName::Primitive(name) => match width(name) {
            Some(width) => Value::Fixed(match rng.u8(..4) {
                0 => vec![0; width],
                1 => vec![0xff; width],
                2 => [vec![0x7f], vec![0xff; width - 1]].concat(),
                _ => (0..width).map(|_| rng.u8(..)).collect(),
            }),
            None => Value::Text(Some(random_text(rng))),
        },
        TypeName::Nullable(inner) => match random(rng, *inner) {
            Value::Struct(values) => Value::Optional(Some(values).filter(|_| rng.u8(..4) > 0)),
            Value::Text(_) if rng.u8(..4) == 0 => Value::Text(None),
            Value::Array(_) if rng.u8(..4) == 0 => Value::Array(None),
            value => value,
        },
        TypeName::Array(element) => {
            Value::Array(Some((0..rng.usize(..4)).map(|_| random(rng, *element)).collect()))
        }
        TypeName::Struct(schema) => Value::Struct(random_fields(rng, schema.fields)),
    }
}

/// The smallest value of each field but that arrays nested no deeper than `depth` have three elements.
pub(crate) fn smallest_fields(fields: &[FieldSchema], depth: usize) -> Vec<Value> {
    fields.iter().map(|field| smallest(field.ty, depth)).collect()
}

fn smallest(ty: TypeName, depth: usize) -> Value {
    match ty {
        TypeName::Array(element) if depth > 0 => Value::Array(Some(vec![smallest(*element, depth - 1); 3])),
        TypeName::Struct(schema) => Value::Struct(smallest_fields(schema.fields, depth)),
        TypeName::Nullable(inner) => match smallest(*inner, depth) {
            Value::Struct(values) => Value::Optional(Some(values)),
            value => value,
        },
        ty => empty(ty),
    }
}

/// Lengths on both sides of where the variable-length form grows by a byte.
fn random_text(rng: &mut Rng) -> Vec<u8> {
    let length = if rng.u8(..8) == 0 { rng.usize(120..140) } else { rng.usize(..12) };
    let letters = ['a', 'Z', '0', '.', '-', 'ö', '€', '𐍈', '\0'];
    (0..length).map(|_| letters[rng.usize(..letters.len())]).collect::<String>().into_bytes()
}

/// What a field holds where a message does not say.
fn default(field: &FieldSchema) -> Value {
    let number = match field.default {
        Some("i32::MAX") => i64::from(i32::MAX),
        Some("i32::MIN") => i64::from(i32::MIN),
        Some("i64::MAX") => i64::MAX,
        Some("true") => 1,
        Some(number) => number.parse().expect("a default is a number"),
        None => 0,
    };
    match (empty(field.ty), field.ty) {
        (Value::Fixed(zeros), _) if zeros.len() <= 8 => {
            Value::Fixed(number.to_be_bytes()[8 - zeros.len()..].to_vec())
        }
        (Value::Optional(_), _) => Value::Optional(None),
        (Value::Text(_), TypeName::Nullable(_)) => Value::Text(None),
        (Value::Array(_), TypeName::Nullable(_)) => Value::Array(None),
        (value, _) => value,
    }
}

fn empty(ty: TypeName) -> Value {
    match ty {
        TypeName::Primitive(name) => match width(name) {
            Some(width) => Value::Fixed(vec![0; width]),
            None => Value::Text(Some(Vec::new())),
        },
        TypeName::Nullable(TypeName::Struct(_)) => Value::Optional(None),
        TypeName::Nullable(inner) => empty(*inner),
        TypeName::Array(_) => Value::Array(Some(Vec::new())),
        TypeName::Struct(StructSchema { fields, .. }) => Value::Struct(fields.iter().map(default).collect()),
    }
}

/// What is left of values that were written and read in one version: the fields that it lacks have their defaults,
/// and what it cannot write as null is empty.
pub(crate) fn restricted(values: &[Value], fields: &[FieldSchema], form: Form) -> Vec<Value> {
    let kept = |(value, field): (&Value, &FieldSchema)| match value {
        _ if !form.has(field) => default(field),
        Value::Text(None) | Value::Array(None) if !form.nulls(field) => empty(field.ty),
        value => restricted_value(value, field.ty, form),
    };
    values.iter().zip(fields).map(kept).collect()
}

fn restricted_value(value: &Value, ty: TypeName, form: Form) -> Value {
    match (value, ty) {
        (Value::Optional(Some(values)), TypeName::Nullable(TypeName::Struct(schema))) => {
            Value::Optional(Some(restricted(values, schema.fields, form)))
        }
        (value, TypeName::Nullable(inner)) => restricted_value(value, *inner, form),
        (Value::Array(Some(items)), TypeName::Array(element)) => {
            Value::Array(Some(items.iter().map(|item| restricted_value(item, *element, form)).collect()))
        }
        (Value::Struct(values), TypeName::Struct(schema)) => {
            Value::Struct(restricted(values, schema.fields, form))
        }
        (value, _) => value.clone(),
    }
}

/// What goes into the places for tagged fields beside those that the tables know.
pub(crate) enum Strangers<'a> {
    None,
    /// Now and then a tagged field of a later Kafka.
    Some(&'a mut Rng),
}

/// Appends the fields that the version has.
pub(crate) fn put_fields(
    out: &mut Vec<u8>,
    values: &[Value],
    fields: &[FieldSchema],
    form: Form,
    strangers: &mut Strangers<'_>,
) {
    let mut tagged = Vec::new();
    for (value, field) in values.iter().zip(fields).filter(|(_, field)| form.has(field)) {
        let mut bytes = Vec::new();
        let value = match value {
            Value::Text(None) | Value::Array(None) if !form.nulls(field) => &empty(field.ty),
            value => value,
        };
        put(&mut bytes, value, field.ty, form, strangers);
        match field.tag {
            None => out.append(&mut bytes),
            Some(tag) if *value != default(field) => tagged.push((tag, bytes)),
            Some(_) => {}
        }
    }
    if form.flexible {
        if let Strangers::Some(rng) = strangers
            && rng.bool()
        {
            tagged.push((rng.u32(100..), random_text(rng)));
        }
        put_tagged(out, tagged);
    }
}

fn put_tagged(out: &mut Vec<u8>, mut tagged: Vec<(u32, Vec<u8>)>) {
    tagged.sort();
    put_varint(out, tagged.len() as u32);
    for (tag, bytes) in tagged {
        put_varint(out, tag);
        put_varint(out, bytes.len() as u32);
        out.extend(bytes);
    }
}

fn put(out: &mut Vec<u8>, value: &Value, ty: TypeName, form: Form, strangers: &mut Strangers<'_>) {
    match (value, ty) {
        (Value::Optional(None), _) => out.push(0xff),
        (Value::Optional(Some(values)), TypeName::Nullable(TypeName::Struct(schema))) => {
            out.push(1);
            put_fields(out, values, schema.fields, form, strangers);
        }
        (_, TypeName::Nullable(inner)) => put(out, value, *inner, form, strangers),
        (Value::Fixed(bytes), _) => out.extend(bytes),
        (Value::Text(text), TypeName::Primitive(name)) => {
            let width = if name == "string" { 2 } else { 4 };
            put_length(out, text.as_ref().map(Vec::len), width, form.flexible);
            out.extend(text.iter().flatten());
        }
        (Value::Array(items), TypeName::Array(element)) => {
            put_length(out, items.as_ref().map(Vec::len), 4, form.flexible);
            for item in items.iter().flatten() {
                put(out, item, *element, form, strangers);
            }
        }
        (Value::Struct(values), TypeName::Struct(schema)) => {
            put_fields(out, values, schema.fields, form, strangers);
        }
        (value, ty) => panic!("{value:?} is no {ty:?}"),
    }
}

/// A length, or null, in so many bytes where the version is not flexible.
pub(crate) fn put_length(out: &mut Vec<u8>, length: Option<usize>, width: usize, flexible: bool) {
    match length {
        length if flexible => put_varint(out, length.map_or(0, |length| length as u32 + 1)),
        Some(length) => out.extend(&(length as u32).to_be_bytes()[4 - width..]),
        None => out.extend(vec![0xff; width]),
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u32) {
    while value > 0x7f {
        out.push((value % 0x80) as u8 + 0x80);
        value /= 0x80;
    }
    out.push(value as u8);
}

/// A frame without its length: what stands in front of the message.
pub(crate) fn header(subject: Subject, client_id: Option<&str>, strangers: &mut Strangers<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    if subject.direction == Direction::Request {
        out.extend((subject.key as i16).to_be_bytes());
        out.extend(subject.version.to_be_bytes());
    }
    out.extend(CORRELATION_ID.to_be_bytes());
    if subject.direction == Direction::Request {
        put_length(&mut out, client_id.map(str::len), 2, false);
        out.extend(client_id.unwrap_or_default().bytes());
    }
    // A client that knows no version yet must understand the answer to its first question.
    let fixed_answer = subject.key as i16 == 18 && subject.direction == Direction::Response;
    if subject.is_flexible() && !fixed_answer {
        put_fields(&mut out, &[], &[], Form::of(subject), strangers);
    }
    out
}

/// In every frame of these tests.
pub(crate) const CORRELATION_ID: i32 = 0x0123_4567;

/// The client in every frame that names one.
pub(crate) const CLIENT_ID: Option<&str> = Some("ottla-ö");

/// A whole frame without its length.
pub(crate) fn frame(subject: Subject, values: &[Value], strangers: &mut Strangers<'_>) -> Vec<u8> {
    let mut out = header(subject, CLIENT_ID, strangers);
    put_fields(&mut out, values, subject.schema().fields, Form::of(subject), strangers);
    out
}

/// A frame of about `size` bytes whose arrays each announce as many elements as all the bytes that are left could
/// hold, whoever else announced them already; arrays nested deeper than `depth` are empty.
pub(crate) fn greedy_frame(subject: Subject, size: usize, depth: usize) -> Vec<u8> {
    let mut out = header(subject, None, &mut Strangers::None);
    put_greedy_fields(&mut out, subject.schema().fields, Form::of(subject), size, depth);
    out
}

fn put_greedy_fields(out: &mut Vec<u8>, fields: &[FieldSchema], form: Form, size: usize, depth: usize) {
    let mut tagged = Vec::new();
    for field in fields.iter().filter(|field| form.has(field)) {
        if let Some(tag) = field.tag {
            let mut bytes = Vec::new();
            let left = size.saturating_sub(out.len());
            put_greedy(&mut bytes, field.ty, form, left, depth);
            if depth > 0 {
                tagged.push((tag, bytes));
            }
        } else {
            put_greedy(out, field.ty, form, size, depth);
        }
    }
    if form.flexible {
        put_tagged(out, tagged);
    }
}

fn put_greedy(out: &mut Vec<u8>, ty: TypeName, form: Form, size: usize, depth: usize) {
    match ty {
        TypeName::Nullable(inner) => {
            if let TypeName::Struct(_) = inner {
                out.push(1);
            }
            put_greedy(out, *inner, form, size, depth);
        }
        TypeName::Array(element) => {
            let mut smallest = Vec::new();
            put_greedy(&mut smallest, *element, form, 0, 0);
            let count = size.saturating_sub(out.len() + 4) / smallest.len();
            let count = if depth == 0 { 0 } else { count };
            put_length(out, Some(count), 4, form.flexible);
            for _ in 0..count {
                if out.len() + smallest.len() > size {
                    break;
                }
                put_greedy(out, *element, form, size, depth - 1);
            }
        }
        TypeName::Struct(schema) => put_greedy_fields(out, schema.fields, form, size, depth),
        ty => put(out, &empty(ty), ty, form, &mut Strangers::None),
    }
}
