//! A schema as values are read and written by it: its types by number, all names resolved.

use std::collections::HashMap;

use apache_avro::schema::{
    DecimalSchema, EnumSchema, FixedSchema, InnerDecimalSchema, Name, RecordSchema, UuidSchema,
};
use serde_json::Value;

/// An Avro schema.
#[derive(Debug)]
pub(crate) struct Schema {
    types: Vec<Type>,
    root: TypeId,
}

/// One type of a schema; its place among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TypeId(usize);

#[derive(Debug)]
pub(super) struct Type {
    pub(super) kind: Kind,
    /// What it is called as a branch of a union.
    pub(super) name: String,
}

/// Types as JSON shows them. Logical types without a form of their own are what they are made of.
#[derive(Debug)]
pub(super) enum Kind {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Fixed(usize),
    /// A UUID of 16 bytes.
    Uuid,
    Decimal(Decimal),
    /// Months, days and milliseconds.
    Duration,
    Enum(Vec<String>),
    Array(TypeId),
    Map(TypeId),
    Union(Vec<TypeId>),
    Record(Vec<Field>),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal {
    /// Most digits.
    pub(super) precision: usize,
    /// How many of them are behind the point.
    pub(super) scale: usize,
    /// How many bytes it takes, if that is always the same.
    pub(super) size: Option<usize>,
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) of: TypeId,
    pub(super) default: Option<Value>,
}

impl Schema {
    /// Reads a schema. `references` are the texts of those that it refers to by name, in any
    /// order.
    ///
    /// # Errors
    /// Why it is none.
    pub(crate) fn parse(text: &str, references: &[String]) -> Result<Self, String> {
        let parsed = match references {
            [] => apache_avro::Schema::parse_str(text).map(|root| (root, Vec::new())),
            all => apache_avro::Schema::parse_str_with_list(text, all),
        };
        let (root, others) = parsed.map_err(|error| error.to_string())?;
        let mut builder = Builder::default();
        for schema in others.iter().chain([&root]) {
            builder.define(schema);
        }
        let root = builder.add(&root)?;
        let types = builder.types.into_iter().collect::<Option<Vec<_>>>();
        let types = types.ok_or("a type of it is not defined")?;
        Ok(Self { types, root })
    }

    pub(super) fn root(&self) -> TypeId {
        self.root
    }

    pub(super) fn of(&self, id: TypeId) -> &Type {
        &self.types[id.0]
    }
}

#[derive(Default)]
struct Builder<'s> {
    /// `None` is a type that is being made.
    types: Vec<Option<Type>>,
    /// Named types that have a place.
    placed: HashMap<Name, TypeId>,
    definitions: HashMap<Name, &'s apache_avro::Schema>,
}

impl<'s> Builder<'s> {
    /// Notes what stands under a name within a schema.
    fn define(&mut self, schema: &'s apache_avro::Schema) {
        use apache_avro::Schema as Avro;
        let (name, aliases) = match schema {
            Avro::Array(array) => return self.define(&array.items),
            Avro::Map(map) => return self.define(&map.types),
            Avro::Union(union) => {
                for branch in union.variants() {
                    self.define(branch);
                }
                return;
            }
            Avro::Record(record) => {
                for field in &record.fields {
                    self.define(&field.schema);
                }
                (&record.name, &record.aliases)
            }
            Avro::Enum(EnumSchema { name, aliases, .. })
            | Avro::Fixed(FixedSchema { name, aliases, .. })
            | Avro::Duration(FixedSchema { name, aliases, .. })
            | Avro::Uuid(UuidSchema::Fixed(FixedSchema { name, aliases, .. }))
            | Avro::Decimal(DecimalSchema {
                inner: InnerDecimalSchema::Fixed(FixedSchema { name, aliases, .. }),
                ..
            }) => (name, aliases),
            _ => return,
        };
        for alias in aliases.iter().flatten() {
            let alias = alias.fully_qualified_name(name.namespace());
            self.definitions.insert(alias.into_owned(), schema);
        }
        self.definitions.insert(name.clone(), schema);
    }

