//! What became of requests that were answered before that was known.
//!
//! ```text
//!   produce?async=true -- 202, an id ----------------------------------> client
//!        |                  |  id.rs: who took it, and when                 |
//!        `--> ledger.rs: pending, then what became of each record           |
//!                  ^                                                        |
//!   status, on any node: read the id; that node is asked, one hop <---------'
//! ```
//! Nothing is replicated: a node that is lost takes its ledger with it, and who asks is told so.

mod id;
mod ledger;

pub(crate) use id::RequestId;
pub(crate) use ledger::{LONGEST, Ledger, RETENTION, Receipt, Status};
