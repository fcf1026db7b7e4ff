//! JSON in Confluent's wire format, held against its schema.

mod bounds;
mod compile;
mod graph;
mod walk;

use std::{fmt, marker::PhantomData, sync::OnceLock};

use ottla_core::{caught, wire_format::SchemaId};
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::{bounds::Limits, compile::Compiled};
use super::{
    DeserializeError, Schema, SchemaRegistry, SchemaType,
    registered::{Registered, prepares, registered},
};
use crate::consumer::{Deserializer, Preparing, Serialized};

/// A schema that is compiled once, or why it is none.
pub(super) type Once = OnceLock<Result<Compiled, String>>;

/// How much is told of a place, and of what was expected there, in characters: names in a value may be of any length.
const TOLD_MAX: usize = 300;
/// How much memory it may take to tell what a value is not, in bytes.
const TELLING_MAX: usize = 32 << 20;
/// How often the parts of a value may be looked at, all in all: some seconds, which are minutes under the address sanitizer.
const LOOKS_MAX: u64 = if cfg!(ottla_fuzzing) { 1_000_000 } else { 100_000_000 };

/// JSON with a schema's id, held against that schema by the library `jsonschema`, and then by serde to a type of the program. A null is
/// `None`.
///
/// Drafts 4, 6, 7, 2019-09 and 2020-12 are known, by `$schema`; without one it is 2020-12. What the schema refers to comes from the
/// registry, as its references, and from nowhere else. `format`, `contentEncoding` and `contentMediaType` are not looked at. `$dynamicRef`
/// and `$recursiveRef` are refused.
///
/// A value that is not what the schema says is [`DeserializeError::Data`], which tells the place in the value, what was expected there, and
/// the keyword and the id of the schema, but not the value. A schema that cannot be worked with is [`DeserializeError::Schema`], with its id.
///
/// Both are bounded, and fail as a record beyond it. A value may be nested 24 deep, and take 64 MiB of memory. Of a schema's parts 16 may
/// stand within each other for one value, and none of them again; it may come to 20,000 schemas and 64 patterns, and look at a part
/// of a value 100,000 times.
///
/// A [`TypedConsumer`](crate::TypedConsumer) blocks its thread for a schema that is not known yet, for
/// [`total_timeout`](super::SchemaRegistryBuilder::total_timeout) at the most;
/// [`Message::value_as`](crate::processor::Message::value_as) does not.
pub struct JsonSchema<T> {
    registered: Registered,
    memory_max: usize,
    value: PhantomData<fn() -> T>,
}

impl<T> JsonSchema<T> {
    /// Makes `T`s.
    pub fn new(registry: SchemaRegistry) -> Self {
        let registered = Registered::new(registry);
        Self { registered, memory_max: 64 << 20, value: PhantomData }
    }

    registered!();

    /// How much memory a value may take, in bytes: estimated, from above. Default 64 MiB.
    #[must_use]
    pub fn memory_max(mut self, bytes: usize) -> Self {
        self.memory_max = bytes;
        self
    }
}

impl<T: DeserializeOwned> Deserializer for JsonSchema<T> {
    type Output = Option<T>;
    type Error = DeserializeError;

    fn deserialize_field(&self, field: &Serialized<'_>) -> Result<Option<T>, DeserializeError> {
        let Some(framed) = self.registered.frame(field)? else { return Ok(None) };
        let data = framed.data()?;
        let id = framed.schema();
        let schema = self.registered.schema(&framed, &SchemaType::Json)?;
        let compiled = compiled(&schema);
        let compiled =
            compiled.map_err(|why| DeserializeError::Schema(format!("schema {id}: {why}").into()))?;
        let parts = walk::parts(data, self.memory_max)?;
        if compiled.looks.saturating_mul(parts) > LOOKS_MAX {
            return Err(DeserializeError::TooLarge(
                "the data are too large for how often the schema looks at them",
            ));
        }
        let unread = |why: serde_json::Error| DeserializeError::Data(why.into());
        let value: Value = serde_json::from_slice(data).map_err(unread)?;
        let held = caught(|| held_against(compiled, &value, id));
        held.unwrap_or_else(Err).map_err(|why| DeserializeError::Data(why.into()))?;
        // Of what was looked at, and not of the bytes again: of a name that comes twice both might be believed.
        serde_json::from_value(value).map(Some).map_err(unread)
    }

    prepares!();
}

fn compiled(schema: &Schema) -> Result<&Compiled, &String> {
    schema.json_schema.get_or_init(|| Compiled::of(schema, &Limits::USUAL)).as_ref()
}

/// Why the value is not what the schema says: where, what was expected, and by what.
fn held_against(compiled: &Compiled, value: &Value, id: SchemaId) -> Result<(), String> {
    // This takes no memory for what fails, and remembers what refers back.
    if compiled.validator.is_valid(value) {
        return Ok(());
    }
    if !bounds::can_be_told(&compiled.graph, value, TELLING_MAX) {
        return Err(format!("they have too many branches for where they differ from schema {id} to be told"));
    }
    let Err(error) = compiled.validator.validate(value) else { return Ok(()) };
    let short = |told: &dyn fmt::Display| told.to_string().chars().take(TOLD_MAX).collect::<String>();
    let (place, expected, by) =
        (short(error.instance_path()), short(&error.masked()), short(error.schema_path()));
    Err(format!("at `{place}`: {expected} (`{by}` of schema {id})"))
}

// Derived, these would ask the same of `T`.

impl<T> Clone for JsonSchema<T> {
    fn clone(&self) -> Self {
        Self { registered: self.registered.clone(), memory_max: self.memory_max, value: PhantomData }
    }
}

impl<T> fmt::Debug for JsonSchema<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonSchema").field("registered", &self.registered).finish_non_exhaustive()
    }
}
