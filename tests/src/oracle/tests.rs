//! The oracle finds what it is there to find: each test feeds it a history with one fault, or one
//! that looks like a fault and is none.

use std::time::Duration;

use super::*;

/// A history in the making: each step takes a second of its time.
#[derive(Clone, Default)]
struct Tale {
    history: History,
}

impl Tale {
    fn tell(mut self, session: &str, what: What) -> Self {
        let began = self.now();
        self.history.push(Event {
            session: session.to_owned(),
            began,
            ended: began + Duration::from_millis(500),
            what,
        });
        self
    }

    fn now(&self) -> Duration {
        Duration::from_secs(u64::try_from(self.history.events.len()).unwrap())
    }

    /// Records `from..to` of partition 0.
    fn polled(self, session: &str, generation: i64, from: i64, to: i64, after: bool) -> Self {
        let records = (from..to).map(|offset| (0, offset)).collect();
        self.tell(
            session,
            What::Polled {
                after,
                generation,
                records,
            },
        )
    }

    fn plain(self, session: &str, generation: i64, from: i64, to: i64) -> Self {
        self.polled(session, generation, from, to, false)
    }

    fn after(self, session: &str, generation: i64, from: i64, to: i64) -> Self {
        self.polled(session, generation, from, to, true)
    }

    fn lost(self, session: &str, after: bool) -> Self {
        self.tell(session, What::PollLost { after })
    }

    fn committed(self, session: &str, offset: i64, sure: bool) -> Self {
        let offsets = [(0, offset)].into();
        self.tell(session, What::Committed { offsets, sure })
    }

    fn sought(self, session: &str, offset: i64, sure: bool) -> Self {
        let offsets = [(0, offset)].into();
        self.tell(session, What::Sought { offsets, sure })
    }

    fn starting(mut self, start: Start) -> Self {
        self.history.start = start;
        self
    }

    fn judged(&self, contract: &Contract, end: i64, committed: Option<i64>) -> Vec<Kind> {
        let committed = committed.map(|offset| (0, offset)).into_iter().collect();
        let ends = [(0, end)].into();
        let violations = judge(&self.history, &[], contract, &ends, &committed);
        violations.into_iter().map(|found| found.kind).collect()
    }

    /// What is wrong when all up to 10 was to be read, and owners may have been lost.
    #[track_caller]
    fn shows(&self, expected: &[Kind]) {
        let last = |event: &Event| match &event.what {
            What::Committed {
                offsets,
                sure: true,
            } => offsets.get(&0).copied(),
            _ => None,
        };
        let committed = self.history.events.iter().filter_map(last).max();
        assert_eq!(self.judged(&Contract::default(), 10, committed), expected);
    }
}

fn skipped(expected: i64, came: i64) -> Kind {
    Kind::Skipped {
        partition: 0,
        expected,
        came,
    }
}

fn repeated(expected: i64, came: i64) -> Kind {
    Kind::Repeated {
        partition: 0,
        expected,
        came,
    }
}

fn rewound(floor: i64, came: i64) -> Kind {
    Kind::Rewound {
        partition: 0,
        floor,
        came,
    }
}

fn missing(from: i64, to: i64) -> Kind {
    Kind::Missing {
        partition: 0,
        from,
        to,
    }
}

#[test]
fn a_faultless_history_is_faultless() {
    let tale = Tale::default().after("a", 1, 0, 4).committed("a", 4, true);
    let tale = tale.after("a", 1, 4, 7).plain("b", 2, 4, 10);
    tale.shows(&[]);
}

#[test]
fn a_record_that_nobody_got_is_missing() {
    Tale::default().after("a", 1, 0, 8).shows(&[missing(8, 10)]);
    Tale::default().shows(&[missing(0, 10)]);
}

#[test]
fn a_gap_is_skipped_although_another_member_got_it() {
    let tale = Tale::default().plain("b", 1, 0, 10).after("a", 1, 0, 4);
    tale.after("a", 1, 6, 10).shows(&[skipped(4, 6)]);
}

#[test]
fn a_member_goes_on_where_another_may_have_committed() {
    let base = || Tale::default().plain("b", 1, 0, 6).plain("a", 2, 0, 3);
    base()
        .committed("b", 6, true)
        .plain("a", 3, 6, 10)
        .shows(&[]);
    base()
        .committed("b", 6, false)
        .plain("a", 3, 6, 10)
        .shows(&[]);
    base()
        .committed("b", 5, true)
        .plain("a", 3, 6, 10)
        .shows(&[skipped(3, 6)]);
}

