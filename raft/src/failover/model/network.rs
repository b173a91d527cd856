//! The network of the model, which loses, delays and repeats.

use sluice_types::NodeId;

use super::world::{STEP, World};
use crate::liveness::Answer;
use crate::{Command, Moment, NodeState};

/// What is on its way.
#[derive(Clone)]
pub(super) enum Message {
    Heartbeat {
        from: NodeId,
        to: usize,
        sent_at: Moment,
    },
    Answer {
        to: NodeId,
        sent_at: Moment,
        answer: Answer,
    },
    /// A quorum was there when the leader of this term asked.
    Confirmed {
        to: usize,
        term: u64,
        asked_at: Moment,
        index: usize,
    },
    /// With the term of the leader that decided it; what nodes ask for, any leader takes.
    Proposal { command: Command, term: Option<u64> },
}

impl World {
    pub(super) fn send(&mut self, message: Message) {
        let slowest = match (self.is_calm, self.chance(10)) {
            (true, _) => STEP,
            (false, 0) => 4_000,
            (false, 1..4) => 800,
            (false, _) => 100,
        };
        if !self.is_calm && self.chance(12) == 0 {
            return;
        }
        let due = self.now + self.chance(slowest + 1);
        if !self.is_calm && self.chance(6) == 0 {
            let again = due + self.chance(6_000);
            self.network.push((again, message.clone()));
        }
        self.network.push((due, message));
    }

    pub(super) fn deliver(&mut self) {
        let (due, later) = std::mem::take(&mut self.network)
            .into_iter()
            .partition(|(due, _)| *due <= self.now);
        self.network = later;
        let due: Vec<(u64, Message)> = due;
        for (at, message) in due {
            match message {
                Message::Heartbeat {
                    ref from,
                    to,
                    sent_at,
                } => {
                    let is_lost = self.is_cut[to] || self.is_cut_off(from);
                    let Some(process) = &mut self.processes[to] else {
                        continue;
                    };
                    if process.is_frozen {
                        self.network.push((at, message));
                        continue;
                    }
                    let clock = process.clock(self.now);
                    let Some(lead) = process.lead.as_mut().filter(|_| !is_lost) else {
                        continue;
                    };
                    let answer = lead
                        .liveness
                        .heartbeat(&process.registry, from, true, clock);
                    let to = from.clone();
                    self.send(Message::Answer {
                        to,
                        sent_at,
                        answer,
                    });
                }
                Message::Answer {
                    ref to,
                    sent_at,
                    answer,
                } => {
                    let is_lost = self.is_cut_off(to);
                    let is_ended = self.is_led() && self.truth.state_of(to) == NodeState::Dead;
                    let Some(node) = self.running(to) else {
                        continue;
                    };
                    let Some(process) = self.processes[node].as_mut().filter(|_| !is_lost) else {
                        continue;
                    };
                    match answer {
                        _ if process.is_frozen => self.network.push((at, message)),
                        Answer::Granted(lease) => process.lease.granted(sent_at, lease),
                        // It asks the registry itself before it believes that.
                        Answer::Ended if is_ended => self.begin_anew(node),
                        Answer::Ended | Answer::NoQuorum => {}
                    }
                }
                Message::Confirmed {
                    to,
                    term,
                    asked_at,
                    index,
                } => {
                    let Some(process) = &mut self.processes[to] else {
                        continue;
                    };
                    if process.is_frozen {
                        self.network.push((at, message));
                        continue;
                    }
                    let clock = process.clock(self.now);
                    if process.lead.as_ref().is_some_and(|lead| lead.term == term) {
                        process.apply(&self.log, index);
                    }
                    if let Some(lead) = process.lead.as_mut().filter(|lead| lead.term == term) {
                        lead.liveness.confirmed(asked_at, clock);
                    }
                }
                Message::Proposal { command, term } => {
                    if self.is_led() && term.is_none_or(|term| term == self.term) {
                        self.commit(command);
                    }
                }
            }
        }
    }
}
