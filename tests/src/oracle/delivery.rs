//! Nothing is missing, nothing is skipped, and nothing comes again where it may not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::bounds::Bounds;
use super::history::{Event, History, Offsets, What};
use super::violation::{Kind, Violation};
use super::{Contract, Repeats};

/// What a client knows of a partition.
#[derive(Debug, Clone, Copy)]
struct Reading {
    generation: i64,
    /// Behind the last record.
    next: i64,
    /// Behind the furthest one that ever came.
    furthest: i64,
    /// An answer without cursor was lost since: what it held may be gone.
    lost: bool,
}

/// What a session has answered before.
#[derive(Debug, Clone, Copy, Default)]
struct Answered {
    generation: i64,
    /// When its last answer was known.
    last: Duration,
    /// When its last answer of another generation was known, or that to its last seek: what it
    /// reads since began after that.
    other: Duration,
}

impl Answered {
    fn followed_by(self, generation: i64, ended: Duration) -> Self {
        let other = if generation == self.generation {
            self.other
        } else {
            self.last
        };
        Self {
            generation,
            last: ended,
            other,
        }
    }
}

/// What has come so far of one partition.
#[derive(Debug)]
struct Partition {
    bounds: Bounds,
    came: BTreeSet<i64>,
    /// Offsets below this were left out by a seek.
    sought: i64,
    /// Gaps that a lost answer without cursor explains.
    excused: Vec<(i64, i64)>,
    readings: BTreeMap<String, Reading>,
    answered: BTreeMap<String, Answered>,
}

/// Judges all polls, and what nobody has got of the records up to `ends`.
pub(super) fn judge(history: &History, contract: &Contract, ends: &Offsets) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (partition, end) in ends {
        let mut state = Partition {
            bounds: Bounds::of(history, *partition),
            came: BTreeSet::new(),
            sought: history.start.highest(*partition),
            excused: Vec::new(),
            readings: BTreeMap::new(),
            answered: BTreeMap::new(),
        };
        for event in &history.events {
            state.see(event, *partition, contract, &mut violations);
        }
        state.missing(*partition, *end, &mut violations);
    }
    let known = |partition: &i32| ends.contains_key(partition);
    for event in &history.events {
        if let What::Polled { records, .. } = &event.what
            && let Some((partition, offset)) = records.iter().find(|(p, _)| !known(p))
        {
            violations.push(violation(event, unheard_of(*partition, *offset)));
        }
    }
    violations
}

impl Partition {
    fn see(
        &mut self,
        event: &Event,
        partition: i32,
        contract: &Contract,
        violations: &mut Vec<Violation>,
    ) {
        match &event.what {
            What::Polled {
                after,
                generation,
                records,
            } => {
                let before = self.answered.get(&event.session).copied();
                let before = before.unwrap_or_default();
                let now = before.followed_by(*generation, event.ended);
                self.answered.insert(event.session.clone(), now);
                let offsets = records.iter().filter(|(number, _)| *number == partition);
                let offsets: Vec<i64> = offsets.map(|(_, offset)| *offset).collect();
                let (Some(first), Some(last)) = (offsets.first(), offsets.last()) else {
                    return;
                };
                if let Some(pair) = offsets.windows(2).find(|pair| pair[1] != pair[0] + 1) {
                    let (before, came) = (pair[0], pair[1]);
                    let disorder = Kind::Disorder {
                        partition,
                        before,
                        came,
                    };
                    violations.push(violation(event, disorder));
                }
                let begins = Begins {
                    event,
                    partition,
                    first: *first,
                    generation: *generation,
                    after: *after,
                    last: before.last,
                    other: now.other,
                };
                let wrong = self.begins(&begins, contract);
                violations.extend(wrong.map(|kind| violation(event, kind)));
                self.came.extend(offsets.iter());
                let before = self.readings.get(&event.session);
                let furthest = before.map_or(0, |before| before.furthest);
                let reading = Reading {
                    generation: *generation,
                    next: last + 1,
                    furthest: furthest.max(last + 1),
                    lost: false,
                };
                self.readings.insert(event.session.clone(), reading);
            }
            What::PollLost { after: false } => {
                if let Some(reading) = self.readings.get_mut(&event.session) {
                    reading.lost = true;
                }
            }
            What::Sought { offsets, .. } => {
                if let Some(offset) = offsets.get(&partition) {
                    self.sought = self.sought.max(*offset);
                    self.readings.remove(&event.session);
                    let answered = self.answered.entry(event.session.clone()).or_default();
                    answered.other = event.ended;
                    answered.last = event.ended;
                }
            }
            What::PollLost { after: true } | What::Committed { .. } => {}
        }
    }

