//! The owner of the session ends.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::json;
use sluice_tests::{Client, Cluster, Kafka, eventually, unique};

use crate::sharing::read_all;
use crate::{DEADLINE, consume, messages, places};

const MESSAGES: u64 = 400;

struct Fixture {
    cluster: Cluster,
    kafka: &'static Kafka,
    topic: String,
    owner: usize,
}

/// Three nodes, and a session that has been called once; what was delivered is committed.
async fn fixture() -> (Fixture, Vec<(i64, i64)>) {
    let kafka = Kafka::shared().await;
    let builder = Cluster::builder(kafka.bootstrap());
    let cluster = builder.env("SLUICE_DRAIN__LINGER", "2s").start().await;
    let topic = unique("topic");
    kafka.create_topic(&topic, 3).await.unwrap();
    kafka.fill(&topic, MESSAGES, 0).await.unwrap();
    let body = json!({"topic": topic, "max_messages": 20, "timeout": 60});
    let first = consume(&cluster.client(0), body).await.expect(200);
    let first = places(messages(&first));
    let group = format!("sluice-consumer-api-group.{topic}");
    eventually(DEADLINE, "what was delivered is committed", async || {
        let committed = kafka.committed(&group, &topic).await.unwrap();
        committed.values().sum::<i64>() == 20
    })
    .await;
    let owner = owner(&cluster, &group).await;
    let fixture = Fixture {
        cluster,
        kafka,
        topic,
        owner,
    };
    (fixture, first)
}

async fn owner(cluster: &Cluster, group: &str) -> usize {
    let listed = cluster
        .node(0)
        .admin()
        .list(&[("group_id", group)])
        .await
        .expect(200);
    let listed = listed["consumers"].as_array().unwrap().clone();
    assert_eq!(listed.len(), 1, "one session of the cluster");
    cluster
        .number(listed[0]["owner"].as_str().unwrap())
        .unwrap()
}

impl Fixture {
    fn others(&self) -> Vec<Client> {
        let others = (0..3).filter(|number| *number != self.owner);
        others.map(|number| self.cluster.client(number)).collect()
    }

    /// All messages, each with how often it came.
    fn check(&self, seen: &[(i64, i64)]) -> usize {
        let distinct: BTreeSet<_> = seen.iter().copied().collect();
        assert_eq!(distinct.len() as u64, MESSAGES, "none is missing");
        seen.len() - distinct.len()
    }
}

#[tokio::test]
async fn calls_go_on_at_the_next_owner_when_the_owner_is_killed() {
    let (fixture, mut seen) = fixture().await;
    fixture.cluster.kill(fixture.owner).await;
    let rest = usize::try_from(MESSAGES).unwrap() - seen.len();
    for mine in read_all(&fixture.others(), &fixture.topic, rest, 20).await {
        seen.extend(mine);
    }
    // Nothing was on its way: all that was delivered was committed.
    assert_eq!(fixture.check(&seen), 0, "none came twice");
}

#[tokio::test]
async fn calls_go_on_at_the_next_owner_when_the_owner_drains() {
    let (fixture, mut seen) = fixture().await;
    let rest = usize::try_from(MESSAGES).unwrap() - seen.len();
    let others = fixture.others();
    let reading = read_all(&others, &fixture.topic, rest, 5);
    let draining = async {
        fixture.cluster.terminate(fixture.owner);
        fixture.cluster.ended(fixture.owner, DEADLINE).await
    };
    let (read, code) = tokio::join!(reading, draining);
    assert_eq!(code, Some(0));
    seen.extend(read.into_iter().flatten());
    assert_eq!(fixture.check(&seen), 0, "none came twice");
    let group = format!("sluice-consumer-api-group.{}", fixture.topic);
    let ends = fixture.kafka.end_offsets(&fixture.topic).await.unwrap();
    eventually(DEADLINE, "all is committed", async || {
        let committed = fixture
            .kafka
            .committed(&group, &fixture.topic)
            .await
            .unwrap();
        (committed == ends).then_some(()).ok_or(committed)
    })
    .await;
}

#[tokio::test]
async fn without_a_majority_a_call_says_so() {
    let kafka = Kafka::shared().await;
    let cluster = Cluster::builder(kafka.bootstrap()).start().await;
    let topic = unique("topic");
    kafka.create_topic(&topic, 1).await.unwrap();
    cluster.kill(1).await;
    cluster.kill(2).await;
    let client = cluster.client(0);
    let body = json!({"topic": topic, "timeout": 1});
    eventually(DEADLINE, "nothing can be decided", async || {
        let refused = consume(&client, &body).await;
        refused.code() == Some("no_quorum")
    })
    .await;
    let health = client.call(Method::GET, "/health", ()).await;
    assert_eq!(health.expect(200)["kafka_connected"], true);
}
