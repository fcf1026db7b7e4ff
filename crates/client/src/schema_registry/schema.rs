//! A schema, as a registry has it.

use std::fmt;

/// What a schema is written in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SchemaType {
    /// Avro's JSON.
    Avro,
    /// JSON Schema.
    Json,
    /// A `.proto` file, as text or as its `FileDescriptorProto` in base64.
    Protobuf,
    /// Another that the registry knows.
    Other(String),
}

impl SchemaType {
    /// As registries name it.
    pub(super) fn of(name: &str) -> Self {
        match name {
            "AVRO" => Self::Avro,
            "JSON" => Self::Json,
            "PROTOBUF" => Self::Protobuf,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for SchemaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Avro => "AVRO",
            Self::Json => "JSON",
            Self::Protobuf => "PROTOBUF",
            Self::Other(name) => name,
        })
    }
}

/// A schema, with all that it refers to.
#[derive(Debug)]
pub struct Schema {
    pub(super) schema_type: SchemaType,
    pub(super) text: String,
    pub(super) references: Vec<Referenced>,
    #[cfg(feature = "avro")]
    pub(super) avro: super::avro::Once,
    #[cfg(feature = "json-schema")]
    pub(super) json_schema: super::json_schema::Once,
    #[cfg(feature = "protobuf")]
    pub(super) protobuf: super::protobuf::Once,
}

/// A schema that another refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Referenced {
    /// What it is called where it is referred to: a type's full name in Avro, a file in Protobuf, a URL in JSON Schema.
    pub name: String,
    /// Its text.
    pub text: String,
}

impl Schema {
    pub(super) fn new(schema_type: SchemaType, text: String, references: Vec<Referenced>) -> Self {
        Self {
            schema_type,
            text,
            references,
            #[cfg(feature = "avro")]
            avro: Default::default(),
            #[cfg(feature = "json-schema")]
            json_schema: Default::default(),
            #[cfg(feature = "protobuf")]
            protobuf: Default::default(),
        }
    }

    /// What it is written in.
    pub fn schema_type(&self) -> &SchemaType {
        &self.schema_type
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it refers to, directly or not: each behind what it refers to itself.
    pub fn references(&self) -> &[Referenced] {
        &self.references
    }

    /// The bytes of all texts.
    pub(super) fn size(&self) -> usize {
        self.text.len() + self.references.iter().map(|other| other.text.len()).sum::<usize>()
    }
}
