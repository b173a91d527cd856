//! Writing records: one Kafka producer a compression codec, shared by all requests.
//!
//! ```text
//!   request -- Production --> producers.rs  topic there? (topics.rs)  room? (budget.rs)
//!                                |          schemas there? (coding.rs)
//!                             enqueue.rs    each record in order: text -> bytes (coding.rs)
//!                                |          a ticket each
//!                             live.rs       librdkafka's queue; one producer a codec
//!                                |
//!                                |          refused with its batch: once more, alone (again.rs)
//!                                |
//!                             delivery reports -> tickets -> batch.rs, one countdown a request
//!                                                              |
//!   outcomes, in the request's order <------- Delivery --------+
//! ```
//! Nothing here waits on an async thread: what blocks runs on threads that may wait.

mod again;
mod batch;
mod budget;
mod coding;
mod config;
mod enqueue;
mod formats;
mod live;
mod metrics;
mod producers;
mod record;
#[cfg(test)]
mod tests;
mod topics;
mod verdict;

pub use batch::Delivery;
pub use budget::{Budget, Charge, Full};
pub use config::ProducerConfig;
pub use formats::{HeadersFault, read_headers};
pub use producers::Producers;
pub use record::{Compression, Outcome, Outgoing, Production, RecordError, Written};
