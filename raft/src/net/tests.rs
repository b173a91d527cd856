//! The recorded bytes of what members say to each other, and bytes that say nothing.

use proptest::prelude::*;

use super::frame::*;
use crate::RaftId;
use crate::registry::tests::{claim, create, id, register, registry_of, run};
use crate::store::codec::records::{EntryV1, SnapshotMetaV1, VoteV1};
use crate::store::codec::tests::{assert_format, entry, log_id, membership};
use crate::store::codec::{VERSION, decode, encode};
use crate::types::{Member, SnapshotMeta, StoredMembership, Vote};

fn vote() -> VoteV1 {
    Vote::new_committed(4, RaftId::from(7)).into()
}

fn request(question: QuestionV1) -> RequestV1 {
    RequestV1 {
        cluster: "01234567-89ab-4def-8123-456789abcdef".parse().ok(),
        from: RaftId::from(7),
        to: Some(RaftId::from(9)),
        question,
    }
}

fn leader() -> Member {
    Member {
        name: "a".to_owned(),
        address: "a:7000".to_owned(),
    }
}

fn meta() -> SnapshotMetaV1 {
    let meta = SnapshotMeta {
        last_log_id: Some(log_id(3, 1000)),
        last_membership: StoredMembership::new(Some(log_id(2, 9)), membership()),
        snapshot_id: "3-1000".to_owned(),
    };
    (&meta).into()
}

fn questions() -> Vec<(&'static str, QuestionV1)> {
    let entries = vec![EntryV1::from(entry(12, create("c", 1)))];
    vec![
        (
            "ask-append",
            QuestionV1::Append {
                vote: vote(),
                previous: Some(log_id(3, 11).into()),
                entries,
                committed: Some(log_id(3, 10).into()),
            },
        ),
        (
            "ask-vote",
            QuestionV1::Vote {
                vote: vote(),
                last: None,
            },
        ),
        (
            "ask-snapshot",
            QuestionV1::Snapshot {
                vote: vote(),
                meta: meta(),
                offset: 1 << 20,
                data: Blob(vec![1, 2, 255]),
                is_last: true,
            },
        ),
        (
            "ask-propose",
            QuestionV1::Propose {
                command: register("a", 1),
                wait: 2950,
            },
        ),
        ("ask-read-index", QuestionV1::ReadIndex { wait: 300 }),
        (
            "ask-who",
            QuestionV1::Who {
                name: "orders".to_owned(),
            },
        ),
        (
            "ask-join",
            QuestionV1::Join {
                name: "orders".to_owned(),
                member: leader().into(),
            },
        ),
        (
            "ask-heartbeat",
            QuestionV1::Heartbeat(HeartbeatV1 {
                node: run("a", 2),
                reaches_kafka: true,
                applied: 70_000,
                waiting: vec![id("c"), id("d")],
                idlest: vec![id("e")],
            }),
        ),
        ("ask-sightings", QuestionV1::Sightings),
    ]
}

fn answers() -> Vec<(&'static str, ResponseV1)> {
    let outcome = registry_of(&["a"]).apply(create("c", 1));
    vec![
        ("say-appended", ResponseV1::Appended),
        (
            "say-appended-up-to",
            ResponseV1::AppendedUpTo(Some(log_id(3, 5).into())),
        ),
        ("say-conflict", ResponseV1::Conflict),
        ("say-higher-vote", ResponseV1::HigherVote(vote())),
        (
            "say-voted",
            ResponseV1::Voted {
                vote: vote(),
                is_granted: true,
                last: Some(log_id(3, 5).into()),
            },
        ),
        ("say-received", ResponseV1::Received { vote: vote() }),
        ("say-wrong-part", ResponseV1::WrongPart { expected: 3 }),
        ("say-proposed", ResponseV1::Proposed { outcome, next: 13 }),
        ("say-read-at", ResponseV1::ReadAt { next: 13 }),
        (
            "say-not-leader",
            ResponseV1::NotLeader {
                leader: Some((RaftId::from(7), leader().into())),
            },
        ),
        ("say-no-quorum", ResponseV1::NoQuorum),
        ("say-outcome-unknown", ResponseV1::OutcomeUnknown),
        ("say-refused", ResponseV1::Refused(RefusalV1::OtherMember)),
        (
            "say-here",
            ResponseV1::Here {
                raft_id: RaftId::from(9),
                member: leader().into(),
                cluster: None,
                is_formed: true,
                leader: Some((RaftId::from(7), leader().into())),
            },
        ),
        ("say-welcome", ResponseV1::Welcome),
        (
            "say-granted",
            ResponseV1::Granted {
                lease: 2_750,
                moves: vec![AskedMoveV1 {
                    claim: claim("c", 3),
                    to: run("a", 2),
                }],
                tells_idlest: true,
            },
        ),
        ("say-ended", ResponseV1::Ended),
        (
            "say-sightings",
            ResponseV1::Sightings(vec![SightingV1 {
                node: run("a", 2),
                applied: 70_000,
                lease: 2_750,
                is_ready: true,
            }]),
        ),
    ]
}

#[test]
fn every_question_is_written_as_it_was_recorded() {
    for (name, question) in questions() {
        assert_format(name, &request(question));
    }
    let stranger = RequestV1 {
        cluster: None,
        to: None,
        ..request(QuestionV1::ReadIndex { wait: 1 })
    };
    assert_format("ask-without-a-cluster", &stranger);
}

#[test]
fn every_answer_is_written_as_it_was_recorded() {
    for (name, answer) in answers() {
        assert_format(name, &answer);
    }
}

proptest! {
    #[test]
    fn no_bytes_make_reading_panic(
        kind in 6..8_u8,
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let bytes = [&[VERSION, kind][..], &body].concat();
        let _ = decode::<RequestV1>(&bytes);
        let _ = decode::<ResponseV1>(&bytes);
    }

    #[test]
    fn no_damage_makes_reading_panic(
        which in 0..9_usize,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut question = encode(&request(questions().swap_remove(which).1)).unwrap();
        let mut answer = encode(&answers().swap_remove(which + 5).1).unwrap();
        for (place, byte) in flips {
            *place.get_mut(&mut question) ^= byte;
            *place.get_mut(&mut answer) ^= byte;
        }
        let _ = decode::<RequestV1>(&question);
        let _ = decode::<ResponseV1>(&answer);
    }
}
