//! What counts as a sign of the leader.

use super::cluster::Cluster;
use super::*;
use crate::RaftId;
use crate::consensus::succession::Sign;
use crate::net::frame::{Blob, QuestionV1, RequestV1, ResponseV1};
use crate::store::codec::records::SnapshotMetaV1;
use crate::store::codec::{decode, encode};
use crate::types::{ClusterId, SnapshotMeta, Vote};

/// A member of a cluster that nobody else takes part in, and who says to lead it.
struct Follower {
    cluster: Cluster,
    id: ClusterId,
}

impl Follower {
    async fn hears(&self, leader: Vote, question: QuestionV1) -> (ResponseV1, Option<Sign>) {
        let member = self.cluster.member(0);
        let request = RequestV1 {
            cluster: Some(self.id),
            from: leader.leader_id().voted_for().unwrap(),
            to: Some(member.raft_id()),
            question,
        };
        let answer = member.handle(&encode(&request).unwrap()).await;
        (decode(&answer).unwrap(), member.heard.last())
    }

    /// A candidate asks for the vote.
    async fn vote(&self, candidate: Vote) -> (ResponseV1, Option<Sign>) {
        let question = QuestionV1::Vote {
            vote: candidate.into(),
            last: None,
        };
        self.hears(candidate, question).await
    }

    async fn append(&self, leader: Vote) -> (ResponseV1, Option<Sign>) {
        let question = QuestionV1::Append {
            vote: leader.into(),
            previous: None,
            entries: Vec::new(),
            committed: None,
        };
        self.hears(leader, question).await
    }

    /// The first part of a snapshot.
    async fn snapshot(&self, leader: Vote) -> (ResponseV1, Option<Sign>) {
        let meta = SnapshotMeta {
            snapshot_id: "1".to_owned(),
            ..SnapshotMeta::default()
        };
        let question = QuestionV1::Snapshot {
            vote: leader.into(),
            meta: SnapshotMetaV1::from(&meta),
            offset: 0,
            data: Blob(vec![1]),
            is_last: false,
        };
        self.hears(leader, question).await
    }
}

fn who(sign: Option<Sign>) -> Option<(RaftId, u64)> {
    sign.map(|sign| (sign.leader, sign.term))
}

/// openraft answers a part of such a leader's snapshot with the higher vote, and not as an error:
/// it must not put off the succession of the leader that has replaced it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_was_replaced_is_not_heard_whatever_it_sends() {
    let follower = Follower {
        cluster: Cluster::unformed(1, Timing::default()).await,
        id: ClusterId::random(),
    };
    let (replaced, leader) = (RaftId::random(), RaftId::random());
    let stale = Vote::new_committed(4, replaced);
    let vote = Vote::new_committed(5, leader);

    // Before the other is heard, the vote for it is all there is.
    let candidate = Vote::new(5, leader);
    follower.vote(candidate).await;
    let (answer, heard) = follower.append(stale).await;
    assert_eq!(answer, ResponseV1::HigherVote(candidate.into()));
    assert_eq!(heard, None);
    let (answer, heard) = follower.snapshot(stale).await;
    let vote_only = candidate.into();
    assert_eq!(answer, ResponseV1::Received { vote: vote_only });
    assert_eq!(heard, None);

    let (answer, heard) = follower.append(vote).await;
    assert_eq!(answer, ResponseV1::Appended);
    assert_eq!(who(heard), Some((leader, 5)));

    let (answer, still) = follower.append(stale).await;
    assert_eq!(answer, ResponseV1::HigherVote(vote.into()));
    assert_eq!(still, heard);

    let (answer, still) = follower.snapshot(stale).await;
    assert_eq!(answer, ResponseV1::Received { vote: vote.into() });
    assert_eq!(still, heard);

    let (answer, again) = follower.snapshot(vote).await;
    assert_eq!(answer, ResponseV1::Received { vote: vote.into() });
    assert_eq!(who(again), Some((leader, 5)));
    assert_ne!(again, heard);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_begins_with_a_snapshot_is_heard() {
    let follower = Follower {
        cluster: Cluster::unformed(1, Timing::default()).await,
        id: ClusterId::random(),
    };
    let leader = RaftId::random();
    let (_, heard) = follower.snapshot(Vote::new_committed(3, leader)).await;
    assert_eq!(who(heard), Some((leader, 3)));
}
