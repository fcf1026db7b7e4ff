//! JSON, by serde: the feature `json`.

use std::{fmt, marker::PhantomData};

use serde::de::DeserializeOwned;

use super::Deserializer;

/// JSON, by serde_json (with the feature `json`).
///
/// A null (no key, or a tombstone) is JSON's `null`: with `Json<Order>` it does not parse, with `Json<Option<Order>>` it is
/// `None`.
///
/// ```
/// use ottla::{Deserializer, Json};
///
/// #[derive(Debug, PartialEq, serde::Deserialize)]
/// struct Order {
///     id: u64,
/// }
///
/// let orders = Json::<Order>::new();
/// assert_eq!(orders.deserialize("orders", Some(br#"{"id": 7}"#)).unwrap(), Order { id: 7 });
/// assert!(orders.deserialize("orders", None).is_err());
/// assert_eq!(Json::<Option<Order>>::new().deserialize("orders", None).unwrap(), None);
/// ```
pub struct Json<T>(PhantomData<fn() -> T>);

impl<T> Json<T> {
    /// Makes `T`s.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T: DeserializeOwned> Deserializer for Json<T> {
    type Output = T;
    type Error = serde_json::Error;

    fn deserialize(&self, _topic: &str, bytes: Option<&[u8]>) -> Result<T, serde_json::Error> {
        serde_json::from_slice(bytes.unwrap_or(b"null"))
    }
}

// Derived, these would ask the same of `T`.

impl<T> Default for Json<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for Json<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Json<T> {}

impl<T> fmt::Debug for Json<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Json")
    }
}
