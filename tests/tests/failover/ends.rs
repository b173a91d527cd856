//! Sessions are deleted or expire around the loss of an owner: no member stays behind to keep
//! partitions from others.

use serde_json::json;
use sluice_tests::reader::assigned;
use sluice_tests::{Cluster, Kafka, eventually, unique};

use crate::{DEADLINE, three};

/// Two sessions of one group, and the owner of the first, which does not lead.
struct Pair {
    topic: String,
    group: String,
    first: String,
    second: String,
    owner: usize,
}

impl Pair {
    async fn subscribe(cluster: &Cluster, kafka: &Kafka, timeout_ms: u64) -> Self {
        let (topic, group) = (unique("orders"), unique("group"));
        kafka.create_topic(&topic, 4).await.unwrap();
        let leader = cluster.leader().await;
        let spec = |id: &str, timeout_ms: u64| {
            json!({"group_id": group, "topics": [topic], "consumer_id": id,
                   "session_timeout_ms": timeout_ms})
        };
        let (first, owner) = loop {
            let id = unique("first");
            let body = spec(&id, timeout_ms);
            cluster.client(leader).subscribe(body).await.expect(200);
            let owner = cluster.owner(&id).await.unwrap();
            if owner != leader {
                break (id, owner);
            }
            cluster.client(leader).delete(&id).await.expect(204);
        };
        // At the leader, so that it is not lost with the first one.
        let second = loop {
            let id = unique("second");
            let body = spec(&id, 600_000);
            cluster.client(leader).subscribe(body).await.expect(200);
            if cluster.owner(&id).await != Some(owner) {
                break id;
            }
            cluster.client(leader).delete(&id).await.expect(204);
        };
        Self {
            topic,
            group,
            first,
            second,
            owner,
        }
    }

    /// The second one gets all partitions, and keeps them when the cut ends.
    async fn first_is_no_more(&self, cluster: &Cluster, kafka: &Kafka) {
        let entry = cluster.leader().await;
        let client = cluster.client(entry);
        let has_all = async || {
            let assignment = client.assignment(&self.second).await.expect(200);
            let partitions = assigned(&assignment, &self.topic).len();
            (partitions == 4).then_some(()).ok_or(partitions)
        };
        eventually(DEADLINE, "the second session has all partitions", has_all).await;
        cluster.network().heal();
        let formerly = cluster.client(self.owner);
        eventually(DEADLINE, "the former owner learns it", async || {
            let seen = formerly.get(&self.first).await.status();
            (seen == Some(404)).then_some(()).ok_or(seen)
        })
        .await;
        // librdkafka joins again by itself for a moment, with a member of a deleted session.
        eventually(DEADLINE, "the second session is alone", async || {
            let members = kafka.members(&self.group).await.unwrap();
            (members.len() == 1).then_some(()).ok_or(members)
        })
        .await;
        eventually(DEADLINE, "the second session has all partitions", has_all).await;
        client.delete(&self.second).await.expect(204);
        eventually(DEADLINE, "the group is empty", async || {
            let members = kafka.members(&self.group).await.unwrap();
            members.is_empty().then_some(()).ok_or(members)
        })
        .await;
    }
}

#[tokio::test]
async fn a_session_that_is_deleted_while_its_owner_is_cut_off_leaves_nobody_behind() {
    let kafka = Kafka::shared().await;
    let cluster = three(kafka).await;
    let pair = Pair::subscribe(&cluster, kafka, 600_000).await;
    cluster.network().isolate(pair.owner);
    let leader = cluster.leader().await;
    cluster.client(leader).delete(&pair.first).await.expect(204);
    // Its handle at the former owner joins again by itself, and gives up when the node's lease is
    // over: nobody there says whose the session is.
    pair.first_is_no_more(&cluster, kafka).await;
}

#[tokio::test]
async fn a_session_that_expires_while_its_owner_is_cut_off_leaves_nobody_behind() {
    let kafka = Kafka::shared().await;
    let cluster = three(kafka).await;
    let pair = Pair::subscribe(&cluster, kafka, 4_000).await;
    cluster.network().isolate(pair.owner);
    let client = cluster.client(cluster.leader().await);
    eventually(DEADLINE, "the session has expired", async || {
        let seen = client.get(&pair.first).await.status();
        (seen == Some(404)).then_some(()).ok_or(seen)
    })
    .await;
    pair.first_is_no_more(&cluster, kafka).await;
}

#[tokio::test]
async fn a_session_that_is_deleted_while_its_owner_is_frozen_leaves_nobody_behind() {
    let kafka = Kafka::shared().await;
    let cluster = three(kafka).await;
    let pair = Pair::subscribe(&cluster, kafka, 600_000).await;
    cluster.freeze(pair.owner);
    let leader = cluster.leader().await;
    cluster.client(leader).delete(&pair.first).await.expect(204);
    let client = cluster.client(leader);
    eventually(DEADLINE, "the member is gone", async || {
        let assignment = client.assignment(&pair.second).await.expect(200);
        let partitions = assigned(&assignment, &pair.topic).len();
        (partitions == 4).then_some(()).ok_or(partitions)
    })
    .await;
    cluster.thaw(pair.owner);
    pair.first_is_no_more(&cluster, kafka).await;
}
