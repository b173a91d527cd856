//! Frames that are not for the member that gets them.

use super::cluster::Cluster;
use super::*;
use crate::RaftId;
use crate::net::frame::{QuestionV1, RefusalV1, RequestV1, ResponseV1};
use crate::store::codec::records::VoteV1;
use crate::store::codec::{decode, encode};
use crate::types::{ClusterId, Vote};

fn high_vote(cluster: Option<ClusterId>, to: RaftId) -> Vec<u8> {
    let from = RaftId::random();
    let request = RequestV1 {
        cluster,
        from,
        to: Some(to),
        question: QuestionV1::Vote {
            vote: VoteV1::from(Vote::new(1_000, from)),
            last: None,
        },
    };
    encode(&request).unwrap()
}

async fn ask(cluster: &Cluster, frame: &[u8]) -> ResponseV1 {
    decode(&cluster.member(0).handle(frame).await).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_from_another_cluster_or_is_meant_for_another_member_does_nothing() {
    let cluster = Cluster::of(1).await;
    let member = cluster.member(0);
    let ours = member.identity.cluster();
    let term = member.status().term;
    let other = Some(ClusterId::random());
    for (frame, refusal) in [
        (high_vote(other, member.raft_id()), RefusalV1::OtherCluster),
        (high_vote(None, member.raft_id()), RefusalV1::OtherCluster),
        (high_vote(ours, RaftId::random()), RefusalV1::OtherMember),
        (b"GET / HTTP/1.1".to_vec(), RefusalV1::Unreadable),
        (Vec::new(), RefusalV1::Unreadable),
    ] {
        let answer = ask(&cluster, &frame).await;
        assert_eq!(answer, ResponseV1::Refused(refusal));
    }
    assert_eq!(member.status().term, term);
    cluster.create(0, "c").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_volume_belongs_to_the_first_cluster_that_knows_its_id() {
    let mut cluster = Cluster::unformed(1, Timing::default()).await;
    let id = cluster.member(0).raft_id();
    let (first, second) = (ClusterId::random(), ClusterId::random());
    let taken = ask(&cluster, &high_vote(Some(first), id)).await;
    assert!(matches!(taken, ResponseV1::Voted { .. }), "{taken:?}");
    let refused = ResponseV1::Refused(RefusalV1::OtherCluster);
    assert_eq!(ask(&cluster, &high_vote(Some(second), id)).await, refused);
    cluster.stop(0).await;
    cluster.start(0).await;
    assert_eq!(cluster.member(0).raft_id(), id);
    assert_eq!(ask(&cluster, &high_vote(Some(second), id)).await, refused);
}
