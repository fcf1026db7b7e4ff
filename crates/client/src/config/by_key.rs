//! The way in for properties: each builder takes its client's by Kafka's own keys, and says why it refuses one.

use super::{
    admin::AdminBuilder,
    consumer::ConsumerBuilder,
    known::{ADMIN, CONSUMER, PRODUCER},
    producer::ProducerBuilder,
    property::Property,
};
use crate::error::BuildError;

/// The way in of a builder, over its `take` and that of its field `common`; the list says what its client knows.
macro_rules! by_key {
    ($builder:ty, $known:ident) => {
        impl $builder {
            /// A builder with these properties set: Kafka's own keys, as in its properties files ([`Properties`] reads
            /// one).
            ///
            /// # Errors
            ///
            /// [`BuildError`]: a key that is unknown, with the nearest that is known; one that is another client's, or known
            /// to Kafka and not supported yet; a value that cannot be read. Values that do not fit together are told by
            /// [`build`](Self::build).
            ///
            /// [`Properties`]: crate::Properties
            pub fn from_properties<K: AsRef<str>, V: AsRef<str>>(
                properties: impl IntoIterator<Item = (K, V)>,
            ) -> Result<Self, BuildError> {
                Self::default().properties(properties)
            }

            /// Sets properties by Kafka's own keys. The last one of a key stands, be it set here or by its setter.
            ///
            /// # Errors
            ///
            /// As [`from_properties`](Self::from_properties).
            pub fn properties<K: AsRef<str>, V: AsRef<str>>(
                mut self,
                properties: impl IntoIterator<Item = (K, V)>,
            ) -> Result<Self, BuildError> {
                for (key, value) in properties {
                    self.set(key.as_ref(), value.as_ref())?;
                }
                Ok(self)
            }

            fn set(&mut self, key: &str, value: &str) -> Result<(), BuildError> {
                match self.take(key, value)?
                    || self.common.take(key, value)?
                    || self.common.secured.take_any(key, value)?
                {
                    true => Ok(()),
                    false => $known.refuse(key, value),
                }
            }

            /// The properties that this client takes, by name.
            pub fn known_properties() -> impl Iterator<Item = Property> {
                let mut all: Vec<Property> = $known.supported().copied().collect();
                all.sort_unstable_by_key(|property| property.name);
                all.into_iter()
            }
        }
    };
}

by_key!(AdminBuilder, ADMIN);
by_key!(ConsumerBuilder, CONSUMER);
by_key!(ProducerBuilder, PRODUCER);
