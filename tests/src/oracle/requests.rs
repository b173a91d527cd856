//! Each request is answered as the contract allows, and in time.

use std::time::Duration;

use super::violation::{Kind, Violation};

/// A request and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The session's id.
    pub session: String,
    /// What was asked, in a word.
    pub verb: &'static str,
    /// The number of the node that was asked.
    pub node: usize,
    /// When it was sent.
    pub began: Duration,
    /// When its outcome was known.
    pub ended: Duration,
    /// How long the node may take.
    pub deadline: Duration,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// An answer.
    Answered {
        /// Its status.
        status: u16,
        /// The code of a problem; empty without one.
        code: String,
        /// Whether it says when a retry is worth it.
        retry_after: bool,
        /// What else it says, for people.
        detail: String,
    },
    /// No connection could be made: nothing was sent.
    NotConnected(String),
    /// The connection broke.
    Broken(String),
    /// The client gave it up, long after the deadline.
    Silent,
}

/// A time in which a node, or the way to it, was not as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trouble {
    /// The node.
    pub node: usize,
    /// Since when.
    pub from: Duration,
    /// Until when.
    pub to: Duration,
    /// Whether all that clients may feel is that nobody is there: no connection can be made.
    pub absent: bool,
}

/// What the requests of a history may be answered.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// Status and code of problems that may come.
    pub allowed: Vec<(u16, &'static str)>,
    /// When nodes were in trouble.
    pub troubles: Vec<Trouble>,
    /// How much later than its deadline an answer may come: a busy machine, not a wait.
    pub slack: Duration,
}

/// Judges all requests.
pub(super) fn judge(requests: &[Request], answers: &Answers) -> Vec<Violation> {
    let judged = requests.iter().filter_map(|request| {
        let kind = fault(request, answers)?;
        Some(Violation {
            session: Some(request.session.clone()),
            at: request.ended,
            kind,
        })
    });
    judged.collect()
}

fn fault(request: &Request, answers: &Answers) -> Option<Kind> {
    let asked = format!("{} of node {}", request.verb, request.node);
    let mut troubles = answers.troubles.iter().filter(|trouble| {
        let overlaps = trouble.from <= request.ended && trouble.to >= request.began;
        trouble.node == request.node && overlaps
    });
    let is_unsent = matches!(request.outcome, Outcome::NotConnected(_));
    let in_trouble = troubles.any(|trouble| is_unsent || !trouble.absent);
    match &request.outcome {
        Outcome::Answered {
            status,
            code,
            retry_after,
            detail,
        } => {
            let is_allowed = |(s, c): &(u16, &str)| s == status && c == code;
            let is_fine = (200..300).contains(status) || answers.allowed.iter().any(is_allowed);
            let says_when = *retry_after || !matches!(status, 429 | 503);
            if !is_fine || !says_when {
                let answer = format!("{status} {code} {detail}");
                return Some(Kind::Refused { asked, answer });
            }
        }
        Outcome::NotConnected(error) | Outcome::Broken(error) => {
            let error = error.clone();
            return (!in_trouble).then_some(Kind::Broken { asked, error });
        }
        Outcome::Silent => {}
    }
    let took = request.ended.saturating_sub(request.began);
    let allowed = request.deadline + answers.slack;
    let is_late = request.outcome == Outcome::Silent || took > allowed;
    (is_late && !in_trouble).then_some(Kind::Late {
        asked,
        took,
        allowed,
    })
}
