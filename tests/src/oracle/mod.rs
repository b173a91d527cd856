//! A judge of what clients saw of a group: it remembers everything, and says what was wrong.
//!
//! Each write that a client makes, a commit or a seek, is remembered as done, or as one that may
//! have been done; each record that comes is held against that.
//!
//! ```text
//! history.rs    what clients saw
//! bounds.rs     where reading may begin anew: between what is committed and what may be
//! delivery.rs   nothing is missing, skipped, out of order, or repeated where it may not be
//! commits.rs    no commit is ahead of what was delivered, and none is lost
//! requests.rs   each request is answered as the contract allows, in time
//! ```
//! The judging is pure: a history in, violations out.

mod bounds;
mod commits;
mod delivery;
mod history;
mod requests;
#[cfg(test)]
mod tests;
mod violation;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

pub use history::{Event, History, Offsets, Start, What};
pub use requests::{Answers, Outcome, Request, Trouble};
pub use violation::{Kind, Violation};

/// How many violations are shown with what was seen around them.
const SHOWN: usize = 6;

/// Between two looks at whether something was seen.
const LOOK: Duration = Duration::from_millis(20);

/// What clients without cursors may see again in the same generation. With a cursor nothing comes
/// again there, whatever happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Repeats {
    /// Nothing: no owner was lost.
    Never,
    /// What was not committed: owners were lost.
    #[default]
    FromTheCommit,
    /// Anything: a frozen or cut off owner may go on for a bit from where it stood.
    Anything,
}

/// What a history is held against.
#[derive(Debug, Clone, Default)]
pub struct Contract {
    /// What may come again.
    pub repeats: Repeats,
    /// Whether sessions commit by themselves: then commits are made that no client sees.
    pub auto_commit: bool,
    /// What may be answered.
    pub answers: Answers,
}

/// Judges what was seen of a group and a topic.
///
/// `ends` are the offsets behind the last records that Kafka holds, all of which clients had time
/// to get; `committed` is what the group has committed by now.
pub fn judge(
    history: &History,
    requests: &[Request],
    contract: &Contract,
    ends: &Offsets,
    committed: &Offsets,
) -> Vec<Violation> {
    let mut violations = delivery::judge(history, contract, ends);
    violations.extend(commits::judge(history, ends, committed));
    violations.extend(requests::judge(requests, &contract.answers));
    violations.sort_by_key(|violation| violation.at);
    violations
}

/// Remembers what clients of one group see of one topic. Clones remember together.
#[derive(Debug, Clone)]
pub struct Oracle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    begun: Instant,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    history: History,
    requests: Vec<Request>,
    delivered: Offsets,
}

impl Oracle {
    /// Begins to remember; `begun` is where all times count from.
    pub fn new(begun: Instant, start: Start) -> Self {
        let history = History {
            start,
            events: Vec::new(),
        };
        Self(Arc::new(Inner {
            begun,
            seen: Mutex::new(Seen {
                history,
                ..Seen::default()
            }),
        }))
    }

    /// Returns the present time of the history.
    pub fn now(&self) -> Duration {
        self.0.begun.elapsed()
    }

    /// Remembers a request.
    pub fn request(&self, request: Request) {
        self.seen().requests.push(request);
    }

    /// Remembers what a client saw.
    pub fn event(&self, event: Event) {
        let mut seen = self.seen();
        if let What::Polled { records, .. } = &event.what {
            for (partition, offset) in records {
                let behind = seen.delivered.entry(*partition).or_default();
                *behind = (*behind).max(offset + 1);
            }
        }
        seen.history.push(event);
    }

    /// Returns how far the furthest client is in each partition.
    pub fn delivered(&self) -> Offsets {
        self.seen().delivered.clone()
    }

    /// Returns how many polls of each session were answered.
    pub fn polls(&self) -> BTreeMap<String, usize> {
        let seen = self.seen();
        let mut polls = BTreeMap::new();
        for event in &seen.history.events {
            if matches!(event.what, What::Polled { .. }) {
                *polls.entry(event.session.clone()).or_default() += 1;
            }
        }
        polls
    }

    /// Waits until a client has seen something more.
    pub async fn advanced(&self) {
        let before = self.seen().history.events.len();
        while self.seen().history.events.len() == before {
            sleep(LOOK).await;
        }
    }

    /// Returns what was seen so far.
    pub fn history(&self) -> History {
        self.seen().history.clone()
    }

    /// Judges everything remembered, and returns a text of what was wrong, with what was seen
    /// around it.
    pub fn verdict(
        &self,
        contract: &Contract,
        ends: &Offsets,
        committed: &Offsets,
    ) -> Option<String> {
        let seen = self.seen();
        let (history, requests) = (&seen.history, &seen.requests);
        let violations = judge(history, requests, contract, ends, committed);
        if violations.is_empty() {
            return None;
        }
        let mut text = format!("{} promises were not kept:\n", violations.len());
        for (number, violation) in violations.iter().enumerate() {
            text.push_str(&format!("{violation}\n"));
            let Some(session) = violation.session.as_deref().filter(|_| number < SHOWN) else {
                continue;
            };
            for event in history.around(session, violation.at) {
                text.push_str(&format!("            | {}\n", shown(event)));
            }
        }
        Some(text)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An event in a line.
fn shown(event: &Event) -> String {
    let (began, ended) = (event.began.as_secs_f64(), event.ended.as_secs_f64());
    let what = match &event.what {
        What::Polled {
            after,
            generation,
            records,
        } => {
            let mut runs = Vec::<(i32, i64, i64)>::new();
            for (partition, offset) in records {
                match runs
                    .iter_mut()
                    .find(|(p, _, to)| p == partition && to + 1 == *offset)
                {
                    Some((_, _, to)) => *to = *offset,
                    None => runs.push((*partition, *offset, *offset)),
                }
            }
            let runs = runs
                .iter()
                .map(|(p, from, to)| format!("{p}/{from}..={to}"));
            let runs: Vec<String> = runs.collect();
            let kind = if *after { "after" } else { "plain" };
            format!("poll {kind} generation {generation}: {}", runs.join(" "))
        }
        other => format!("{other:?}"),
    };
    format!("{began:.3}-{ended:.3} {what}")
}
