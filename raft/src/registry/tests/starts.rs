//! What the next owner must know: points, assignments, partition counts.

use super::*;

#[test]
fn a_seek_replaces_the_points_of_its_partitions() {
    let first = points([(0, point(5, 1)), (1, point(6, 1))]);
    let mut registry = after([create("c", 1), seek(1, 1, first)]);
    done(&mut registry, seek(1, 2, points([(1, point(9, 2))])));
    let session = session(&registry);
    assert_eq!(session.points, points([(0, point(5, 1)), (1, point(9, 2))]));
    assert_eq!(session.seek_seq, SeekSeq::from_number(2));
}

#[test]
fn a_repeated_seek_is_done_and_another_of_its_number_is_not() {
    let mine = points([(0, point(5, 2))]);
    let mut registry = after([create("c", 1), seek(1, 2, mine.clone())]);
    done(&mut registry, seek(1, 2, mine));
    stale(&mut registry, seek(1, 2, points([(0, point(6, 2))])));
    stale(&mut registry, seek(1, 1, points([(0, point(6, 1))])));
}

#[test]
fn an_assignment_replaces_mode_and_points() {
    let mut registry = after([create("c", 1), seek(1, 1, points([(2, point(9, 1))]))]);
    done(&mut registry, assign(1, 1, partitions([0, 1])));
    let mode = Mode::Assigned {
        partitions: partitions([0, 1]),
        revision: 1,
    };
    assert_eq!(session(&registry).mode, mode);
    assert_eq!(session(&registry).points, points([(0, point(5, 0))]));
}

#[test]
fn a_repeated_assignment_does_not_undo_the_seek_behind_it() {
    let mut registry = after([
        create("c", 1),
        assign(1, 1, partitions([0])),
        seek(1, 1, points([(0, point(8, 1))])),
    ]);
    done(&mut registry, assign(1, 1, partitions([0])));
    assert_eq!(session(&registry).points, points([(0, point(8, 1))]));
    stale(&mut registry, assign(1, 1, partitions([1])));
    stale(&mut registry, assign(1, 0, partitions([0])));
}

#[test]
fn seen_partition_counts_only_grow() {
    let mut registry = after([create("c", 1), observed(1, 5), observed(1, 4)]);
    done(&mut registry, observed(1, 2));
    let orders = "orders".parse().unwrap();
    assert_eq!(session(&registry).counts_seen.get(&orders), Some(5));
    assert_eq!(session(&registry).counts_at_creation.get(&orders), Some(3));
}
