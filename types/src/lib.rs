//! The vocabulary that the other crates of Sluice share.
//!
//! Every type here is parsed once and cannot be wrong afterwards: a [`TopicName`] is a legal Kafka
//! topic name, an [`Offset`] is not negative, a [`ConsumerId`] fits in a path. Nothing here does
//! I/O or waits.

#![forbid(unsafe_code)]

mod claim;
mod clock;
mod id;
mod node;
mod offset;
mod partition_map;
mod point;
mod spec;
mod topic;

pub use claim::{Claim, CreationStamp, Epoch, Mode, SeekSeq};
pub use clock::{Clock, SystemClock, Timestamp};
pub use id::{ConsumerId, GroupId, InvalidId};
pub use node::{Incarnation, InvalidNodeName, NodeId, NodeName};
pub use offset::{InvalidOffset, Offset};
pub use partition_map::{Offsets, PartitionMap, Partitions};
pub use point::{Point, PointBy, SeenCommit};
pub use spec::{AssignmentStrategy, Format, IsolationLevel, OffsetReset, SessionSpec};
pub use topic::{InvalidTopic, Partition, TopicName, TopicPartition};
