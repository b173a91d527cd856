//! The newest records of a topic, without a group.
//!
//! ```text
//! newest.rs   asks where the logs end, reads their tails, writes the answer
//! tail.rs     what has been read of the end of one log
//! choice.rs   which records are the newest (pure)
//! ```
//! Logs are read from near their ends, a few records of each first, and further back only where
//! newer records may still stand: how long they are makes no difference.

mod choice;
#[allow(
    clippy::module_inception,
    reason = "the type stands in the file of its name"
)]
mod newest;
mod tail;

pub use newest::{Listing, Newest};