#[test]
fn a_start_behind_all_commits_is_skipped() {
    let tale = Tale::default().plain("b", 1, 0, 6).committed("b", 4, true);
    tale.plain("a", 2, 6, 10).shows(&[skipped(4, 6)]);
}

#[test]
fn what_a_lost_answer_without_cursor_held_is_excused() {
    let tale = Tale::default().plain("a", 1, 0, 4).lost("a", false);
    tale.plain("a", 1, 6, 10).shows(&[]);
}

#[test]
fn what_a_lost_answer_with_cursor_held_comes_again() {
    let tale = Tale::default().after("a", 1, 0, 4).lost("a", true);
    tale.after("a", 1, 6, 10)
        .shows(&[skipped(4, 6), missing(4, 6)]);
    let tale = Tale::default().after("a", 1, 0, 4).lost("a", true);
    tale.after("a", 1, 4, 10).shows(&[]);
}

#[test]
fn with_a_cursor_nothing_comes_twice_in_a_generation() {
    let tale = || Tale::default().after("a", 1, 0, 4);
    tale().after("a", 1, 3, 10).shows(&[repeated(4, 3)]);
    tale().after("a", 2, 3, 10).shows(&[]);
}

#[test]
fn without_a_cursor_what_was_not_committed_may_come_again_unless_no_owner_was_lost() {
    let tale = Tale::default().plain("a", 1, 0, 4).committed("a", 2, true);
    let tale = tale.plain("a", 1, 2, 10);
    tale.shows(&[]);
    let contract = Contract {
        repeats: Repeats::Never,
        ..Contract::default()
    };
    assert_eq!(tale.judged(&contract, 10, Some(2)), [repeated(4, 2)]);
}

/// The start of the next owner is decided before: committing moves no position.
#[test]
fn a_commit_behind_the_loss_of_an_owner_does_not_move_its_successor() {
    let tale = Tale::default().plain("a", 1, 0, 4).committed("a", 3, true);
    let tale = tale.plain("a", 1, 4, 5).lost("a", false);
    let tale = || Tale { ..tale.clone() }.committed("a", 5, true);
    tale().plain("a", 1, 3, 10).shows(&[]);
    tale().plain("a", 1, 2, 10).shows(&[rewound(3, 2)]);
    tale().plain("a", 2, 3, 10).shows(&[]);
    // An answer between shows that the owner of that commit was there.
    let tale = || tale().plain("a", 1, 0, 0);
    tale().plain("a", 1, 3, 10).shows(&[rewound(5, 3)]);
    tale().plain("a", 2, 3, 10).shows(&[rewound(5, 3)]);
}

#[test]
fn what_was_committed_does_not_come_again() {
    let tale = |sure| {
        let tale = Tale::default().plain("a", 1, 0, 4);
        let tale = tale.committed("a", 3, sure).plain("a", 1, 0, 0);
        tale.plain("a", 1, 2, 10)
    };
    tale(true).shows(&[rewound(3, 2)]);
    tale(false).shows(&[]);
    // A frozen owner may go on from where it stood.
    let contract = Contract {
        repeats: Repeats::Anything,
        ..Contract::default()
    };
    assert_eq!(tale(true).judged(&contract, 10, Some(3)), []);
    let with_cursor = Tale::default().after("a", 1, 0, 4).committed("a", 3, true);
    let with_cursor = with_cursor.after("a", 1, 0, 0);
    with_cursor.after("a", 2, 2, 10).shows(&[rewound(3, 2)]);
}

#[test]
fn two_owners_may_take_turns_for_a_moment_if_neither_goes_beyond_what_came() {
    let tale = |first| {
        let tale = Tale::default().plain("a", 1, 0, 6).plain("a", 1, 2, 4);
        tale.plain("a", 1, first, 8).plain("a", 1, 4, 10)
    };
    let contract = Contract {
        repeats: Repeats::Anything,
        ..Contract::default()
    };
    assert_eq!(tale(6).judged(&contract, 10, None), []);
    assert_eq!(tale(7).judged(&contract, 10, None), [skipped(4, 7)]);
    tale(6).shows(&[skipped(4, 6)]);
}

#[test]
fn the_records_of_an_answer_follow_each_other() {
    let records = [0, 1, 3, 2].map(|offset| (0, offset)).to_vec();
    let generation = 1;
    let tale = Tale::default().tell(
        "a",
        What::Polled {
            after: true,
            generation,
            records,
        },
    );
    let disorder = Kind::Disorder {
        partition: 0,
        before: 1,
        came: 3,
    };
    let found = tale.judged(&Contract::default(), 4, None);
    assert_eq!(found, [disorder]);
}

