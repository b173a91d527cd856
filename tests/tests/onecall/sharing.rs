//! Calls that share the messages of a group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use reqwest::Method;
use serde_json::json;
use sluice_tests::{Client, Cluster, Kafka, NativeMember, Node, Topic, eventually, unique};
use tokio::time::Instant;

use crate::{DEADLINE, consume, messages, places};

/// Calls again and again until so many messages have come to all callers together; returns what
/// came to each.
pub(crate) async fn read_all(
    clients: &[Client],
    topic: &str,
    count: usize,
    most: usize,
) -> Vec<Vec<(i64, i64)>> {
    let group = format!("sluice-consumer-api-group.{topic}");
    read_all_of(clients, topic, &group, count, most).await
}

/// The same, of another group than that of a topic by default.
async fn read_all_of(
    clients: &[Client],
    topic: &str,
    group: &str,
    count: usize,
    most: usize,
) -> Vec<Vec<(i64, i64)>> {
    let read = AtomicUsize::new(0);
    let begun = Instant::now();
    let calling = clients.iter().map(async |client| {
        let mut mine = Vec::new();
        while read.load(Ordering::Relaxed) < count {
            assert!(begun.elapsed() < 2 * DEADLINE, "all messages come");
            let body =
                json!({"topic": topic, "group_id": group, "max_messages": most, "timeout": 2.0});
            let answer = consume(client, body).await.expect(200);
            let found = places(messages(&answer));
            read.fetch_add(found.len(), Ordering::Relaxed);
            mine.extend(found);
        }
        mine
    });
    join_all(calling).await
}

#[tokio::test]
async fn calls_on_all_nodes_share_the_messages() {
    let kafka = Kafka::shared().await;
    let cluster = Cluster::builder(kafka.bootstrap()).start().await;
    let topic = unique("topic");
    kafka.create_topic(&topic, 4).await.unwrap();
    kafka.fill(&topic, 1_200, 0).await.unwrap();
    let clients: Vec<Client> = [0, 1, 2, 0, 1, 2]
        .map(|number| cluster.client(number))
        .into();
    let read = read_all(&clients, &topic, 1_200, 25).await;
    let seen = times_read(&read);
    let repeated: Vec<_> = seen.iter().filter(|(_, times)| **times > 1).collect();
    assert!(repeated.is_empty(), "{repeated:?}");
    let expected: BTreeSet<(i64, i64)> = (0..4)
        .flat_map(|partition| (0..300).map(move |offset| (partition, offset)))
        .collect();
    assert_eq!(seen.into_keys().collect::<BTreeSet<_>>(), expected);
    assert!(read.iter().all(|mine| mine.len() >= 25), "each got some");
    // One member reads for all of them.
    let group = format!("sluice-consumer-api-group.{topic}");
    assert_eq!(kafka.members(&group).await.unwrap().len(), 1);
}

/// How often each place was read.
fn times_read(read: &[Vec<(i64, i64)>]) -> BTreeMap<(i64, i64), usize> {
    let mut times = BTreeMap::new();
    for place in read.iter().flatten() {
        *times.entry(*place).or_insert(0) += 1;
    }
    times
}

/// What was given to calls is committed before partitions go to the other member, which reads
/// without committing and leaves: all comes to calls, and nothing twice.
#[tokio::test]
async fn members_that_come_and_go_cost_the_calls_no_message_and_repeat_none() {
    const ROUNDS: u64 = 3;
    const EACH: u64 = 400;
    let kafka = Kafka::shared().await;
    let cluster = Cluster::builder(kafka.bootstrap()).start().await;
    let (topic, group) = (unique("topic"), unique("group"));
    kafka.create_topic(&topic, 4).await.unwrap();
    let all = usize::try_from(ROUNDS * 2 * EACH).unwrap();
    let clients: Vec<Client> = [0, 1, 2].map(|number| cluster.client(number)).into();
    let reading = tokio::spawn({
        let (topic, group) = (topic.clone(), group.clone());
        async move { read_all_of(&clients, &topic, &group, all, 20).await }
    });
    for _ in 0..ROUNDS {
        kafka.fill(&topic, EACH, 0).await.unwrap();
        let other = NativeMember::join(kafka, &group, &topic, "cooperative-sticky");
        eventually(DEADLINE, "the other member has partitions", async || {
            !other.assigned().is_empty()
        })
        .await;
        kafka.fill(&topic, EACH, 0).await.unwrap();
        drop(other);
    }
    let times = times_read(&reading.await.unwrap());
    let repeated: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
    assert!(repeated.is_empty(), "{repeated:?}");
    assert_eq!(times.len(), all);
}

