//! A Kafka consumer for Rust programs, made of the same parts as a session.
//!
//! ```text
//!  Consumer ──asks──► worker.rs ──► ops.rs (one at a time): assign.rs, commit.rs, restart.rs
//!  (consumer.rs)        │  ▲               │ futures on
//!     ▲                 │  └─── outcomes ──┘
//!     └── records ◄── serve.rs ◄── session's Intake (visitor over borrowed records), State, Link
//!                         └─ collect.rs (so many of each partition)
//! ```
//!
//! The worker is a task on the runtime of whoever built the consumer. It sleeps until
//! librdkafka has something, somebody asks, or a second has passed; rebalances are served
//! whether or not anybody polls.

mod ask;
mod assign;
mod builder;
mod collect;
mod commit;
#[expect(
    clippy::module_inception,
    reason = "one main type a file, and this one is Consumer"
)]
mod consumer;
mod ops;
mod record;
mod restart;
mod serve;
mod worker;

pub use builder::ConsumerBuilder;
pub use consumer::Consumer;
pub use record::{ConsumedRecord, RecordHeader};
