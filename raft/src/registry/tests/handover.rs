//! What is handed over serves one assignment: the first after the join it was written for.

use super::*;

fn handover() -> Handover {
    Handover {
        points: points([(0, handed_over(7)), (1, handed_over(8))]),
        idle: Duration::from_secs(4),
    }
}

/// Handed over by a to b, whose epoch is 2.
fn handed_over_to_b() -> Registry {
    let planned = move_to(node("b"), &[claim("c", 1)], Some(&handover()));
    after([create("c", 1), seek(1, 1, seek_points()), planned])
}

fn seek_points() -> PartitionMap<Point> {
    points([(0, point(5, 1))])
}

fn carried(registry: &Registry) -> Option<(Handover, bool)> {
    let handed_over = session(registry).handed_over.as_deref()?;
    Some((handed_over.handover.clone(), handed_over.is_used))
}

#[test]
fn the_new_owner_finds_the_positions_above_the_points() {
    let registry = handed_over_to_b();
    assert_eq!(carried(&registry), Some((handover(), false)));
    assert_eq!(session(&registry).points, seek_points());
}

#[test]
fn an_unused_one_goes_on_to_the_next_opening_and_the_next_owner() {
    let mut registry = handed_over_to_b();
    done(&mut registry, open("b", &[claim("c", 2)]));
    assert_eq!(carried(&registry), Some((handover(), false)));
    done(&mut registry, move_to(node("a"), &[claim("c", 3)], None));
    assert_eq!(carried(&registry), Some((handover(), false)));
}

#[test]
fn a_used_one_serves_no_later_opening_and_no_later_owner() {
    for next in [
        open("b", &[claim("c", 2)]),
        move_to(node("a"), &[claim("c", 2)], None),
    ] {
        let mut registry = handed_over_to_b();
        // The owner still reads it when it is told that it may use it.
        let view = done(&mut registry, joined(2));
        assert!(
            view.handed_over
                .as_ref()
                .is_some_and(|carried| carried.is_used)
        );
        done(&mut registry, joined(2));
        assert_eq!(carried(&registry), Some((handover(), true)));
        done(&mut registry, next);
        assert_eq!(carried(&registry), None);
        assert_eq!(session(&registry).points, seek_points());
    }
}

#[test]
fn a_join_of_an_earlier_epoch_uses_nothing_up() {
    let mut registry = handed_over_to_b();
    done(&mut registry, open("b", &[claim("c", 2)]));
    stale(&mut registry, joined(2));
    assert_eq!(carried(&registry), Some((handover(), false)));
}

#[test]
fn the_next_planned_move_writes_its_own() {
    let mut registry = handed_over_to_b();
    done(&mut registry, joined(2));
    let second = Handover {
        points: points([(1, handed_over(20))]),
        idle: Duration::ZERO,
    };
    let planned = move_to(node("a"), &[claim("c", 2)], Some(&second));
    done(&mut registry, planned);
    assert_eq!(carried(&registry), Some((second, false)));
}

#[test]
fn a_seek_takes_the_place_of_what_was_handed_over_for_its_partitions() {
    let mut registry = handed_over_to_b();
    done(&mut registry, seek(2, 2, points([(0, point(1, 2))])));
    let left = carried(&registry).map(|(handover, _)| handover.points);
    assert_eq!(left, Some(points([(1, handed_over(8))])));
}

#[test]
fn an_assignment_takes_the_place_of_all_that_was_handed_over() {
    let mut registry = handed_over_to_b();
    done(&mut registry, assign(2, 1, partitions([0])));
    assert_eq!(carried(&registry), None);
}

#[test]
fn a_session_that_ends_needs_none() {
    let mut registry = handed_over_to_b();
    done(&mut registry, delete(2));
    assert_eq!(carried(&registry), None);
}

#[test]
fn an_owner_that_drains_may_leave_one_with_itself_but_takes_nothing() {
    let mut registry = after([create("c", 1)]);
    registry.apply(change_node(node("a"), 0, NodeState::Draining));
    let left = done(
        &mut registry,
        move_to(node("a"), &[claim("c", 1)], Some(&handover())),
    );
    assert_eq!((&left.owner, left.epoch), (&node("a"), epoch(2)));
    assert_eq!(carried(&registry), Some((handover(), false)));
    let taken = registry.apply(move_to(node("a"), &[claim("c", 2)], None));
    assert_eq!(taken, Outcome::NotAlive);
    done(&mut registry, move_to(node("b"), &[claim("c", 2)], None));
    assert_eq!(carried(&registry), Some((handover(), false)));
}
