//! Schemas out of a registry with Confluent's API, and deserializers of data in Confluent's wire format.
//!
//! A [`SchemaRegistry`] looks schemas up by the ids that records bear, each once: however many ask at the same time, one request is
//! made, and what came is kept. [`RegisteredJson`], and with the features `avro`, `json-schema` and `protobuf` `Avro`, `AvroValue`,
//! `JsonSchema` and `Protobuf`, are [`Deserializer`](crate::Deserializer)s with such a registry. `docs/typed-values.md` has what each
//! does with which bytes.
//!
//! ```no_run
//! # #[cfg(feature = "avro")]
//! # async fn run(consumer: ottla::config::ConsumerBuilder) -> Result<(), Box<dyn std::error::Error>> {
//! use ottla::{HandlerError, Processor, schema_registry::{Avro, SchemaRegistry}};
//!
//! #[derive(serde::Deserialize)]
//! struct Order { total: i64 }
//!
//! let registry = SchemaRegistry::builder(["http://localhost:8081"]).build()?;
//! let orders = Avro::<Order>::new(registry);
//! Processor::new(consumer)
//!     .each_message(move |message| {
//!         let orders = orders.clone();
//!         async move {
//!             if let Some(order) = message.value_as(&orders).await? {
//!                 println!("{}", order.total);
//!             }
//!             Ok::<(), HandlerError>(())
//!         }
//!     })
//!     .run()
//!     .await?;
//! # Ok(())
//! # }
//! ```

mod builder;
mod error;
mod fetching;
mod flights;
#[cfg(ottla_fuzzing)]
pub(crate) mod fuzzing;
mod http;
mod json;
mod registered;
mod schema;

use std::{fmt, sync::Arc};

pub use ottla_core::wire_format::{Field, Framed, MessageIndexes, SchemaId, SchemaIdIn, WireFormatError};

#[cfg(feature = "avro")]
mod avro;
#[cfg(feature = "json-schema")]
mod json_schema;
#[cfg(feature = "protobuf")]
mod protobuf;

#[cfg(feature = "avro")]
pub use self::avro::{Avro, AvroValue, apache_avro};
use self::flights::Flights;
#[cfg(feature = "json-schema")]
pub use self::json_schema::JsonSchema;
#[cfg(feature = "protobuf")]
pub use self::protobuf::{Protobuf, prost_reflect};
pub use self::{
    builder::SchemaRegistryBuilder,
    error::{DeserializeError, SchemaRegistryError, SchemaRegistryErrorKind},
    json::RegisteredJson,
    schema::{Referenced, Schema, SchemaType},
};

/// A client of a schema registry. Clones share what they know.
#[derive(Clone)]
pub struct SchemaRegistry(Arc<Handle>);

/// Ends what is under way with the last clone.
struct Handle(Arc<Flights>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl SchemaRegistry {
    /// A client of the registry at these addresses, such as `http://localhost:8081`: all of one registry, of which the next is asked
    /// where one fails. A path is kept, as of Apicurio (`http://localhost:8080/apis/ccompat/v7`) or of a context.
    pub fn builder<S: Into<String>>(urls: impl IntoIterator<Item = S>) -> SchemaRegistryBuilder {
        SchemaRegistryBuilder::new(urls.into_iter().map(Into::into).collect())
    }

    /// The schema of this id, with what it refers to. Cancel-safe: what was asked for is kept when it comes.
    ///
    /// # Errors
    ///
    /// Why it could not be had, after [`total_timeout`](SchemaRegistryBuilder::total_timeout) at the latest. It is not kept: the next
    /// call asks again.
    pub async fn schema(&self, id: SchemaId) -> Result<Arc<Schema>, SchemaRegistryError> {
        self.0.0.clone().ask(id).await
    }

    /// As [`schema`](Self::schema), for threads that may block.
    ///
    /// # Errors
    ///
    /// As [`schema`](Self::schema).
    pub fn schema_blocking(&self, id: SchemaId) -> Result<Arc<Schema>, SchemaRegistryError> {
        flights::block_on(self.0.0.clone().ask(id))
    }

    /// The schema, where it is known without a request.
    pub fn known(&self, id: SchemaId) -> Option<Arc<Schema>> {
        self.0.0.known(id)
    }
}

impl fmt::Debug for SchemaRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SchemaRegistry").field("urls", &self.0.0.urls()).finish_non_exhaustive()
    }
}
