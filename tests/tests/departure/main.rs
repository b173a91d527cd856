//! Sessions that go from one owner to the next: what is handed over, what is abandoned, and
//! when a lease ends. The
//! registry here is the test's own, and each node is a [`sluice_actors::Sessions`] of this process.

mod abandoning;
mod fixture;
mod handover;
mod handover_cursors;
mod lease;
