//! The form in which messages are declared, so that one reads like the protocol guide:
//!
//! ```text
//! messages! {
//!     HeartbeatRequest(versions 0..=4, flexible 4..) {
//!         group_id: String,
//!         generation_id: i32,
//!         member_id: String,
//!         /// KIP-345.
//!         group_instance_id: Option<String> [3..],
//!     }
//! }
//! ```
//!
//! In brackets: the versions that have the field (all, if not said), `nullable` from which version (as long as the
//! field is there, if not said), its `tag` (KIP-482). After `=` its default, where that is not zero or empty. A
//! structure without parentheses is a part of others. A field that a version lacks is left out when written, and has
//! its default when read. The macro also keeps each field's facts, to be compared with Kafka's own schema files.

use super::{TypeName, Versions};

/// The facts of a message that travels by itself.
#[derive(Debug, Clone, Copy)]
pub struct MessageSchema {
    /// Its name in Kafka's schema files.
    pub name: &'static str,
    /// The versions that are defined here.
    pub versions: Versions,
    /// The first flexible version (KIP-482).
    pub flexible_since: i16,
    /// Its fields in order.
    pub fields: &'static [FieldSchema],
}

/// The facts of one structure.
#[derive(Debug)]
pub struct StructSchema {
    /// Its name here.
    pub name: &'static str,
    /// Its fields in order.
    pub fields: &'static [FieldSchema],
}

/// The facts of one field.
#[derive(Debug)]
pub struct FieldSchema {
    /// Its name in snake case.
    pub name: &'static str,
    /// Its type.
    pub ty: TypeName,
    /// The versions that have it.
    pub versions: Versions,
    /// The versions in which it may be null, if any.
    pub nullable: Option<Versions>,
    /// Its tag, where it is a tagged field.
    pub tag: Option<u32>,
    /// Its default as written, where that is not zero, empty or null.
    pub default: Option<&'static str>,
}

