//! Clients that never stop asking, and what they notice when a node ends.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::{Client, Dice};

/// How long polls wait for records: longer than anything that is measured, so that no empty
/// answer hides that records do not come.
const WAIT_MS: u64 = 60_000;

/// Before another try after a connection broke or a problem was answered.
const AGAIN: Duration = Duration::from_millis(10);

/// Which nodes clients ask, as a balancer would have it; in the order of the nodes.
pub type Open = watch::Receiver<Vec<bool>>;

/// A client of one session: it polls with `after`, through an open node by chance each time. A
/// request to a node that is closed while it waits is given up and asked elsewhere.
#[derive(Debug)]
pub struct Steady {
    /// The session.
    pub id: String,
    /// Clients of all nodes.
    pub clients: Vec<Client>,
    /// Which of them to ask.
    pub open: Open,
    /// Chance.
    pub dice: Dice,
}

/// What a client has noted.
#[derive(Debug, Default)]
pub struct Noted {
    /// When a request was sent and its answer with records had come.
    pub answers: Vec<(Instant, Instant)>,
    /// What came instead of records, by `code`, or `connection`.
    pub faults: BTreeMap<String, usize>,
}

impl Steady {
    /// Polls until `stop` says true.
    pub async fn follow(mut self, mut stop: watch::Receiver<bool>) -> Noted {
        let mut noted = Noted::default();
        tokio::select! {
            () = self.poll_on(&mut noted) => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
        noted
    }

    async fn poll_on(&mut self, noted: &mut Noted) {
        let mut cursor = None;
        loop {
            let sent = Instant::now();
            // A request that was given up goes on elsewhere: the time of both counts.
            let answer = loop {
                if let Some(answer) = self.poll(cursor.as_ref(), noted).await {
                    break answer;
                }
            };
            if answer["records"].as_array().is_some_and(|r| !r.is_empty()) {
                noted.answers.push((sent, Instant::now()));
            }
            cursor = Some(answer["cursor"].clone());
        }
    }

    /// Polls once; `None` if that has to be done again.
    async fn poll(&mut self, cursor: Option<&Value>, noted: &mut Noted) -> Option<Value> {
        let open: Vec<usize> = {
            let open = self.open.borrow();
            let numbers = 0..open.len();
            numbers.filter(|number| open[*number]).collect()
        };
        let node = *self.dice.one_of(&open);
        let mut body = json!({"timeout_ms": WAIT_MS});
        if let Some(cursor) = cursor {
            body["after"] = cursor.clone();
        }
        let reply = tokio::select! {
            reply = self.clients[node].consume(&self.id, body) => reply,
            _ = self.open.wait_for(|open| !open[node]) => return None,
        };
        let fault = match (reply.status(), reply.code()) {
            (Some(200), _) => return Some(reply.expect(200).json),
            (None, _) => "connection",
            (Some(_), code) => code.unwrap_or("no problem"),
        };
        *noted.faults.entry(fault.to_owned()).or_default() += 1;
        sleep(AGAIN).await;
        None
    }
}

impl Noted {
    /// Returns the longest time without records that ended between these moments, whenever it
    /// began, in milliseconds. What never ends does so at `to`.
    pub fn longest_gap(&self, from: Instant, to: Instant) -> f64 {
        let came = self.answers.iter().map(|(_, came)| *came);
        let ends = came.clone().skip(1).chain([to]);
        longest(came.zip(ends).filter(|(_, end)| *end > from && *end <= to))
    }

    /// Returns the longest time that an answer with records took which came between these
    /// moments, in milliseconds.
    pub fn longest_request(&self, from: Instant, to: Instant) -> f64 {
        let requests = self.answers.iter().copied();
        longest(requests.filter(|(_, came)| *came > from && *came <= to))
    }
}

fn longest(spans: impl Iterator<Item = (Instant, Instant)>) -> f64 {
    let longest = spans.map(|(a, b)| b.saturating_duration_since(a)).max();
    longest.unwrap_or_default().as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_counts_where_it_ends() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let noted = Noted {
            answers: vec![(at(0), at(100)), (at(100), at(700)), (at(700), at(800))],
            faults: BTreeMap::new(),
        };
        assert_eq!(noted.longest_gap(at(50), at(650)), 0.0);
        assert_eq!(noted.longest_gap(at(650), at(900)), 600.0);
        assert_eq!(noted.longest_gap(at(750), at(850)), 100.0);
        // What did not come at all lasts to the end.
        assert_eq!(noted.longest_gap(at(750), at(1_000)), 200.0);
        assert_eq!(noted.longest_request(at(750), at(1_000)), 100.0);
        assert_eq!(noted.longest_request(at(650), at(1_000)), 600.0);
    }
}
