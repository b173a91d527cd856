//! Where a partition starts: decided at every assignment, after the join succeeded.

use sluice_types::{CreationStamp, Offset, OffsetReset, Point, SeenCommit};

use super::stamp::CommitStamp;
use crate::kafka::LogBounds;

/// Where a partition starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// At this offset: up to it the owner before has delivered.
    HandedOver(Offset),
    /// At this offset.
    At(Offset),
    /// At the oldest record.
    Beginning,
    /// Behind the newest record; the offset found must be committed before anybody sees it.
    End,
    /// Nowhere: nothing is committed and the policy is `none`.
    Nowhere,
}

/// What is known of a partition when it is assigned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'a> {
    /// What the owner before has handed over for it, if this is the first assignment of the handle
    /// that it was handed to.
    pub(crate) handed_over: Option<&'a Point>,
    /// The session's point for it, if there is one.
    pub(crate) point: Option<&'a Point>,
    /// What the group has committed, from an answer that succeeded.
    pub(crate) committed: Option<&'a SeenCommit>,
    /// Whether the partition was created after the session.
    pub(crate) is_new: bool,
}

/// Decides where a partition starts: where the owner before was if that stands, else at its point
/// if that stands, else at the group's commit, else by the reset policy; a partition newer than the
/// session starts at its beginning.
pub(crate) fn decide(facts: Facts<'_>, life: CreationStamp, reset: OffsetReset) -> Start {
    if let Some(point) = facts.handed_over
        && stands(point, facts.committed, life)
    {
        return Start::HandedOver(point.offset);
    }
    if let Some(point) = facts.point
        && stands(point, facts.committed, life)
    {
        return Start::At(point.offset);
    }
    if let Some(committed) = facts.committed {
        return Start::At(committed.offset);
    }
    match reset {
        _ if facts.is_new && reset != OffsetReset::None => Start::Beginning,
        OffsetReset::Earliest => Start::Beginning,
        OffsetReset::Latest => Start::End,
        OffsetReset::None => Start::Nowhere,
    }
}

/// A point stands while no commit was made after it: the group's commit is still the one that the
/// point saw, or one that this life of the session made before the point's seek and that landed
/// late.
fn stands(point: &Point, committed: Option<&SeenCommit>, life: CreationStamp) -> bool {
    if committed == point.seen.as_ref() {
        return true;
    }
    let stamp = committed.and_then(|commit| commit.metadata.parse::<CommitStamp>().ok());
    stamp.is_some_and(|stamp| stamp.life == life && stamp.seek_seq < point.by.seek_seq())
}

/// Where a partition goes on whose position may be outside its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restart {
    /// Where it stands: that is inside.
    Here,
    /// At the oldest record.
    Beginning,
    /// Behind the newest record; that must be committed before anybody sees it.
    End,
    /// Nowhere: the policy is `none`.
    Nowhere,
}

/// Decides where a partition goes on.
pub(crate) fn restart(position: Offset, bounds: LogBounds, reset: OffsetReset) -> Restart {
    match reset {
        _ if (bounds.first..=bounds.end).contains(&position) => Restart::Here,
        OffsetReset::Earliest => Restart::Beginning,
        OffsetReset::Latest => Restart::End,
        OffsetReset::None => Restart::Nowhere,
    }
}

#[cfg(test)]
mod tests {
    use sluice_types::{PointBy, SeekSeq};

    use super::*;

    const LIFE: u64 = 7;

    fn life() -> CreationStamp {
        CreationStamp::from_number(LIFE)
    }

    fn offset(number: i64) -> Offset {
        Offset::new(number).unwrap()
    }

    fn commit(number: i64, metadata: &str) -> SeenCommit {
        SeenCommit {
            offset: offset(number),
            metadata: metadata.to_owned(),
        }
    }

    fn own_commit(number: i64, seek: u64) -> SeenCommit {
        let seek_seq = SeekSeq::from_number(seek);
        commit(
            number,
            &CommitStamp {
                life: life(),
                seek_seq,
                number: 1,
            }
            .to_string(),
        )
    }

    fn sought(number: i64, seek: u64, seen: Option<SeenCommit>) -> Point {
        Point {
            offset: offset(number),
            seen,
            by: PointBy::Seek(SeekSeq::from_number(seek)),
        }
    }

    fn facts<'a>(point: Option<&'a Point>, committed: Option<&'a SeenCommit>) -> Facts<'a> {
        Facts {
            handed_over: None,
            point,
            committed,
            is_new: false,
        }
    }

    #[track_caller]
    fn check(facts: Facts<'_>, expected: Start) {
        assert_eq!(decide(facts, life(), OffsetReset::Latest), expected);
    }

