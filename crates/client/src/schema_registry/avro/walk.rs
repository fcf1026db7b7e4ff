//! A datum is walked before it is read: the library goes as deep, and takes as much memory, as the bytes say, and takes some that
//! end too early for nulls.

use apache_avro::{
    schema::{
        DecimalSchema, EnumSchema, FixedSchema, InnerDecimalSchema, NamesRef, RecordSchema, ResolvedSchema,
        Schema, UuidSchema,
    },
    types::Value,
};

use ottla_protocol::codec::Reader;

use super::{
    super::error::{damaged, unreadable},
    DeserializeError, Limits,
};

/// What an allocation takes beside what it holds.
const ALLOCATION: usize = 32;

const TOO_DEEP: DeserializeError = DeserializeError::TooLarge("the data are nested too deep");
const TOO_LARGE: DeserializeError = DeserializeError::TooLarge("the data would take too much memory");

/// The bytes that are left, and what they may take.
pub(super) struct Walk<'a, 's> {
    rest: Reader<'a>,
    names: &'a NamesRef<'s>,
    limits: Limits,
}

impl<'a, 's> Walk<'a, 's> {
    pub(super) fn new(data: &'a [u8], resolved: &'a ResolvedSchema<'s>, limits: Limits) -> Self {
        Self { rest: Reader::new(data), names: resolved.get_names(), limits }
    }

    /// Whether it is one datum of this schema, and nothing behind it.
    pub(super) fn whole(mut self, schema: &Schema) -> Result<(), DeserializeError> {
        self.value(schema, None, 0)?;
        match self.rest.remaining() {
            0 => Ok(()),
            left => Err(damaged(&format!("{left} bytes are left over"))),
        }
    }

    fn value(
        &mut self,
        schema: &Schema,
        namespace: Option<&str>,
        depth: usize,
    ) -> Result<(), DeserializeError> {
        if depth > self.limits.depth {
            return Err(TOO_DEEP);
        }
        self.takes(size_of::<Value>())?;
        match schema {
            Schema::Null => Ok(()),
            Schema::Boolean => self.skip(1),
            Schema::Int | Schema::Date | Schema::TimeMillis => self.int().map(drop),
            Schema::Long
            | Schema::TimeMicros
            | Schema::TimestampMillis
            | Schema::TimestampMicros
            | Schema::TimestampNanos
            | Schema::LocalTimestampMillis
            | Schema::LocalTimestampMicros
            | Schema::LocalTimestampNanos => self.long().map(drop),
            Schema::Float => self.skip(4),
            Schema::Double => self.skip(8),
            Schema::Bytes
            | Schema::String
            | Schema::Uuid(UuidSchema::String | UuidSchema::Bytes)
            | Schema::Decimal(DecimalSchema { inner: InnerDecimalSchema::Bytes, .. }) => self.sized(),
            Schema::Fixed(FixedSchema { size, .. })
            | Schema::Duration(FixedSchema { size, .. })
            | Schema::Uuid(UuidSchema::Fixed(FixedSchema { size, .. }))
            | Schema::Decimal(DecimalSchema {
                inner: InnerDecimalSchema::Fixed(FixedSchema { size, .. }),
                ..
            }) => {
                self.skip(*size)?;
                self.takes(size + ALLOCATION)
            }
            // A few bytes of it may stand for a number of any length.
            Schema::BigDecimal => Err(damaged("the logical type big-decimal is not read")),
            Schema::Enum(EnumSchema { symbols, .. }) => {
                let symbol = usize::try_from(self.int()?).ok().and_then(|index| symbols.get(index));
                let symbol = symbol.ok_or_else(|| damaged("an enum has no such symbol"))?;
                self.takes(symbol.len() + ALLOCATION)
            }
            Schema::Array(array) => self.blocks(|walk| walk.value(&array.items, namespace, depth + 1)),
            Schema::Map(map) => self.blocks(|walk| {
                // A table is up to twice as large as what is in it.
                walk.takes(2 * size_of::<(String, Value)>())?;
                walk.sized()?;
                walk.value(&map.types, namespace, depth + 1)
            }),
            Schema::Union(union) => {
                let index = usize::try_from(self.long()?).ok();
                let variant = index.and_then(|index| union.variants().get(index));
                let variant = variant.ok_or_else(|| damaged("a union has no such branch"))?;
                self.takes(ALLOCATION)?;
                self.value(variant, namespace, depth + 1)
            }
            Schema::Record(RecordSchema { name, fields, .. }) => {
                let name = name.fully_qualified_name(namespace);
                self.takes(ALLOCATION)?;
                fields.iter().try_for_each(|field| {
                    self.takes(size_of::<String>() + field.name.len() + ALLOCATION)?;
                    self.value(&field.schema, name.namespace(), depth + 1)
                })
            }
            Schema::Ref { name } => {
                let name = name.fully_qualified_name(namespace);
                let unknown = || DeserializeError::Schema(format!("no schema of the name {name:?}").into());
                let schema = *self.names.get(&*name).ok_or_else(unknown)?;
                // Of another name alone: what it stands for counts.
                self.value(schema, name.namespace(), depth)
            }
        }
    }

    /// Items in blocks, until there is an empty one.
    fn blocks(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<(), DeserializeError>,
    ) -> Result<(), DeserializeError> {
        self.takes(ALLOCATION)?;
        loop {
            let count = self.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                // Its size, for those who skip it.
                self.long()?;
            }
            // Each takes some of the memory, so that a count without bytes behind it comes to an end.
            for _ in 0..count.unsigned_abs() {
                item(self)?;
            }
        }
    }

    /// Bytes behind their length.
    fn sized(&mut self) -> Result<(), DeserializeError> {
        let size = usize::try_from(self.long()?).map_err(|_| damaged("a length is negative"))?;
        self.skip(size)?;
        self.takes(size + ALLOCATION)
    }

    fn skip(&mut self, bytes: usize) -> Result<(), DeserializeError> {
        self.rest.take(bytes).map(drop).map_err(unreadable)
    }

    fn takes(&mut self, bytes: usize) -> Result<(), DeserializeError> {
        self.limits.memory = self.limits.memory.checked_sub(bytes).ok_or(TOO_LARGE)?;
        Ok(())
    }

    fn int(&mut self) -> Result<i32, DeserializeError> {
        i32::try_from(self.long()?).map_err(|_| damaged("an int is out of its range"))
    }

    fn long(&mut self) -> Result<i64, DeserializeError> {
        self.rest.varlong().map_err(unreadable)
    }
}