macro_rules! messages {
    ($(
        $(#[$doc:meta])*
        $name:ident $( ( versions $vlo:literal ..= $vhi:literal, flexible $flex:literal .. ) )? {
            $(
                $(#[$field_doc:meta])*
                $field:ident : $ty:ty
                    $( [ $lo:literal $(..= $hi:literal)? $(..)? $(, nullable $nlo:literal ..)? $(, tag $tag:literal)? ] )?
                    $( = $default:expr )?
            ),* $(,)?
        }
    )*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $( $(#[$field_doc])* pub $field: $ty, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $crate::codec::message::default!($($default)?), )* }
            }
        }

        impl $crate::codec::Wire for $name {
            const TYPE: $crate::codec::TypeName = $crate::codec::TypeName::Struct(&$crate::codec::StructSchema {
                name: stringify!($name),
                fields: &[$( $crate::codec::FieldSchema {
                    name: stringify!($field),
                    ty: <$ty as $crate::codec::Wire>::TYPE,
                    versions: $crate::codec::message::versions!($($lo $($hi)?)?),
                    nullable: $crate::codec::message::nullable(
                        <$ty as $crate::codec::Wire>::TYPE,
                        $crate::codec::message::versions!($($($nlo)?)?),
                        $crate::codec::message::versions!($($lo $($hi)?)?),
                    ),
                    tag: $crate::codec::message::option!($($($tag)?)?),
                    default: $crate::codec::message::option!($(stringify!($default))?),
                } ),*],
            });

            fn min_size(v: $crate::codec::Version) -> usize {
                let mut size = usize::from(v.flexible);
                $( $crate::codec::message::untagged!([$($($tag)?)?] {
                    if $crate::codec::message::versions!($($lo $($hi)?)?).contains(v.number) {
                        size += <$ty as $crate::codec::Wire>::min_size(v);
                    }
                }); )*
                size
            }

            fn encode<W: $crate::codec::Writable>(&self, out: &mut W, v: $crate::codec::Version) {
                #[allow(unused_mut, reason = "most structures have no tagged field")]
                let mut tagged = $crate::codec::tagged::TaggedFields::default();
                $( if $crate::codec::message::versions!($($lo $($hi)?)?).contains(v.number) {
                    let v = v.nullable_in($crate::codec::message::versions!($($($nlo)?)?));
                    $crate::codec::message::either!([$($($tag)?)?]
                        tag => {
                            let default: $ty = $crate::codec::message::default!($($default)?);
                            if self.$field != default {
                                tagged.push(tag, |out| $crate::codec::Wire::encode(&self.$field, out, v));
                            }
                        },
                        $crate::codec::Wire::encode(&self.$field, out, v)
                    );
                } )*
                if v.flexible {
                    tagged.encode(out.bytes());
                }
            }

            fn decode(
                r: &mut $crate::codec::Reader<'_>,
                v: $crate::codec::Version,
            ) -> Result<Self, $crate::codec::DecodeError> {
                let mut value = Self::default();
                $( $crate::codec::message::untagged!([$($($tag)?)?] {
                    if $crate::codec::message::versions!($($lo $($hi)?)?).contains(v.number) {
                        let v = v.nullable_in($crate::codec::message::versions!($($($nlo)?)?));
                        value.$field =
                            $crate::codec::Wire::decode(r, v).map_err(|e| e.in_field(stringify!($field)))?;
                    }
                }); )*
                if v.flexible {
                    $crate::codec::tagged::decode_tagged(r, |_tag, _r| {
                        $( $crate::codec::message::either!([$($($tag)?)?]
                            tag => if _tag == tag
                                && $crate::codec::message::versions!($($lo $($hi)?)?).contains(v.number)
                            {
                                let v = v.nullable_in($crate::codec::message::versions!($($($nlo)?)?));
                                value.$field = $crate::codec::Wire::decode(_r, v)
                                    .map_err(|e| e.in_field(stringify!($field)))?;
                            },
                            {}
                        ); )*
                        Ok(())
                    })?;
                }
                Ok(value)
            }
        }

        /// In front of a structure that may be null stands a byte: 1, or -1 for null.
        impl $crate::codec::wire::Nullable for $name {
            fn least_size(_: $crate::codec::Version) -> usize {
                1
            }
            fn encode_some<W: $crate::codec::Writable>(&self, out: &mut W, v: $crate::codec::Version) {
                out.bytes().push(1);
                $crate::codec::Wire::encode(self, out, v);
            }
            fn encode_null(out: &mut Vec<u8>, _: $crate::codec::Version) {
                out.push(0xff);
            }
            fn decode_nullable(
                r: &mut $crate::codec::Reader<'_>,
                v: $crate::codec::Version,
            ) -> Result<Option<Self>, $crate::codec::DecodeError> {
                match <i8 as $crate::codec::Wire>::decode(r, v)? {
                    ..0 => Ok(None),
                    _ => $crate::codec::Wire::decode(r, v).map(Some),
                }
            }
        }

        $( impl $crate::api::Message for $name {
            const NAME: &'static str = stringify!($name);
            const VERSIONS: $crate::codec::Versions = $crate::codec::Versions::between($vlo, $vhi);
            const FLEXIBLE: i16 = $flex;
        } )?
    )*};
}
pub(crate) use messages;

macro_rules! default {
    () => {
        Default::default()
    };
    ($value:expr) => {
        $value
    };
}
pub(crate) use default;

macro_rules! versions {
    () => {
        $crate::codec::Versions::ALL
    };
    ($lo:literal) => {
        $crate::codec::Versions::since($lo)
    };
    ($lo:literal $hi:literal) => {
        $crate::codec::Versions::between($lo, $hi)
    };
}
pub(crate) use versions;

macro_rules! option {
    () => {
        None
    };
    ($value:expr) => {
        Some($value)
    };
}
pub(crate) use option;

/// The block, unless there is a tag.
macro_rules! untagged {
    ([] $block:block) => {
        $block
    };
    ([$tag:literal] $block:block) => {};
}
pub(crate) use untagged;

/// The first with the tag bound to the name, where there is one; else the second.
macro_rules! either {
    ([] $name:ident => $tagged:expr, $plain:expr) => {
        $plain
    };
    ([$tag:literal] $name:ident => $tagged:expr, $plain:expr) => {{
        let $name: u32 = $tag;
        $tagged
    }};
}
pub(crate) use either;

/// The fields of a structure; of another type none.
pub(crate) const fn fields(ty: TypeName) -> &'static [FieldSchema] {
    match ty {
        TypeName::Struct(schema) => schema.fields,
        _ => &[],
    }
}

/// Nullable where the type is an option: from the version said, as long as the field is there.
pub(crate) const fn nullable(ty: TypeName, said: Versions, field: Versions) -> Option<Versions> {
    match ty {
        TypeName::Nullable(_) if said.min > field.min => Some(Versions::between(said.min, field.max)),
        TypeName::Nullable(_) => Some(field),
        _ => None,
    }
}
