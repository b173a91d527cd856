//! Where reading goes on when an owner is lost around a seek, a commit, or new partitions.

use serde_json::{Value, json};
use sluice_tests::kafka::Record;
use sluice_tests::reader::assigned;
use sluice_tests::{Cluster, Kafka, eventually, offsets_of, places, unique};

use crate::{DEADLINE, three};

/// A session of one topic of 100 records a partition.
struct Sought<'a> {
    cluster: &'a Cluster,
    topic: String,
    group: String,
    id: String,
}

impl<'a> Sought<'a> {
    async fn subscribe(
        cluster: &'a Cluster,
        kafka: &Kafka,
        partitions: i32,
        options: Value,
    ) -> Self {
        let (topic, group) = (unique("orders"), unique("group"));
        kafka.create_topic(&topic, partitions).await.unwrap();
        let records = u64::try_from(partitions).unwrap() * 100;
        kafka.fill(&topic, records, 0).await.unwrap();
        let id = unique("session");
        let mut spec = json!({"group_id": group, "topics": [topic], "consumer_id": id,
                              "auto_offset_reset": "earliest"});
        for (name, value) in options.as_object().into_iter().flatten() {
            spec[name] = value.clone();
        }
        cluster.client(0).subscribe(spec).await.expect(200);
        Self {
            cluster,
            topic,
            group,
            id,
        }
    }

    /// The records of one poll, by any node that runs.
    async fn read(&self, most: u64) -> Vec<(i32, i64)> {
        let (_, client) = self.cluster.doors().next();
        let body = json!({"max_records": most, "timeout_ms": 20_000});
        places(client.consume(&self.id, body).await.expect(200).records())
    }

    async fn seek(&self, offset: i64) {
        let (_, client) = self.cluster.doors().next();
        let body = json!({"topic": self.topic, "partition": 0, "offset": offset});
        client.seek(&self.id, body).await.expect(200);
    }

    async fn commit(&self) {
        let (_, client) = self.cluster.doors().next();
        client.commit(&self.id, ()).await.expect(200);
    }

    async fn position(&self, partition: i32) -> Option<i64> {
        let (_, client) = self.cluster.doors().next();
        let position = client.position(&self.id).await.expect(200);
        offsets_of(&position, &self.topic).get(&partition).copied()
    }

    /// Kills the owner; the session has another one on return.
    async fn lose_owner(&self) -> usize {
        let owner = self.cluster.owner(&self.id).await.unwrap();
        self.cluster.kill(owner).await;
        self.cluster.moved(&self.id, owner).await;
        owner
    }

    async fn delete(&self) {
        let (_, client) = self.cluster.doors().next();
        client.delete(&self.id).await.expect(204);
    }
}

#[tokio::test]
async fn a_seek_outlives_the_owner_that_did_it() {
    let kafka = Kafka::shared().await;
    let cluster = three(kafka).await;
    for (target, auto_commit) in [(20, false), (80, false), (20, true), (80, true)] {
        let options = json!({"auto_commit": auto_commit, "auto_commit_interval_ms": 100});
        let session = Sought::subscribe(&cluster, kafka, 1, options).await;
        assert_eq!(session.read(30).await[0], (0, 0));
        if !auto_commit {
            session.commit().await;
        }
        // Acknowledges the first answer: an automatic commit is owed, or on its way.
        assert_eq!(session.read(30).await[0], (0, 30));
        session.seek(target).await;
        let lost = session.lose_owner().await;
        assert_eq!(session.position(0).await, Some(target));
        assert_eq!(session.read(5).await[0], (0, target));
        // Once committed, that counts.
        session.commit().await;
        cluster.restart(lost).await;
        let lost = session.lose_owner().await;
        assert_eq!(session.read(5).await[0], (0, target + 5));
        session.delete().await;
        cluster.restart(lost).await;
    }
}

/// The owner cannot decide, and others can: what is asked of it by way of one of them waits for its
/// successor.
#[tokio::test]
async fn a_seek_at_an_owner_that_is_cut_off_from_the_leader_is_done_by_the_next() {
    let kafka = Kafka::shared().await;
    let cluster = three(kafka).await;
    let leader = cluster.leader().await;
    let (session, owner) = loop {
        // They are spread over the nodes.
        let session = Sought::subscribe(&cluster, kafka, 1, json!({})).await;
        let owner = cluster.owner(&session.id).await.unwrap();
        if owner != leader {
            break (session, owner);
        }
    };
    assert_eq!(session.read(30).await[0], (0, 0));
    let entry = (0..3).find(|node| ![leader, owner].contains(node)).unwrap();
    cluster.network().part(&[owner], &[leader]);
    cluster.doors().close(owner);
    let body = json!({"topic": session.topic, "partition": 0, "offset": 70});
    let client = cluster.client(entry);
    client.seek(&session.id, body).await.expect(200);
    assert_ne!(cluster.owner(&session.id).await, Some(owner));
    assert_eq!(session.read(5).await[0], (0, 70));
    cluster.network().heal();
    cluster.doors().open(owner);
    assert_eq!(session.read(5).await[0], (0, 75));
    session.delete().await;
}

