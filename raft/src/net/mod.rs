//! What members say to each other: a frame there, a frame back.
//!
//! ```text
//!   openraft, propose, lookup                       openraft, the leader's side
//!            │                                               ▲
//!            ▼                                               │
//!   client.rs  Peers ── frame.rs ──▶ Transport ──▶ server.rs  Server
//!              cluster, from, to     (the node's     what is not for this member of this
//!              on every frame         internal port)  cluster is refused, and logged once
//! ```

mod client;
pub(crate) mod frame;
#[cfg(test)]
pub(crate) mod links;
pub(crate) mod server;
#[cfg(test)]
mod tests;
mod transport;

pub(crate) use client::{Asked, Peers, Unanswered};
pub use transport::{Transport, TransportError};
