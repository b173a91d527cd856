//! Which records are the newest.
//!
//! From the ends of all logs backwards, the record with the latest time comes next. Within a
//! partition that is Kafka's order, whatever its times say; so of each partition it takes an
//! unbroken end.

use std::collections::BinaryHeap;

use super::tail::Tail;

/// What can be said with what has been read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// These records, as tail and place within it, oldest first.
    Made(Vec<(usize, usize)>),
    /// These tails have to be read further back first.
    Unread(Vec<usize>),
}

/// Chooses the newest records, at most so many and of so many bytes, but one in any case. Of
/// records of one time, that of the later tail is the newer.
pub(super) fn choose(tails: &[Tail], limit: usize, most_bytes: u64) -> Choice {
    let unread: Vec<usize> = (0..tails.len())
        .filter(|at| is_unread(&tails[*at]) && tails[*at].len() == 0)
        .collect();
    if !unread.is_empty() {
        return Choice::Unread(unread);
    }
    let mut left: Vec<usize> = tails.iter().map(Tail::len).collect();
    let time = |tail: usize, left: usize| tails[tail].record(left - 1).timestamp;
    let mut next: BinaryHeap<(i64, usize)> = (0..tails.len())
        .filter(|tail| left[*tail] > 0)
        .map(|tail| (time(tail, left[tail]), tail))
        .collect();
    let (mut chosen, mut bytes) = (Vec::new(), 0);
    let mut unread = Vec::new();
    while chosen.len() < limit
        && let Some((_, tail)) = next.pop()
    {
        let place = left[tail] - 1;
        bytes += tails[tail].record(place).size();
        if bytes > most_bytes && !chosen.is_empty() {
            break;
        }
        chosen.push((tail, place));
        left[tail] = place;
        if place > 0 {
            next.push((time(tail, place), tail));
        } else if tails[tail].is_cut() {
            break;
        } else if is_unread(&tails[tail]) && chosen.len() < limit {
            // What it has next is not known, and so not what is next of all. Those that would
            // have to be read as well, were it nothing, are read at the same time.
            unread.push(tail);
        }
    }
    if !unread.is_empty() {
        return Choice::Unread(unread);
    }
    chosen.reverse();
    Choice::Made(chosen)
}

