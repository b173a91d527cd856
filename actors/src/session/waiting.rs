//! A poll, until it is answered.

use std::time::Duration;

use tokio::time::Instant;

use super::answer::Made;
use super::cursor::Cursor;
use super::reply::Reply;
use crate::{Answer, Deadline, Poll};

/// A poll that waits.
pub(super) struct WaitingPoll {
    pub(super) serial: u64,
    pub(super) poll: Poll,
    pub(super) since: Instant,
    pub(super) deadline: Deadline,
    /// Whether its time has begun.
    is_clocked: bool,
    /// Its time is over, and it waits for nothing but a schema that is being fetched.
    pub(super) is_late: bool,
    /// What it has gathered.
    pub(super) made: Option<Made>,
    /// Where the client goes on, for as long as no partition is there that it could be said of.
    pub(super) resume: Option<Cursor>,
    pub(super) reply: Reply<Answer>,
}

impl WaitingPoll {
    /// Whether it waits for more than the records that it has; `is_full` if it may have no more.
    pub(super) fn gathers(&self, is_full: bool) -> bool {
        self.poll.shared.is_some() && !is_full
    }

    /// A poll whose time has not begun.
    pub(super) fn new(serial: u64, poll: Poll, deadline: Deadline, reply: Reply<Answer>) -> Self {
        Self {
            serial,
            poll,
            since: Instant::now(),
            deadline,
            is_clocked: false,
            is_late: false,
            made: None,
            resume: None,
            reply,
        }
    }

    /// Begins its time: returns how long it has, unless that has begun.
    pub(super) fn start_clock(&mut self) -> Option<Duration> {
        let has_begun = std::mem::replace(&mut self.is_clocked, true);
        (!has_begun).then(|| self.poll.wait.min(self.deadline.remaining()))
    }

    /// Whether asking for more acknowledges what was delivered; with `after` the cursor does.
    pub(super) fn acknowledges(&self) -> bool {
        self.poll.after.is_none()
    }
}
