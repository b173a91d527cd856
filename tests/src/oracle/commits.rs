//! A commit is never ahead of what was delivered, and one that was answered is there.

use std::time::Duration;

use super::bounds::Bounds;
use super::history::{History, Offsets, What};
use super::violation::{Kind, Violation};

/// Judges the commits that were answered, and what Kafka holds at the end.
pub(super) fn judge(history: &History, ends: &Offsets, committed: &Offsets) -> Vec<Violation> {
    let mut violations = Vec::new();
    for partition in ends.keys() {
        let bounds = Bounds::of(history, *partition);
        for event in &history.events {
            let What::Committed {
                offsets,
                sure: true,
            } = &event.what
            else {
                continue;
            };
            if let Some(offset) = offsets.get(partition) {
                let delivered = delivered(history, &bounds, *partition, event.ended);
                violations.extend(ahead(*partition, *offset, delivered).map(|kind| Violation {
                    session: Some(event.session.clone()),
                    at: event.ended,
                    kind,
                }));
            }
        }
        let at_last = |kind| Violation {
            session: None,
            at: Duration::MAX,
            kind,
        };
        if let Some(committed) = committed.get(partition) {
            let delivered = delivered(history, &bounds, *partition, Duration::MAX);
            violations.extend(ahead(*partition, *committed, delivered).map(at_last));
        }
        // Nobody's: seeks do not count.
        let answered = bounds.floor("", Duration::MAX);
        let committed = committed.get(partition).copied();
        if committed.unwrap_or(history.start.lowest(*partition)) < answered {
            violations.push(at_last(Kind::CommitLost {
                partition: *partition,
                committed: committed.unwrap_or(0),
                answered,
            }));
        }
    }
    violations
}

/// Returns the offset behind all that had been delivered by then, or where a seek or the start led
/// to.
fn delivered(history: &History, bounds: &Bounds, partition: i32, at: Duration) -> i64 {
    let polls = history.events.iter().filter(|event| event.ended <= at);
    let records = polls.filter_map(|event| match &event.what {
        What::Polled { records, .. } => Some(records),
        What::PollLost { .. } | What::Committed { .. } | What::Sought { .. } => None,
    });
    let of_partition = records.flatten().filter(|(number, _)| *number == partition);
    let behind = of_partition.map(|(_, offset)| offset + 1);
    behind.fold(bounds.highest_start(at), i64::max)
}

fn ahead(partition: i32, committed: i64, delivered: i64) -> Option<Kind> {
    (committed > delivered).then_some(Kind::CommittedAhead {
        partition,
        committed,
        delivered,
    })
}