    fn add(&mut self, schema: &'s apache_avro::Schema) -> Result<TypeId, String> {
        use apache_avro::Schema as Avro;
        let (name, kind) = match schema {
            Avro::Null => ("null", Kind::Null),
            Avro::Boolean => ("boolean", Kind::Boolean),
            Avro::Int | Avro::Date | Avro::TimeMillis => ("int", Kind::Int),
            Avro::Long
            | Avro::TimeMicros
            | Avro::TimestampMillis
            | Avro::TimestampMicros
            | Avro::TimestampNanos
            | Avro::LocalTimestampMillis
            | Avro::LocalTimestampMicros
            | Avro::LocalTimestampNanos => ("long", Kind::Long),
            Avro::Float => ("float", Kind::Float),
            Avro::Double => ("double", Kind::Double),
            Avro::Bytes | Avro::BigDecimal | Avro::Uuid(UuidSchema::Bytes) => {
                ("bytes", Kind::Bytes)
            }
            Avro::String | Avro::Uuid(UuidSchema::String) => ("string", Kind::String),
            Avro::Decimal(DecimalSchema {
                precision,
                scale,
                inner: InnerDecimalSchema::Bytes,
            }) => {
                let decimal = Decimal {
                    precision: *precision,
                    scale: *scale,
                    size: None,
                };
                ("bytes", Kind::Decimal(decimal))
            }
            Avro::Array(array) => ("array", Kind::Array(self.add(&array.items)?)),
            Avro::Map(map) => ("map", Kind::Map(self.add(&map.types)?)),
            Avro::Union(union) => {
                let branches = union.variants().iter().map(|branch| self.add(branch));
                ("union", Kind::Union(branches.collect::<Result<_, _>>()?))
            }
            Avro::Decimal(DecimalSchema {
                inner: InnerDecimalSchema::Fixed(FixedSchema { name, .. }),
                ..
            })
            | Avro::Uuid(UuidSchema::Fixed(FixedSchema { name, .. }))
            | Avro::Duration(FixedSchema { name, .. })
            | Avro::Fixed(FixedSchema { name, .. })
            | Avro::Enum(EnumSchema { name, .. })
            | Avro::Record(RecordSchema { name, .. }) => return self.add_named(name, schema),
            Avro::Ref { name } => {
                let Some(definition) = self.definitions.get(name).copied() else {
                    return Err(format!("{} is not defined", name.fullname(None)));
                };
                return self.add(definition);
            }
        };
        let name = name.to_owned();
        self.types.push(Some(Type { kind, name }));
        Ok(TypeId(self.types.len() - 1))
    }

    /// Adds a type that may be named again, also within itself.
    fn add_named(
        &mut self,
        name: &'s Name,
        schema: &'s apache_avro::Schema,
    ) -> Result<TypeId, String> {
        use apache_avro::Schema as Avro;
        if let Some(placed) = self.placed.get(name) {
            return Ok(*placed);
        }
        let id = TypeId(self.types.len());
        self.types.push(None);
        self.placed.insert(name.clone(), id);
        let kind = match schema {
            Avro::Record(record) => {
                let mut fields = Vec::with_capacity(record.fields.len());
                for field in &record.fields {
                    fields.push(Field {
                        name: field.name.clone(),
                        of: self.add(&field.schema)?,
                        default: field.default.clone(),
                    });
                }
                Kind::Record(fields)
            }
            Avro::Enum(symbols) => Kind::Enum(symbols.symbols.clone()),
            Avro::Fixed(fixed) => Kind::Fixed(fixed.size),
            Avro::Duration(_) => Kind::Duration,
            Avro::Uuid(_) => Kind::Uuid,
            Avro::Decimal(DecimalSchema {
                precision,
                scale,
                inner: InnerDecimalSchema::Fixed(fixed),
            }) => Kind::Decimal(Decimal {
                precision: *precision,
                scale: *scale,
                size: Some(fixed.size),
            }),
            _ => return Err(format!("{} is of no kind known", name.fullname(None))),
        };
        let name = name.fullname(None);
        self.types[id.0] = Some(Type { kind, name });
        Ok(id)
    }
}