#[test]
fn reading_goes_on_at_a_seek() {
    let tale = |came| {
        let tale = Tale::default()
            .after("a", 1, 0, 10)
            .committed("a", 10, true);
        tale.sought("a", 5, true).after("a", 1, came, 10)
    };
    tale(5).shows(&[]);
    tale(4).shows(&[rewound(5, 4)]);
    tale(7).shows(&[skipped(5, 7)]);
}

#[test]
fn a_seek_that_may_have_been_done_goes_either_way() {
    let tale = |came| {
        let tale = Tale::default()
            .plain("a", 1, 0, 10)
            .committed("a", 10, true);
        tale.sought("a", 5, false).plain("a", 1, came, 10)
    };
    tale(5).shows(&[]);
    tale(4).shows(&[rewound(5, 4)]);
}

#[test]
fn a_seek_stands_until_the_next_commit() {
    let tale = Tale::default().plain("a", 1, 0, 3).sought("a", 8, true);
    let tale = tale.plain("a", 1, 8, 9);
    // The owner is lost: the point stands.
    tale.plain("a", 1, 7, 10).shows(&[rewound(8, 7)]);
    let tale = Tale::default().plain("a", 1, 0, 9).sought("a", 3, true);
    let tale = tale.plain("a", 1, 3, 6).committed("a", 6, true);
    let tale = tale.plain("a", 1, 0, 0);
    tale.plain("a", 1, 3, 10).shows(&[rewound(6, 3)]);
}

#[test]
fn a_seek_of_one_member_does_not_lead_another() {
    let tale = Tale::default().plain("a", 1, 0, 3).committed("a", 3, true);
    let tale = tale.sought("a", 8, true).plain("b", 2, 3, 10);
    tale.shows(&[]);
}

#[test]
fn what_a_seek_left_out_is_not_missing() {
    let tale = Tale::default().plain("a", 1, 0, 3).sought("a", 8, true);
    tale.plain("a", 1, 8, 10).shows(&[]);
}

#[test]
fn a_group_may_start_at_what_was_the_end() {
    let between = || Start::Between([(0, 4)].into(), [(0, 6)].into());
    for first in 4..=6 {
        let tale = Tale::default().starting(between());
        tale.plain("a", 1, first, 10).shows(&[]);
    }
    let tale = Tale::default().starting(between());
    tale.plain("a", 1, 7, 10)
        .shows(&[skipped(6, 7), missing(6, 7)]);
    let tale = Tale::default().starting(between());
    tale.plain("a", 1, 3, 10).shows(&[rewound(4, 3)]);
}

#[test]
fn a_commit_ahead_of_what_was_delivered_is_found() {
    let ahead = Kind::CommittedAhead {
        partition: 0,
        committed: 5,
        delivered: 4,
    };
    let tale = Tale::default().plain("a", 1, 0, 4).committed("a", 5, true);
    let tale = tale.plain("a", 1, 4, 10);
    assert_eq!(tale.judged(&Contract::default(), 10, Some(5)), [ahead]);
    // As Kafka tells it at the end.
    let tale = Tale::default().plain("a", 1, 0, 10);
    let ahead = Kind::CommittedAhead {
        partition: 0,
        committed: 11,
        delivered: 10,
    };
    assert_eq!(tale.judged(&Contract::default(), 10, Some(11)), [ahead]);
}

#[test]
fn a_commit_that_was_answered_is_there_at_the_end() {
    let tale = Tale::default().plain("a", 1, 0, 10).committed("a", 9, true);
    let lost = |committed| Kind::CommitLost {
        partition: 0,
        committed,
        answered: 9,
    };
    let contract = Contract::default();
    assert_eq!(tale.judged(&contract, 10, Some(9)), []);
    assert_eq!(tale.judged(&contract, 10, Some(10)), []);
    assert_eq!(tale.judged(&contract, 10, Some(8)), [lost(8)]);
    assert_eq!(tale.judged(&contract, 10, None), [lost(0)]);
}

#[test]
fn a_partition_that_kafka_does_not_have_is_found() {
    let tale = Tale::default().plain("a", 1, 0, 10).tell(
        "a",
        What::Polled {
            after: false,
            generation: 1,
            records: vec![(7, 2)],
        },
    );
    assert_eq!(tale.judged(&Contract::default(), 10, None).len(), 1);
}
