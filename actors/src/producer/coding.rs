//! How the keys, or the values, of a request become bytes.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;
use sluice_types::{Format, TopicName};

use super::formats;
use super::record::{Production, RecordError};
use crate::avro::{Mismatch, framed, write};
use crate::schema_registry::{Registered, SchemaError, Schemas};
use crate::{Deadline, Error, SchemaRef};

/// How much longer than a record may be the JSON that is to become Avro: as a tree it takes many
/// times its length.
const JSON_TIMES: usize = 2;

/// How the keys, or the values, of a request become bytes.
pub(super) struct Coding {
    /// Which of them, for people.
    what: &'static str,
    how: How,
}

enum How {
    AsText(Format),
    Avro(Arc<Registered>),
}

impl Coding {
    /// That of the keys, and that of the values.
    ///
    /// # Errors
    /// [`Error::SchemaRegistryNotConfigured`], [`Error::SchemaRegistryUnavailable`],
    /// [`Error::SchemaNotFound`].
    pub(super) async fn of(
        production: &Production,
        schemas: Option<&Schemas>,
        deadline: Deadline,
    ) -> Result<[Self; 2], Error> {
        let Production {
            topic,
            key_format,
            value_format,
            key_schema,
            value_schema,
            ..
        } = production;
        let key = Self::find("key", *key_format, topic, key_schema, schemas, deadline);
        let value = Self::find(
            "value",
            *value_format,
            topic,
            value_schema,
            schemas,
            deadline,
        );
        let (key, value) = futures::future::try_join(key, value).await?;
        Ok([key, value])
    }

    async fn find(
        what: &'static str,
        format: Format,
        topic: &TopicName,
        schema: &Option<SchemaRef>,
        schemas: Option<&Schemas>,
        deadline: Deadline,
    ) -> Result<Self, Error> {
        if format != Format::Avro {
            let how = How::AsText(format);
            return Ok(Self { what, how });
        }
        let schemas = schemas.ok_or(Error::SchemaRegistryNotConfigured)?;
        let by_topic = || SchemaRef::Latest(format!("{topic}-{what}"));
        let schema = schema.clone().unwrap_or_else(by_topic);
        let found = schemas.find(&schema, deadline).await;
        let found = found.map_err(|error| match error {
            SchemaError::Unavailable(reason) => Error::SchemaRegistryUnavailable(reason),
            SchemaError::NotFound | SchemaError::Unusable(_) => Error::SchemaNotFound {
                schema,
                what,
                reason: error.to_string(),
            },
        })?;
        let how = How::Avro(found);
        Ok(Self { what, how })
    }

    /// The bytes of a JSON text, for a record of at most so many.
    pub(super) fn encode<'t>(
        &self,
        text: &'t [u8],
        record_bytes: usize,
    ) -> Result<Cow<'t, [u8]>, RecordError> {
        let registered = match &self.how {
            How::AsText(format) => return formats::encode(text, *format, self.what),
            How::Avro(registered) => registered,
        };
        let limit = record_bytes.saturating_mul(JSON_TIMES);
        if text.len() > limit {
            return Err(RecordError::TooLarge { limit: Some(limit) });
        }
        let mut bytes = framed(registered.id);
        let written = match serde_json::from_slice::<Value>(text) {
            Ok(json) => write(&mut bytes, &registered.schema, &json),
            // It is valid JSON: a number is too large, or too much lies in each other.
            Err(error) => Err(Mismatch::unreadable(&error)),
        };
        match written {
            Ok(()) => Ok(Cow::Owned(bytes)),
            Err(mismatch) => Err(RecordError::SchemaMismatch {
                what: self.what,
                mismatch,
            }),
        }
    }
}