    /// Judges where the records of an answer begin.
    fn begins(&mut self, begins: &Begins<'_>, contract: &Contract) -> Option<Kind> {
        let (partition, came) = (begins.partition, begins.first);
        let Event { session, ended, .. } = begins.event;
        let reading = self.readings.get(session).copied();
        let ceiling = self.bounds.ceiling(*ended);
        let Some(reading) = reading else {
            if came > ceiling && !contract.auto_commit {
                let expected = ceiling;
                return Some(Kind::Skipped {
                    partition,
                    expected,
                    came,
                });
            }
            return self.rewound(begins, begins.other, contract);
        };
        let (expected, held) = (reading.next, reading.generation == begins.generation);
        if came == expected {
            return None;
        }
        if came > expected {
            if reading.lost && !begins.after {
                self.excused.push((expected, came));
                return None;
            }
            // One owner began anew, and the former one has gone on once more from where it stood.
            let is_former = contract.repeats == Repeats::Anything && came <= reading.furthest;
            if is_former && !begins.after {
                return None;
            }
            let others_went_on = !held && (came <= ceiling || contract.auto_commit);
            return (!others_went_on).then_some(Kind::Skipped {
                partition,
                expected,
                came,
            });
        }
        let may_not = held && (begins.after || contract.repeats == Repeats::Never);
        if may_not {
            return Some(Kind::Repeated {
                partition,
                expected,
                came,
            });
        }
        let since = if held { begins.last } else { begins.other };
        self.rewound(begins, since, contract)
    }

    /// Judges a new beginning that was decided at some time `since` then. What was committed
    /// later does not move it.
    fn rewound(&self, begins: &Begins<'_>, since: Duration, contract: &Contract) -> Option<Kind> {
        if contract.repeats == Repeats::Anything && !begins.after {
            return None;
        }
        let (partition, came) = (begins.partition, begins.first);
        let floor = self.bounds.floor(&begins.event.session, since);
        (came < floor).then_some(Kind::Rewound {
            partition,
            floor,
            came,
        })
    }

    /// Finds what nobody has got.
    fn missing(&self, partition: i32, end: i64, violations: &mut Vec<Violation>) {
        let excused = |offset: i64| {
            let lost = |(from, to): &(i64, i64)| (*from..*to).contains(&offset);
            offset < self.sought || self.excused.iter().any(lost)
        };
        let mut gap = None::<(i64, i64)>;
        for offset in (0..end).chain([i64::MAX]) {
            let is_gone = offset < end && !self.came.contains(&offset) && !excused(offset);
            match (&mut gap, is_gone) {
                (Some((_, to)), true) => *to = offset + 1,
                (None, true) => gap = Some((offset, offset + 1)),
                (Some((from, to)), false) => {
                    violations.push(Violation {
                        session: None,
                        at: Duration::MAX,
                        kind: Kind::Missing {
                            partition,
                            from: *from,
                            to: *to,
                        },
                    });
                    gap = None;
                }
                (None, false) => {}
            }
        }
    }
}

/// The first record of a partition in an answer.
struct Begins<'a> {
    event: &'a Event,
    partition: i32,
    first: i64,
    generation: i64,
    after: bool,
    /// When the session's last answer before was known, and the last one of another generation.
    last: Duration,
    other: Duration,
}

fn violation(event: &Event, kind: Kind) -> Violation {
    Violation {
        session: Some(event.session.clone()),
        at: event.ended,
        kind,
    }
}

/// A record of a partition that Kafka does not have.
fn unheard_of(partition: i32, came: i64) -> Kind {
    Kind::Skipped {
        partition,
        expected: 0,
        came,
    }
}
