//! One consumer session.
//!
//! ```text
//!  request ──► ask.rs ──► actor.rs ──► ops.rs: one at a time
//!                          │   ▲         join, reset, commit, seek, manual, handover, end
//!   turns.rs, poll.rs ◄────┘   │           │ decide with
//!            │                 │           ▼
//!            │             outcomes      start, state/, cursor, stamp (pure), finder (asks Kafka)
//!            ▼
//!         intake.rs (records off the handle) ──► answer.rs: encode.rs, message.rs (straight into it)
//!                                                   └── schemas.rs (of Avro; fetched beside it)
//! ```
//!
//! Whatever reads or writes the group's offsets or the assignment is an *op*; ops run one after
//! another, rebalances before anything a client asked. Polls run beside them.

mod actor;
mod answer;
mod ask;
mod commit;
mod cursor;
mod encode;
mod end;
mod end_guard;
mod environment;
mod escape;
mod finder;
mod growth;
mod handover;
mod intake;
mod join;
mod lease;
mod link;
mod mailbox;
mod manual;
mod message;
mod ops;
mod pausing;
mod poll;
mod ready;
mod refusal;
mod reply;
mod reset;
mod schemas;
mod seek;
mod silence;
mod snapshot;
mod stamp;
mod start;
mod state;
mod timers;
mod trouble;
mod turns;
mod waiting;

pub(crate) use actor::SessionActor;
pub(crate) use ask::{Ask, Fate};
pub use cursor::cursor_of_nothing;
pub(crate) use end_guard::{EndGuard, OnEnd};
pub(crate) use environment::Environment;
pub use ops::Departure;
pub(crate) use ops::{Asked, Finish};
pub(crate) use reply::Reply;

// What `consumer`, `newest` and `avro` are made of too.
pub(crate) use encode::{RecordRef, integer};
pub(crate) use end::leave_group;
pub(crate) use escape::string;
pub(crate) use finder::{Finder, Found};
pub(crate) use intake::{Held, Intake, Pass, Verdict};
pub(crate) use lease::Lease;
pub(crate) use link::{Judged, Link};
pub(crate) use message::encode_message;
pub(crate) use start::{Restart, restart};
pub(crate) use state::{Slot, State};
pub(crate) use trouble::Trouble;
