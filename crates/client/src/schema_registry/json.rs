//! JSON in Confluent's wire format.

use std::{fmt, marker::PhantomData};

use serde::de::DeserializeOwned;

use super::{
    DeserializeError, SchemaRegistry, SchemaType,
    registered::{Registered, prepares, registered},
};
use crate::consumer::{Deserializer, Preparing, Serialized};

/// JSON with a schema's id, by serde_json. A null is `None`.
///
/// The schema has to be there, and to be of JSON Schema; **the data are not held against it**, as Java's deserializer does not unless
/// `json.fail.invalid.schema` is set: `T` says what is expected. Nesting is bounded by serde_json, at 128 levels.
///
/// A [`TypedConsumer`](crate::TypedConsumer) blocks its thread for a schema that is not known yet, for
/// [`total_timeout`](super::SchemaRegistryBuilder::total_timeout) at the most;
/// [`Message::value_as`](crate::processor::Message::value_as) does not.
pub struct RegisteredJson<T> {
    registered: Registered,
    value: PhantomData<fn() -> T>,
}

impl<T> RegisteredJson<T> {
    /// Makes `T`s.
    pub fn new(registry: SchemaRegistry) -> Self {
        let registered = Registered::new(registry);
        Self { registered, value: PhantomData }
    }

    registered!();
}

impl<T: DeserializeOwned> Deserializer for RegisteredJson<T> {
    type Output = Option<T>;
    type Error = DeserializeError;

    fn deserialize_field(&self, field: &Serialized<'_>) -> Result<Option<T>, DeserializeError> {
        let Some(framed) = self.registered.frame(field)? else { return Ok(None) };
        let data = framed.data()?;
        self.registered.schema(&framed, &SchemaType::Json)?;
        serde_json::from_slice(data).map(Some).map_err(|why| DeserializeError::Data(why.into()))
    }

    prepares!();
}

// Derived, these would ask the same of `T`.

impl<T> Clone for RegisteredJson<T> {
    fn clone(&self) -> Self {
        Self { registered: self.registered.clone(), value: PhantomData }
    }
}

impl<T> fmt::Debug for RegisteredJson<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegisteredJson").field("registered", &self.registered).finish()
    }
}
