//! Messages whose keys and values are read typed.

use ottla_core::wire_format::Field;

use super::{HandlerError, Message};
use crate::consumer::Deserializer;

impl Message {
    /// The value as this deserializer makes it.
    ///
    /// To be called in the handler, with `?`: bytes that do not parse fail the record for good ([`HandlerError::fatal`]), so that it
    /// goes where hopeless records go, with its raw bytes; what could not be asked of a schema registry fails it so that it is
    /// tried again ([`HandlerError::retriable`]). Cancel-safe: what a registry was asked for is kept when it comes.
    ///
    /// ```no_run
    /// # use ottla::{HandlerError, processor::Message};
    /// # #[derive(serde::Deserialize)]
    /// # struct Order { total: u64 }
    /// async fn charge(message: Message) -> Result<(), HandlerError> {
    ///     let order = message.value_as(&ottla::Json::<Order>::new()).await?;
    ///     println!("charged {}", order.total);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// What the deserializer says, of the class that [`Deserializer::is_retriable`] tells.
    pub async fn value_as<D: Deserializer>(&self, deserializer: &D) -> Result<D::Output, HandlerError> {
        self.field_as(deserializer, Field::Value).await
    }

    /// The key as this deserializer makes it. As [`value_as`](Self::value_as).
    ///
    /// # Errors
    ///
    /// As [`value_as`](Self::value_as).
    pub async fn key_as<D: Deserializer>(&self, deserializer: &D) -> Result<D::Output, HandlerError> {
        self.field_as(deserializer, Field::Key).await
    }

    async fn field_as<D: Deserializer>(&self, by: &D, field: Field) -> Result<D::Output, HandlerError> {
        let serialized = self.record().serialized(field);
        let failed = |error: D::Error| match by.is_retriable(&error) {
            true => HandlerError::retriable(error),
            false => HandlerError::fatal(error),
        };
        if let Some(preparing) = by.prepare(&serialized) {
            preparing.await.map_err(failed)?;
        }
        by.deserialize_field(&serialized).map_err(failed)
    }
}
