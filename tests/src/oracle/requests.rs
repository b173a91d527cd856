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
    let took = request.ended.saturating_sub(request.began);
    // A node that was frozen until then can only say that it is too late.
    let was_too_late = in_trouble && took > request.deadline;
    match &request.outcome {
        Outcome::Answered { status: 504, .. } if was_too_late => return None,
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
    let allowed = request.deadline + answers.slack;
    let is_late = request.outcome == Outcome::Silent || took > allowed;
    (is_late && !in_trouble).then_some(Kind::Late {
        asked,
        took,
        allowed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found wrong of a request that may take 6 s.
    fn found(took: u64, outcome: Outcome, answers: &Answers) -> Vec<Kind> {
        let request = Request {
            session: "a".to_owned(),
            verb: "poll",
            node: 1,
            began: Duration::from_secs(10),
            ended: Duration::from_secs(10 + took),
            deadline: Duration::from_secs(6),
            outcome,
        };
        let found = judge(&[request], answers);
        found.into_iter().map(|violation| violation.kind).collect()
    }

    fn problem(status: u16, code: &str, retry_after: bool) -> Outcome {
        Outcome::Answered {
            status,
            code: code.to_owned(),
            retry_after,
            detail: String::new(),
        }
    }

    fn faults(took: u64, outcome: Outcome, troubles: &[(usize, u64, u64)]) -> Vec<Kind> {
        let trouble = |(node, from, to): &(usize, u64, u64)| Trouble {
            node: *node,
            from: Duration::from_secs(*from),
            to: Duration::from_secs(*to),
            absent: false,
        };
        let answers = Answers {
            allowed: vec![(503, "owner_unavailable")],
            troubles: troubles.iter().map(trouble).collect(),
            slack: Duration::from_secs(1),
        };
        found(took, outcome, &answers)
    }

    #[test]
    fn an_answer_that_the_contract_does_not_have_is_found() {
        assert_eq!(faults(1, problem(200, "", false), &[]), []);
        assert_eq!(faults(1, problem(503, "owner_unavailable", true), &[]), []);
        let refused = |outcome| matches!(faults(1, outcome, &[])[..], [Kind::Refused { .. }]);
        assert!(refused(problem(404, "consumer_not_found", false)));
        assert!(refused(problem(500, "internal", false)));
        assert!(refused(problem(503, "no_quorum", true)));
        // It does not say when to come again.
        assert!(refused(problem(503, "owner_unavailable", false)));
    }

    #[test]
    fn a_late_answer_is_found_unless_its_node_was_in_trouble() {
        let answer = || problem(200, "", false);
        assert_eq!(faults(7, answer(), &[]), []);
        assert!(matches!(faults(8, answer(), &[])[..], [Kind::Late { .. }]));
        assert_eq!(faults(8, answer(), &[(1, 17, 19)]), []);
        assert_eq!(faults(8, answer(), &[(0, 17, 19)]).len(), 1);
        let silent = faults(9, Outcome::Silent, &[]);
        assert!(matches!(silent[..], [Kind::Late { .. }]));
    }

    #[test]
    fn a_node_that_was_frozen_beyond_a_deadline_may_say_so() {
        let late = || problem(504, "kafka_timeout", false);
        assert_eq!(faults(7, late(), &[(1, 11, 15)]), []);
        assert_eq!(faults(7, late(), &[(0, 11, 15)]).len(), 1);
        assert_eq!(faults(5, late(), &[(1, 11, 15)]).len(), 1);
    }

    #[test]
    fn a_connection_breaks_only_to_a_node_in_trouble() {
        for broken in [Outcome::Broken, Outcome::NotConnected] {
            let outcome = || broken("reset".to_owned());
            assert!(matches!(
                faults(1, outcome(), &[])[..],
                [Kind::Broken { .. }]
            ));
            assert!(!faults(1, outcome(), &[(1, 0, 9)]).is_empty());
            assert_eq!(faults(1, outcome(), &[(1, 0, 10)]), []);
            assert_eq!(faults(1, outcome(), &[(1, 11, 20)]), []);
        }
    }

    #[test]
    fn of_a_node_that_ends_in_order_clients_feel_that_nobody_is_there_and_no_more() {
        let answers = Answers {
            troubles: vec![Trouble {
                node: 1,
                from: Duration::ZERO,
                to: Duration::MAX,
                absent: true,
            }],
            ..Answers::default()
        };
        let faults = |outcome| found(1, outcome, &answers).len();
        assert_eq!(faults(Outcome::NotConnected("refused".to_owned())), 0);
        assert_eq!(faults(Outcome::Broken("reset".to_owned())), 1);
        assert_eq!(faults(Outcome::Silent), 1);
    }
}