#[tokio::test]
async fn calls_are_served_in_the_order_in_which_they_came() {
    let kafka = Kafka::shared().await;
    let node = Node::builder().kafka(kafka).start().await;
    let (client, topic) = (node.client(), unique("topic"));
    kafka.create_topic(&topic, 1).await.unwrap();
    // The session is there.
    consume(&client, json!({"topic": topic, "timeout": 0}))
        .await
        .expect(200);
    let in_flight = async || {
        let metrics = node
            .admin()
            .call(Method::GET, "/metrics", ())
            .await
            .expect(200);
        let gauge = metrics
            .text
            .lines()
            .find_map(|line| line.strip_prefix("sluice_http_in_flight_requests "));
        gauge.unwrap().parse::<i64>().unwrap()
    };
    // The question is in flight itself.
    let before = in_flight().await;
    let mut calls = Vec::new();
    for number in 1..=6 {
        let (client, body) = (
            client.clone(),
            json!({"topic": topic, "max_messages": 1, "timeout": 60}),
        );
        calls.push(tokio::spawn(async move {
            consume(&client, body).await.expect(200)
        }));
        eventually(DEADLINE, "the call is there", async || {
            let now = in_flight().await;
            (now == before + number).then_some(()).ok_or(now)
        })
        .await;
    }
    kafka.fill(&topic, 6, 0).await.unwrap();
    for (offset, call) in (0..).zip(calls) {
        let answer = call.await.unwrap();
        assert_eq!(places(messages(&answer)), [(0, offset)]);
    }
}

#[tokio::test]
async fn a_call_gathers_until_no_more_comes_or_it_has_enough() {
    let topic = Topic::create(2).await;
    let (client, name) = (topic.client(), topic.name());
    topic.kafka().fill(name, 30, 0).await.unwrap();
    let begun = Instant::now();
    let all = json!({"topic": name, "max_messages": 1000, "timeout": 60});
    let answer = consume(client, &all).await.expect(200);
    assert_eq!(messages(&answer).len(), 30);
    assert_eq!(answer["topic"], name);
    assert_eq!(
        answer["group_id"],
        format!("sluice-consumer-api-group.{name}")
    );
    assert!(
        begun.elapsed() < DEADLINE / 2,
        "it does not wait for a thousand"
    );
    // More come while it gathers.
    let call = tokio::spawn({
        let client = client.clone();
        async move { consume(&client, all).await.expect(200) }
    });
    topic.kafka().fill(name, 5, 0).await.unwrap();
    let gathered = messages(&call.await.unwrap()).len();
    assert!((1..=5).contains(&gathered), "{gathered}");
}

#[tokio::test]
async fn without_messages_a_call_ends_empty_when_its_time_is_up() {
    let topic = Topic::create(1).await;
    let (client, name) = (topic.client(), topic.name());
    // Joining is not counted.
    consume(client, json!({"topic": name, "timeout": 0}))
        .await
        .expect(200);
    let begun = Instant::now();
    let calls = (0..3).map(|_| consume(client, json!({"topic": name, "timeout": 1.5})));
    for answer in join_all(calls).await {
        assert!(messages(&answer.expect(200)).is_empty());
    }
    // Those that wait behind others have no more time than those.
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(1_400), "{took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test]
async fn groups_and_topics_have_a_session_each_and_it_begins_at_the_oldest() {
    let (one, other) = (Topic::create(1).await, Topic::create(1).await);
    one.kafka().fill(one.name(), 3, 0).await.unwrap();
    one.kafka().fill(other.name(), 2, 0).await.unwrap();
    let group = unique("group");
    let read = async |topic: &str, group: &str| {
        let body = json!({"topic": topic, "group_id": group, "timeout": 30});
        messages(&consume(one.client(), body).await.expect(200)).len()
    };
    assert_eq!(read(one.name(), &group).await, 3);
    assert_eq!(read(other.name(), &group).await, 2);
    assert_eq!(read(one.name(), &unique("group")).await, 3);
}

#[tokio::test]
async fn a_session_that_nobody_calls_any_more_leaves_its_group() {
    let topic = Topic::create(1).await;
    let kafka = topic.kafka();
    let group = unique("group");
    let body = json!({"topic": topic.name(), "group_id": group, "timeout": 0});
    consume(topic.client(), body).await.expect(200);
    let called = Instant::now();
    assert_eq!(kafka.members(&group).await.unwrap().len(), 1);
    eventually(DEADLINE, "it is gone", async || {
        kafka.members(&group).await.unwrap().is_empty()
    })
    .await;
    let lasted = called.elapsed();
    assert!(lasted > Duration::from_secs(28), "{lasted:?}");
}
