//! The positions of a session through answers, seeks and rebalances.

use sluice_types::Partition;

use super::*;
use crate::session::cursor::Cursor;

fn at(partition: i32) -> TopicPartition {
    TopicPartition {
        topic: "t".parse().unwrap(),
        partition: Partition::new(partition).unwrap(),
    }
}

fn offset(number: i64) -> Offset {
    Offset::new(number).unwrap()
}

fn offsets(entries: &[(i32, i64)]) -> Offsets {
    entries
        .iter()
        .map(|(partition, number)| (at(*partition), offset(*number)))
        .collect()
}

/// A session that holds partitions 0 and 1 since generation 3, each at offset 10.
fn state() -> State {
    let topic = "t".parse().unwrap();
    let life = CreationStamp::from_number(1);
    let mut state = State::subscribed(life, [&topic], SeekSeq::NONE);
    state.assign(&offsets(&[(0, 10), (1, 10)]), 3, true);
    state
}

/// Answers with the records up to `end` of partition 0.
fn answer_up_to(state: &mut State, end: i64) -> u64 {
    let slot = state.locate("t", 0).unwrap();
    for number in state.fetched().get(&at(0)).unwrap().get()..end {
        assert!(state.fetch(slot, offset(number)));
        state.take(slot, offset(number));
    }
    state.send()
}

#[track_caller]
fn check_position(state: &State, expected: i64) {
    assert_eq!(state.positions().get(&at(0)), Some(&offset(expected)));
}

#[test]
fn the_position_advances_when_the_answer_was_handed_over() {
    let mut state = state();
    let number = answer_up_to(&mut state, 15);
    check_position(&state, 10);
    assert!(state.fate(number, true).is_empty());
    check_position(&state, 15);
    assert_eq!(state.delivered(), offsets(&[(0, 15)]));
}

#[test]
fn a_lost_answer_is_read_again() {
    let mut state = state();
    let number = answer_up_to(&mut state, 15);
    assert_eq!(state.fate(number, false), offsets(&[(0, 10)]));
    check_position(&state, 10);
    assert!(state.delivered().is_empty());
    let slot = state.locate("t", 0).unwrap();
    assert!(state.fetch(slot, offset(10)));
}

#[test]
fn what_the_client_commits_of_an_answer_on_its_way_does_not_come_again() {
    for (committed, again) in [(12, 12), (15, 15), (10, 10), (9, 10), (16, 10)] {
        let mut state = state();
        let number = answer_up_to(&mut state, 15);
        state.committed_by_client(&offsets(&[(0, committed), (1, 10)]));
        check_position(&state, again);
        assert!(state.awaits_fate());
        assert_eq!(state.fate(number, false), offsets(&[(0, again)]));
        check_position(&state, again);
        let slot = state.locate("t", 0).unwrap();
        assert!(state.fetch(slot, offset(again)), "{committed}");
    }
    let mut state = state();
    let number = answer_up_to(&mut state, 15);
    state.committed_by_client(&offsets(&[(0, 12)]));
    assert!(state.fate(number, true).is_empty());
    check_position(&state, 15);
}

#[test]
fn a_fate_that_comes_late_changes_nothing() {
    let mut state = state();
    let first = answer_up_to(&mut state, 12);
    state.resume_after(&state.cursor());
    answer_up_to(&mut state, 14);
    assert!(state.fate(first, false).is_empty());
    check_position(&state, 12);
}

#[test]
fn the_cursor_of_the_answer_on_its_way_settles_it_without_moving_the_handle() {
    let mut state = state();
    answer_up_to(&mut state, 15);
    let cursor = state.cursor();
    assert!(state.resume_after(&cursor).is_empty());
    check_position(&state, 15);
    assert!(!state.awaits_fate());
}

#[test]
fn the_cursor_of_the_answer_before_brings_the_lost_one_again() {
    let mut state = state();
    let before = state.cursor();
    let number = answer_up_to(&mut state, 15);
    state.fate(number, true);
    assert_eq!(state.resume_after(&before), offsets(&[(0, 10)]));
    check_position(&state, 10);
}

#[test]
fn held_records_stay_when_the_cursor_is_where_the_session_stands() {
    let mut state = state();
    let number = answer_up_to(&mut state, 15);
    state.fate(number, true);
    let slot = state.locate("t", 0).unwrap();
    assert!(state.fetch(slot, offset(15)), "held");
    assert!(state.resume_after(&state.cursor()).is_empty());
    assert_eq!(state.fetched().get(&at(0)), Some(&offset(16)));
}