    #[test]
    fn without_a_point_the_groups_commit_counts() {
        check(facts(None, Some(&commit(5, ""))), Start::At(offset(5)));
    }

    #[test]
    fn without_a_commit_the_policy_counts() {
        let nothing = facts(None, None);
        for (reset, start) in [
            (OffsetReset::Earliest, Start::Beginning),
            (OffsetReset::Latest, Start::End),
            (OffsetReset::None, Start::Nowhere),
        ] {
            assert_eq!(decide(nothing, life(), reset), start);
        }
    }

    #[test]
    fn a_partition_newer_than_the_session_starts_at_its_beginning() {
        check(
            Facts {
                is_new: true,
                ..facts(None, None)
            },
            Start::Beginning,
        );
        let committed = commit(5, "");
        check(
            Facts {
                is_new: true,
                ..facts(None, Some(&committed))
            },
            Start::At(offset(5)),
        );
    }

    #[test]
    fn a_point_stands_until_somebody_commits() {
        let seen = commit(5, "other");
        let point = sought(100, 1, Some(seen.clone()));
        check(facts(Some(&point), Some(&seen)), Start::At(offset(100)));
        check(
            facts(Some(&point), Some(&commit(6, "other"))),
            Start::At(offset(6)),
        );
        check(
            facts(Some(&point), Some(&commit(5, "another"))),
            Start::At(offset(5)),
        );
        check(facts(Some(&point), None), Start::End);
    }

    #[test]
    fn a_point_that_saw_no_commit_stands_while_there_is_none() {
        let point = sought(100, 1, None);
        check(facts(Some(&point), None), Start::At(offset(100)));
        check(
            facts(Some(&point), Some(&commit(1, ""))),
            Start::At(offset(1)),
        );
    }

    #[test]
    fn a_commit_of_before_the_seek_that_lands_late_does_not_void_the_point() {
        let point = sought(100, 2, Some(commit(5, "")));
        check(
            facts(Some(&point), Some(&own_commit(7, 1))),
            Start::At(offset(100)),
        );
        check(
            facts(Some(&point), Some(&own_commit(7, 2))),
            Start::At(offset(7)),
        );
    }

    #[test]
    fn an_earlier_life_of_the_id_is_somebody_else() {
        let other = CommitStamp {
            life: CreationStamp::from_number(LIFE + 1),
            seek_seq: SeekSeq::NONE,
            number: 1,
        };
        let committed = commit(7, &other.to_string());
        let point = sought(100, 2, Some(commit(5, "")));
        check(facts(Some(&point), Some(&committed)), Start::At(offset(7)));
    }

    fn handed_over(number: i64, seek: u64, seen: Option<SeenCommit>) -> Point {
        Point {
            by: PointBy::Handover(SeekSeq::from_number(seek)),
            ..sought(number, seek, seen)
        }
    }

    #[test]
    fn where_the_owner_before_was_comes_before_the_point() {
        let seen = commit(5, "");
        let (left, point) = (
            handed_over(100, 1, Some(seen.clone())),
            sought(50, 1, Some(seen.clone())),
        );
        let facts = Facts {
            handed_over: Some(&left),
            ..facts(Some(&point), Some(&seen))
        };
        check(facts, Start::HandedOver(offset(100)));
    }

    #[test]
    fn what_was_handed_over_stands_until_somebody_commits() {
        let (seen, later) = (commit(5, ""), commit(6, ""));
        let left = handed_over(100, 1, Some(seen.clone()));
        let point = sought(50, 1, Some(later.clone()));
        let now = |point, committed| Facts {
            handed_over: Some(&left),
            ..facts(point, committed)
        };
        check(now(None, Some(&later)), Start::At(offset(6)));
        check(now(Some(&point), Some(&later)), Start::At(offset(50)));
        check(now(None, None), Start::End);
        // One that was sent before the last seek, and landed after the handover.
        let late = own_commit(7, 0);
        check(now(None, Some(&late)), Start::HandedOver(offset(100)));
    }

    #[test]
    fn a_position_outside_the_log_follows_the_policy() {
        let bounds = LogBounds {
            first: offset(10),
            end: offset(20),
        };
        for (reset, outside) in [
            (OffsetReset::Earliest, Restart::Beginning),
            (OffsetReset::Latest, Restart::End),
            (OffsetReset::None, Restart::Nowhere),
        ] {
            for (position, expected) in [
                (9, outside),
                (10, Restart::Here),
                (20, Restart::Here),
                (21, outside),
            ] {
                assert_eq!(restart(offset(position), bounds, reset), expected);
            }
        }
    }
}
