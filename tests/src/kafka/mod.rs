//! Real Apache Kafka for tests.
//!
//! ```text
//! jars.rs      Maven fetches Kafka once
//! settings.rs  server.properties as text
//! broker.rs    one JVM process: start, kill, freeze, restart
//! builder.rs   what kind of Kafka a test wants
//! kafka.rs     the brokers together, shared or own
//! topics.rs    topics, partitions, where they end
//! records.rs   writing and reading
//! segments.rs  what brokers have on their disks
//! groups.rs    what Kafka knows of consumer groups
//! acl.rs       who may do what
//! wire.rs      what librdkafka refuses to write
//! ```

mod acl;
mod broker;
mod builder;
mod groups;
mod jars;
#[expect(
    clippy::module_inception,
    reason = "one main type a file, and this one is Kafka"
)]
mod kafka;
mod records;
mod segments;
mod settings;
mod topics;
mod wire;

pub use acl::Resource;
pub use broker::Broker;
pub use builder::KafkaBuilder;
pub use groups::{Group, Member, PartitionLag};
pub use kafka::Kafka;
pub use records::{Read, Record};
