//! Consumer sessions: supervised actors, each owning its Kafka handle, its timer and its one poll;
//! the producers, one a codec, that all requests to write share; and for both the schemas of Avro.
//!
//! A node holds a [`Sessions`] and through it opens sessions and finds [`SessionHandle`]s. What a
//! session may do is decided elsewhere: the node implements [`Authority`] over its registry. It writes
//! through [`Producers`]. The crate knows nothing of the HTTP API, of the registry's replication or of other nodes.

mod answers;
mod authority;
mod avro;
mod blocking;
mod config;
mod consumer;
mod embedded;
mod error;
mod handle;
mod kafka;
mod lag;
mod metrics;
mod newest;
mod producer;
mod request;
mod schema_registry;
mod session;
mod sessions;

pub use answers::{AnswerBudget, HeldBytes};
pub use authority::{Authority, AuthorityError, HandedOver, Record, Standing};
pub use avro::{InvalidSchemaRef, Mismatch, SchemaId, SchemaRef};
pub use config::Config;
pub use consumer::{ConsumedRecord, Consumer, ConsumerBuilder, RecordHeader};
pub use embedded::EmbeddedBroker;
pub use error::Error;
pub use handle::{AnswerFate, Ended, Opening, SessionEvent, SessionHandle};
pub use kafka::check_property;
pub use newest::{Listing, Newest};
pub use producer::{
    Budget, Charge, Compression, Delivery, Full, HeadersFault, Outcome, Outgoing, ProducerConfig,
    Producers, Production, RecordError, Written, read_headers,
};
pub use request::{
    Answer, Assignment, Commit, Committed, Deadline, HeadersFormat, Poll, Positions, Seek,
    SeekTarget, Shared, Snapshot, SnapshotState, Sought,
};
pub use schema_registry::{SchemaRegistryConfig, SchemaRegistryCredentials, check_certificates};
pub use session::{Departure, cursor_of_nothing};
pub use sessions::Sessions;
