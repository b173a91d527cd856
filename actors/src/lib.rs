//! Consumer sessions: supervised actors, each owning its Kafka handle, its timer and its one poll;
//! and the producers, one a codec, that all requests to write share.
//!
//! A node holds a [`Sessions`] and through it opens sessions and finds [`SessionHandle`]s. What a
//! session may do is decided elsewhere: the node implements [`Authority`] over its registry. It writes
//! through [`Producers`]. The crate knows nothing of HTTP, of the registry's replication or of other nodes.

mod answers;
mod authority;
mod blocking;
mod config;
mod consumer;
mod embedded;
mod error;
mod handle;
mod kafka;
mod lag;
mod metrics;
mod producer;
mod request;
mod session;
mod sessions;

pub use answers::{AnswerBudget, HeldBytes};
pub use authority::{Authority, AuthorityError, HandedOver, Record, Standing};
pub use config::Config;
pub use consumer::{ConsumedRecord, Consumer, ConsumerBuilder, RecordHeader};
pub use embedded::EmbeddedBroker;
pub use error::Error;
pub use handle::{AnswerFate, Ended, Opening, SessionEvent, SessionHandle};
pub use kafka::check_property;
pub use producer::{
    Budget, Charge, Compression, Delivery, Full, HeadersFault, Outcome, Outgoing, ProducerConfig,
    Producers, Production, RecordError, Written, read_headers,
};
pub use request::{
    Answer, Assignment, Commit, Committed, Deadline, HeadersFormat, Poll, Positions, Seek,
    SeekTarget, Snapshot, SnapshotState, Sought,
};
pub use session::{Departure, cursor_of_nothing};
pub use sessions::Sessions;