#[test]
fn a_cursor_does_not_count_where_the_session_was_interrupted() {
    let mut state = state();
    answer_up_to(&mut state, 15);
    let cursor = state.cursor();
    state.revoke(&[at(0)].into_iter().collect(), 4);
    state.assign(&offsets(&[(0, 40)]), 5, false);
    assert_eq!(state.counting(&cursor), offsets(&[(1, 10)]));
    assert!(state.resume_after(&cursor).is_empty());
    check_position(&state, 40);
}

#[test]
fn the_generation_changes_with_what_is_revoked() {
    let mut state = state();
    let before = state.generation();
    state.revoke(&[at(0)].into_iter().collect(), before + 1);
    assert_eq!(state.generation(), before + 1);
    state.revoke(&[at(1)].into_iter().collect(), -1);
    assert_eq!(state.generation(), 0, "the group has lost the member");
}

#[test]
fn a_cursor_does_not_count_where_the_session_has_sought_since() {
    let mut state = state();
    let cursor = state.cursor();
    state.sought(&offsets(&[(0, 99)]), SeekSeq::NONE.next());
    assert_eq!(state.counting(&cursor), offsets(&[(1, 10)]));
    assert_eq!(
        state.counting(&state.cursor()),
        offsets(&[(0, 99), (1, 10)])
    );
}

#[test]
fn records_of_a_partition_that_the_cursor_does_not_know_come_again() {
    let mut state = state();
    let cursor = state.cursor();
    state.sought(&offsets(&[(0, 20)]), SeekSeq::NONE.next());
    state.resume_after(&cursor);
    let number = answer_up_to(&mut state, 25);
    state.fate(number, true);
    assert_eq!(
        state.resume_after(&cursor),
        offsets(&[(0, 20)]),
        "that answer was lost"
    );
    check_position(&state, 20);
}

#[test]
fn a_client_that_begins_to_send_cursors_does_not_go_back() {
    let mut state = state();
    let number = answer_up_to(&mut state, 15);
    state.fate(number, true);
    state.acknowledge();
    let earlier_life = Cursor {
        life: CreationStamp::from_number(2),
        ..state.cursor()
    };
    assert!(state.resume_after(&earlier_life).is_empty());
    check_position(&state, 15);
}

#[test]
fn a_cursor_of_an_earlier_life_is_ignored() {
    let mut state = state();
    let cursor = Cursor {
        life: CreationStamp::from_number(2),
        ..state.cursor()
    };
    assert!(state.counting(&cursor).is_empty());
    assert!(state.resume_after(&cursor).is_empty());
}

#[test]
fn an_answer_on_its_way_does_not_undo_a_seek() {
    let mut state = state();
    let number = answer_up_to(&mut state, 15);
    state.sought(&offsets(&[(0, 5)]), SeekSeq::NONE.next());
    assert!(state.fate(number, false).is_empty());
    check_position(&state, 5);
    assert_eq!(state.delivered(), offsets(&[(0, 5)]));
}

#[test]
fn a_record_of_before_a_seek_is_not_taken() {
    let mut state = state();
    state.sought(&offsets(&[(0, 50)]), SeekSeq::NONE.next());
    let slot = state.locate("t", 0).unwrap();
    assert!(!state.fetch(slot, offset(49)));
    assert!(state.fetch(slot, offset(50)));
}

#[test]
fn asking_for_more_acknowledges_what_was_delivered() {
    let mut state = state();
    let first = answer_up_to(&mut state, 15);
    state.fate(first, true);
    assert!(state.owed().is_empty());
    state.acknowledge();
    assert_eq!(state.owed(), offsets(&[(0, 15)]));
    state.committed(&offsets(&[(0, 15)]));
    assert!(state.owed().is_empty());
    let second = answer_up_to(&mut state, 20);
    state.fate(second, true);
    assert!(
        state.owed().is_empty(),
        "the latest answer is not acknowledged"
    );
    assert_eq!(state.owed_at_delete(), offsets(&[(0, 20)]));
}

