//! What the deserializers of all formats do first: find the schema's name, and the schema.

use std::sync::Arc;

use ottla_core::wire_format::{Framed, SchemaIdIn};

use super::{DeserializeError, Schema, SchemaRegistry, SchemaType};
use crate::consumer::{Preparing, Serialized};

/// Whom a deserializer asks, and where names are.
#[derive(Debug, Clone)]
pub(super) struct Registered {
    pub(super) registry: SchemaRegistry,
    pub(super) place: SchemaIdIn,
}

impl Registered {
    /// Asks this registry.
    pub(super) fn new(registry: SchemaRegistry) -> Self {
        Self { registry, place: SchemaIdIn::default() }
    }

    /// `None` is a null, for which nobody is asked.
    pub(super) fn frame<'a>(&self, field: &Serialized<'a>) -> Result<Option<Framed<'a>>, DeserializeError> {
        let framed = field.bytes.map(|bytes| Framed::read(bytes, field.headers(), field.field, self.place));
        Ok(framed.transpose()?)
    }

    /// The schema, of this type. Blocks where it is not known yet.
    pub(super) fn schema(
        &self,
        framed: &Framed<'_>,
        expected: &SchemaType,
    ) -> Result<Arc<Schema>, DeserializeError> {
        let schema = match self.registry.known(framed.schema()) {
            Some(schema) => schema,
            None => self.registry.schema_blocking(framed.schema())?,
        };
        match schema.schema_type() == expected {
            true => Ok(schema),
            false => Err(DeserializeError::OtherType(schema.schema_type().clone())),
        }
    }

    /// Asks for the schema, where it is not known yet. What is in no wire format is told later.
    pub(super) fn prepare(&self, field: &Serialized<'_>) -> Option<Preparing<DeserializeError>> {
        let id = self.frame(field).ok()??.schema();
        if self.registry.known(id).is_some() {
            return None;
        }
        let registry = self.registry.clone();
        Some(Box::pin(async move { Ok(registry.schema(id).await.map(drop)?) }))
    }
}

/// The constructor and the settings of a deserializer that has a [`Registered`], and how it is one.
macro_rules! registered {
    () => {
        /// Where the schema's id is looked for. Default: in the field's header, or else before the data.
        #[must_use]
        pub fn schema_id_in(mut self, place: ottla_core::wire_format::SchemaIdIn) -> Self {
            self.registered.place = place;
            self
        }
    };
}

macro_rules! prepares {
    () => {
        fn deserialize(&self, topic: &str, bytes: Option<&[u8]>) -> Result<Self::Output, DeserializeError> {
            self.deserialize_field(&Serialized::new(topic, ottla_core::wire_format::Field::Value, bytes))
        }

        fn prepare(&self, field: &Serialized<'_>) -> Option<Preparing<DeserializeError>> {
            self.registered.prepare(field)
        }

        fn is_retriable(&self, error: &DeserializeError) -> bool {
            error.is_retriable()
        }
    };
}

pub(super) use {prepares, registered};
