//! Where the reading of a partition may begin anew: between what is surely committed and what may
//! be.

use std::collections::BTreeMap;
use std::time::Duration;

use super::history::{Event, History, What};

/// Commits and seeks of one partition.
#[derive(Debug)]
pub(super) struct Bounds {
    lowest: i64,
    highest: i64,
    marks: Vec<Mark>,
}

#[derive(Debug)]
struct Mark {
    session: String,
    began: Duration,
    ended: Duration,
    offset: i64,
    sure: bool,
    is_seek: bool,
}

impl Bounds {
    pub(super) fn of(history: &History, partition: i32) -> Self {
        let mark = |event: &Event| {
            let (offsets, sure, is_seek) = match &event.what {
                What::Committed { offsets, sure } => (offsets, sure, false),
                What::Sought { offsets, sure } => (offsets, sure, true),
                What::Polled { .. } | What::PollLost { .. } => return None,
            };
            Some(Mark {
                session: event.session.clone(),
                began: event.began,
                ended: event.ended,
                offset: *offsets.get(&partition)?,
                sure: *sure,
                is_seek,
            })
        };
        Self {
            lowest: history.start.lowest(partition),
            highest: history.start.highest(partition),
            marks: history.events.iter().filter_map(mark).collect(),
        }
    }

    /// Returns the lowest offset at which `session` may begin anew for a request sent `at` that
    /// time: what had been answered as committed by then stays committed, and a seek of its own
    /// that had been answered stands until the next commit.
    pub(super) fn floor(&self, session: &str, at: Duration) -> i64 {
        let (mut committed, mut standing) = (self.lowest, None::<i64>);
        // Sessions that have sought since their last commit: the next one may go back.
        let mut sought = BTreeMap::<&str, bool>::new();
        for mark in self.marks.iter().filter(|mark| mark.ended <= at) {
            let of = mark.session.as_str();
            match (mark.is_seek, mark.sure) {
                (true, sure) => {
                    sought.insert(of, sure);
                    if of == session {
                        let unsure = standing.unwrap_or(committed).min(mark.offset);
                        standing = Some(if sure { mark.offset } else { unsure });
                    }
                }
                (false, true) => {
                    committed = match sought.remove(of) {
                        Some(true) => mark.offset,
                        Some(false) => committed.min(mark.offset),
                        None => committed.max(mark.offset),
                    };
                    standing = None;
                }
                (false, false) => {
                    // It may have voided the seek.
                    standing = standing.map(|standing| standing.min(committed).min(mark.offset));
                }
            }
        }
        // A seek on its way back to its client may have been done or not.
        let open = |mark: &&Mark| mark.is_seek && mark.began <= at && mark.ended > at;
        let open = self.marks.iter().filter(open).map(|mark| mark.offset);
        open.fold(standing.unwrap_or(committed), i64::min)
    }

    /// Returns the highest offset at which reading may begin anew for an answer known `at` that
    /// time: the highest that may have been committed since the last seek, or that seek.
    pub(super) fn ceiling(&self, at: Duration) -> i64 {
        let seek = |mark: &&Mark| mark.is_seek && mark.sure && mark.ended <= at;
        let seek = self.marks.iter().rfind(seek);
        let since = seek.map_or(Duration::ZERO, |seek| seek.began);
        let base = seek.map_or(self.highest, |seek| seek.offset);
        let may_count = |mark: &&Mark| mark.began >= since && mark.began <= at;
        let offsets = self.marks.iter().filter(may_count).map(|mark| mark.offset);
        offsets.fold(base, i64::max)
    }

    /// Returns the highest offset that a seek may have led to by then, or the start.
    pub(super) fn highest_start(&self, at: Duration) -> i64 {
        let seeks = self.marks.iter().filter(|m| m.is_seek && m.began <= at);
        seeks.map(|mark| mark.offset).fold(self.highest, i64::max)
    }
}
