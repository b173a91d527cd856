//! What the benchmarks in `tests/benches` share.
//!
//! Each of them sets Sluice beside a bare librdkafka consumer on the same broker in the same run,
//! in alternating rounds: what the machine does otherwise hits both, and the ratio of two sides
//! of one round says more than either's figure.
//!
//! ```text
//! benchmark ──HTTP──▶ sluice (its own process) ──▶ Kafka (its own JVM)
//!     └──starts──▶ native side (its own process) ──────┘
//! ```
//!
//! The native side is the benchmark's own binary, started again with a [`Task`]: like the node it
//! is a process that does nothing else, so the processor time of both can be read from `/proc`.
//! Both are release builds, linked to the same librdkafka.

mod child;
mod cost;
mod heading;
mod native;
mod poller;
mod stats;
mod steady;
mod table;
mod trio;
mod writer;

pub use child::{Child, Task, run_task};
pub use cost::{Cost, threads_and_memory};
pub use heading::print_heading;
pub use native::{Assigned, DrainTask, Drained, HoldTask, Joined, Settings, next, subscribed};
pub use poller::{PollOptions, Poller};
pub use stats::{Spread, percentile};
pub use steady::{Noted, Open, Steady};
pub use table::Table;
pub use trio::Trio;
pub use writer::{WriteTask, Writing, Written, write_over_http};