/// The partition has been another member's, who has committed: the seek of before stands no more.
#[tokio::test]
async fn a_seek_does_not_outlive_the_commit_of_another_member() {
    let kafka = Kafka::shared().await;
    let cluster = three(kafka).await;
    // By names: whose id comes first has the one partition.
    let range = json!({"assignment_strategy": "range"});
    let session = Sought::subscribe(&cluster, kafka, 1, range).await;
    session.read(30).await;
    session.commit().await;
    session.seek(80).await;
    let earlier = unique("a");
    assert!(earlier < session.id);
    let other = json!({"group_id": session.group, "topics": [session.topic],
                       "consumer_id": earlier, "assignment_strategy": "range"});
    cluster.client(1).subscribe(other).await.expect(200);
    holds(&session, &earlier).await;
    let body = json!({"max_records": 10, "timeout_ms": 20_000});
    let came = cluster.client(1).consume(&earlier, body).await.expect(200);
    assert_eq!(
        places(came.records())[0],
        (0, 30),
        "a seek leads its own session only"
    );
    cluster.client(1).commit(&earlier, ()).await.expect(200);
    cluster.client(1).delete(&earlier).await.expect(204);
    holds(&session, &session.id).await;
    session.lose_owner().await;
    assert_eq!(session.read(5).await[0], (0, 40));
    session.delete().await;
}

/// Waits until a session has the only partition.
async fn holds(session: &Sought<'_>, id: &str) {
    let client = session.cluster.client(1);
    let reason = format!("{id} has the partition");
    eventually(DEADLINE, &reason, async || {
        let assignment = client.assignment(id).await.expect(200);
        assigned(&assignment, &session.topic).len() == 1
    })
    .await;
}

#[tokio::test]
async fn a_session_from_the_end_misses_nothing_although_its_owner_is_lost_before_any_poll() {
    let kafka = Kafka::shared().await;
    let cluster = three(kafka).await;
    let latest = json!({"auto_offset_reset": "latest"});
    let session = Sought::subscribe(&cluster, kafka, 1, latest).await;
    let record = |n: i32| Record::value(n.to_string()).partition(0);
    kafka
        .produce(&session.topic, (0..10).map(record))
        .await
        .unwrap();
    session.lose_owner().await;
    kafka
        .produce(&session.topic, (10..20).map(record))
        .await
        .unwrap();
    let mut came = Vec::new();
    while came.len() < 20 {
        came.extend(session.read(100).await);
    }
    let expected: Vec<(i32, i64)> = (100..120).map(|offset| (0, offset)).collect();
    assert_eq!(came, expected);
    session.delete().await;
}

/// The next owner joins as the member that was there, which makes no rebalance: it has to see by
/// itself that there is more.
#[tokio::test]
async fn partitions_that_were_added_before_the_owner_was_lost_are_read_from_their_beginning() {
    let kafka = Kafka::shared().await;
    let cluster = three(kafka).await;
    for reset in ["earliest", "latest"] {
        let options = json!({"auto_offset_reset": reset});
        let session = Sought::subscribe(&cluster, kafka, 2, options).await;
        kafka.add_partitions(&session.topic, 4).await.unwrap();
        // The producer of before does not know of them yet.
        let anew = Kafka::connect(kafka.bootstrap()).await.unwrap();
        for partition in [2, 3] {
            let record = |n: i32| Record::value(n.to_string()).partition(partition);
            let written = anew.produce(&session.topic, (0..10).map(record)).await;
            written.unwrap();
        }
        let lost = session.lose_owner().await;
        let mut came = Vec::new();
        eventually(DEADLINE, "the new partitions are read", async || {
            came.extend(session.read(1_000).await);
            let new = came.iter().filter(|(partition, _)| *partition >= 2);
            (new.count() >= 20).then_some(()).ok_or(came.len())
        })
        .await;
        for partition in [2, 3] {
            let offsets = came.iter().filter(|(p, _)| *p == partition);
            let offsets: Vec<i64> = offsets.map(|(_, offset)| *offset).collect();
            assert_eq!(offsets, (0..10).collect::<Vec<i64>>());
        }
        session.delete().await;
        cluster.restart(lost).await;
    }
}
