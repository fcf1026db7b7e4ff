//! A property, in one place: its key, how its value is read, where that goes, and what the documentation says of it.

/// A property that a client takes by Kafka's own key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Property {
    /// Its key. Those that begin with `ottla.` are this client's own.
    pub name: &'static str,
    /// What its values are: `ms`, `bytes`, a number, or some words.
    pub values: &'static str,
    /// What stands where it is not set; empty where nothing does.
    pub default: &'static str,
    /// What stands in Java's client, Kafka 4.4.0.
    pub java: JavaDefault,
    /// What it is for.
    pub meaning: &'static str,
}

/// What stands in Java's client where a property is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum JavaDefault {
    /// The same as here.
    Same,
    /// This; empty for nothing.
    Other(&'static str),
    /// Java's client has no such property.
    Absent,
}

/// The properties of a builder: `key: values, default, Java's default, meaning, field = how to read it;`. Without a field it
/// is only checked, as there is but one value to choose.
macro_rules! properties {
    ($builder:ty; $(
        $name:literal: $values:literal, $default:literal, $java:expr, $meaning:literal,
            $($($field:ident).+)? = $read:expr;
    )*) => {
        pub(in crate::config) const PROPERTIES: &[Property] = &[$(
            Property { name: $name, values: $values, default: $default, java: $java, meaning: $meaning },
        )*];

        impl $builder {
            /// Sets the property, if it is one of these.
            pub(in crate::config) fn take(&mut self, key: &str, value: &str) -> Result<bool, BuildError> {
                match key {
                    $( $name => properties!(self $(.$($field).+)? = $read(key, value)?), )*
                    _ => return Ok(false),
                }
                Ok(true)
            }
        }
    };
    ($builder:ident = $value:expr) => {
        $value
    };
    ($builder:ident .$($field:ident).+ = $value:expr) => {
        $builder.$($field).+ = $value.into()
    };
}

pub(super) use properties;