#[test]
fn what_is_handed_over_is_behind_what_was_delivered() {
    let mut state = state();
    let delivered = answer_up_to(&mut state, 15);
    state.fate(delivered, true);
    state.acknowledge();
    answer_up_to(&mut state, 20);
    let handed_over = offsets(&[(0, 15), (1, 10)]);
    assert_eq!(state.to_hand_over(), handed_over);

    let mut next = self::state();
    next.assign(&handed_over, 3, true);
    assert!(next.delivered().is_empty());
    next.take_over(&handed_over);
    assert_eq!(next.delivered(), handed_over);
    assert!(next.owed().is_empty(), "the client has yet to say so");
    next.acknowledge();
    assert_eq!(next.owed(), handed_over);
}

#[test]
fn of_a_partition_that_no_cursor_has_named_the_latest_answer_may_be_lost() {
    let mut state = state();
    let before = state.cursor();
    state.assign(&offsets(&[(2, 7)]), 4, false);
    state.resume_after(&before);
    let slot = state.locate("t", 2).unwrap();
    assert!(state.fetch(slot, offset(7)));
    state.take(slot, offset(7));
    let number = answer_up_to(&mut state, 15);
    state.fate(number, true);
    let handed_over = state.to_hand_over();
    assert_eq!(handed_over, offsets(&[(0, 15), (1, 10), (2, 7)]));
    state.resume_after(&state.cursor());
    assert_eq!(state.to_hand_over(), offsets(&[(0, 15), (1, 10), (2, 8)]));
}

#[test]
fn a_cursor_of_before_a_seek_does_not_count_under_the_next_owner() {
    let mut state = state();
    let cursor = state.cursor();
    let point = |by| sluice_types::Point {
        offset: offset(99),
        seen: None,
        by,
    };
    let seq = SeekSeq::NONE.next();
    let sought = [(at(0), point(sluice_types::PointBy::Seek(seq)))];
    state.remember_seeks(&sought.into_iter().collect());
    assert_eq!(state.counting(&cursor), offsets(&[(1, 10)]));
}

#[test]
fn a_seek_clears_what_is_acknowledged() {
    let mut state = state();
    let number = answer_up_to(&mut state, 15);
    state.fate(number, true);
    state.acknowledge();
    state.sought(&offsets(&[(0, 2)]), SeekSeq::NONE.next());
    assert!(state.owed().is_empty());
}

#[test]
fn a_manual_assignment_makes_cursors_of_before_worthless() {
    let mut state = state();
    let subscribed = state.cursor();
    state.assign_manually(&offsets(&[(0, 0)]), 1);
    assert!(state.counting(&subscribed).is_empty());
    let first = state.cursor();
    assert_eq!(state.counting(&first), offsets(&[(0, 0)]));
    state.assign_manually(&offsets(&[(0, 0)]), 2);
    assert!(state.counting(&first).is_empty());
}

#[test]
fn a_handle_that_could_not_be_moved_gives_nothing() {
    let mut state = state();
    let target = offsets(&[(0, 5)]);
    state.sought(&target, SeekSeq::NONE.next());
    state.set_astray(&target.partitions(), true);
    let slot = state.locate("t", 0).unwrap();
    assert!(!state.fetch(slot, offset(10)), "5 to 9 would be skipped");
    state.set_astray(&target.partitions(), false);
    assert!(state.fetch(slot, offset(5)));
}

#[test]
fn a_partition_in_trouble_stays_paused() {
    let mut state = state();
    state.slots_mut().for_each(|slot| slot.paused = true);
    let bounds = crate::kafka::LogBounds {
        first: offset(0),
        end: offset(1),
    };
    state.set_trouble(
        &at(0),
        Trouble {
            position: None,
            bounds,
        },
    );
    assert_eq!(state.paused_without_reason(), [at(1)].into_iter().collect());
    assert_eq!(state.paused_of(&[at(0)].into_iter().collect()).len(), 1);
}

#[test]
fn while_no_assignment_stands_the_generation_is_zero() {
    let mut state = state();
    let generation = state.generation();
    assert_ne!(generation, 0);
    let starts = state.positions();
    let behind = state.cursor();
    state.revoke_all();
    assert_eq!(
        (state.generation(), state.last_generation()),
        (0, generation)
    );
    // The group has kept the member all the while: it is the same generation, and nobody else
    // can have read.
    state.assign(&starts, generation, true);
    assert_eq!(state.generation(), generation);
    assert_eq!(state.counting(&behind), starts);
    // No partitions, where the group has none to give, are an assignment like any other.
    state.assign(&Offsets::new(), generation + 1, true);
    assert_eq!(state.generation(), generation + 1);
}