fn is_unread(tail: &Tail) -> bool {
    !tail.is_whole() && !tail.is_cut()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sluice_types::{Offset, Partition, TopicPartition};

    use super::*;
    use crate::session::RecordRef;

    /// A log: offset and time of each record; some offsets have none.
    type Log = Vec<(i64, i64)>;

    const SIZE: u64 = 10;

    fn tail(partition: usize, first: i64, end: i64, span: u64) -> Tail {
        let at = TopicPartition {
            topic: "t".parse().unwrap(),
            partition: Partition::new(i32::try_from(partition).unwrap()).unwrap(),
        };
        Tail::new(at, first, end, span)
    }

    /// Reads as far back as it takes; returns what was chosen, as partition and offset, and how
    /// many records were read for that.
    fn newest(
        logs: &[(Log, i64)],
        limit: usize,
        span: u64,
        most: u64,
    ) -> (Vec<(usize, i64)>, usize) {
        let mut tails: Vec<Tail> = logs
            .iter()
            .enumerate()
            .map(|(at, (_, end))| tail(at, 0, *end, span))
            .collect();
        let mut read = 0;
        loop {
            match choose(&tails, limit, most) {
                Choice::Made(chosen) => {
                    let place = |(tail, place): (usize, usize)| {
                        (tail, tails[tail].record(place).offset.get())
                    };
                    return (chosen.into_iter().map(place).collect(), read);
                }
                Choice::Unread(unread) => {
                    for at in unread {
                        let (from, until) = tails[at].reach_back();
                        assert!(from < until, "it gets further each time");
                        let log = logs[at].0.iter();
                        for (offset, time) in log.filter(|(at, _)| (from..until).contains(at)) {
                            read += 1;
                            tails[at].take(
                                &RecordRef {
                                    topic: "t",
                                    partition: 0,
                                    offset: Offset::new(*offset).unwrap(),
                                    timestamp: *time,
                                    key: None,
                                    value: Some(&[0; SIZE as usize]),
                                    headers: &[],
                                },
                                limit,
                            );
                        }
                        tails[at].end_reading(limit);
                    }
                }
            }
        }
    }

    /// The same, of all that there is.
    fn merged(logs: &[(Log, i64)], limit: usize) -> Vec<(usize, i64)> {
        let mut left: Vec<usize> = logs.iter().map(|(log, _)| log.len()).collect();
        let mut chosen = Vec::new();
        while chosen.len() < limit {
            let last = |at: usize| Some(logs[at].0[left[at].checked_sub(1)?]);
            let next = (0..logs.len()).filter_map(|at| Some((last(at)?.1, at)));
            let Some((_, at)) = next.max() else { break };
            left[at] -= 1;
            chosen.push((at, logs[at].0[left[at]].0));
        }
        chosen.reverse();
        chosen
    }

    fn log() -> impl Strategy<Value = (Log, i64)> {
        let records = prop::collection::vec((any::<bool>(), 0i64..100), 0..200);
        (records, 0i64..30).prop_map(|(records, behind)| {
            let end = i64::try_from(records.len()).unwrap() + behind;
            let offsets = (0..).zip(records);
            let there = offsets.filter(|(_, (is_there, _))| *is_there);
            (there.map(|(at, (_, time))| (at, time)).collect(), end)
        })
    }

    proptest! {
        #[test]
        fn the_newest_are_those_of_all_logs_merged_from_their_ends(
            logs in prop::collection::vec(log(), 0..6),
            limit in 1usize..60,
            span in 1u64..20,
        ) {
            let logs: Vec<_> = logs.into_iter().filter(|(_, end)| *end > 0).collect();
            let (chosen, _) = newest(&logs, limit, span, u64::MAX);
            prop_assert_eq!(chosen, merged(&logs, limit));
        }
    }

    #[test]
    fn of_long_logs_only_the_ends_are_read() {
        let log = |phase: i64| -> (Log, i64) {
            let records = (0..100_000).map(|at| (at, 10 * at + phase));
            (records.collect(), 100_000)
        };
        let logs: Vec<_> = (0..10).map(log).collect();
        let (chosen, read) = newest(&logs, 100, 20, u64::MAX);
        assert_eq!(chosen, merged(&logs, 100));
        assert!(read <= 10 * (20 + 80), "{read}");
        // All of the newest stand in one.
        let mut uneven = logs;
        uneven[3]
            .0
            .iter_mut()
            .for_each(|(_, time)| *time += 10_000_000);
        let (chosen, read) = newest(&uneven, 100, 20, u64::MAX);
        assert_eq!(chosen, merged(&uneven, 100));
        assert!(read <= 10 * 20 + 300, "{read}");
    }

    #[test]
    fn no_more_bytes_than_allowed_are_chosen_but_one_record_always() {
        let log = ((0..50).map(|at| (at, at)).collect(), 50);
        let (chosen, _) = newest(std::slice::from_ref(&log), 20, 8, 5 * SIZE);
        assert_eq!(chosen, merged(std::slice::from_ref(&log), 5));
        let (chosen, _) = newest(std::slice::from_ref(&log), 20, 8, 1);
        assert_eq!(chosen, [(0, 49)]);
    }

    #[test]
    fn what_was_cut_off_is_not_read_again() {
        let mut whole = tail(0, 0, 4, 4);
        whole.reach_back();
        for offset in 0..4 {
            let record = RecordRef {
                topic: "t",
                partition: 0,
                offset: Offset::new(offset).unwrap(),
                timestamp: offset,
                key: None,
                value: Some(&[0; SIZE as usize]),
                headers: &[],
            };
            whole.take(&record, 9);
        }
        assert_eq!((whole.oldest(), whole.bytes()), (Some(0), 4 * SIZE));
        whole.cut_oldest();
        assert_eq!((whole.oldest(), whole.bytes()), (Some(1), 3 * SIZE));
        whole.end_reading(9);
        assert_eq!(
            choose(&[whole], 9, u64::MAX),
            Choice::Made(vec![(0, 0), (0, 1), (0, 2)])
        );
    }
}
