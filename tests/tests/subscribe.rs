//! Subscribing: what a session is made of, and what is left when it cannot be made.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use sluice_tests::kafka::Member;
use sluice_tests::raw::Connection;
use sluice_tests::{Dice, Kafka, Node, Topic, eventually, places, unique};
use tokio::time::sleep;
use uuid::Uuid;

/// Far more than anything here takes, also on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_secs(60);
const SUBSCRIBE: &str = "/api/consumers/subscribe";

/// The members of a group that lead a life: one that is still joining has no id to speak of.
async fn members(group: &str) -> Vec<Member> {
    let members = Kafka::shared().await.members(group).await;
    members.expect("Kafka answers")
}

/// The ids of the sessions of a group, as the node's operators see them.
async fn sessions(group: &str) -> Vec<String> {
    let admin = Node::shared().await.admin();
    let listed = admin.list(&[("group_id", group)]).await.expect(200);
    let consumers = listed["consumers"].as_array().expect("there is a list");
    let id = |consumer: &Value| consumer["consumer_id"].as_str().map(str::to_owned);
    consumers.iter().filter_map(id).collect()
}

#[tokio::test]
async fn the_answer_has_the_partitions_that_kafka_gave() {
    let (orders, events) = (Topic::create(3).await, Topic::create(2).await);
    let session = orders
        .subscribe(json!({"topics": [orders.name(), events.name()]}))
        .await;
    let answer = &session.subscribed;
    let assignment = json!({orders.name(): [0, 1, 2], events.name(): [0, 1]});
    assert_eq!(answer["assignment"], assignment);
    assert_eq!(answer["topics"], json!([orders.name(), events.name()]));
    assert!(answer["generation"].as_i64() >= Some(1), "{}", answer.text);

    // The member is there before any poll.
    let members = members(session.group()).await;
    assert_eq!(members.len(), 1, "{members:?}");
    assert_eq!(members[0].client_id, "sluice");
    let held = json!(members[0].assignment);
    assert_eq!(held, assignment);
}

#[tokio::test]
async fn the_same_specification_finds_the_living_session() {
    let (orders, events) = (Topic::create(1).await, Topic::create(1).await);
    let id = unique("consumer");
    let topics = [orders.name(), events.name()];
    let first = orders
        .subscribe(json!({"consumer_id": id, "topics": topics}))
        .await;
    let group = first.group();

    // Topics are a set, and a default is the same whether or not it is said.
    let again = json!({
        "consumer_id": id, "group_id": group, "topics": [topics[1], topics[0]],
        "auto_commit": false, "session_timeout_ms": 30_000, "key_format": "string",
    });
    let second = orders.subscribe(again).await;
    for member in ["consumer_id", "assignment", "generation"] {
        assert_eq!(second.subscribed[member], first.subscribed[member]);
    }
    assert_eq!(sessions(group).await, [id]);
    assert_eq!(members(group).await.len(), 1);
}

#[tokio::test]
async fn another_specification_of_a_living_id_is_refused() {
    let (topic, other) = (Topic::create(1).await, Topic::create(1).await);
    topic.write(0, 3).await;
    let id = unique("consumer");
    let first = topic.subscribe(json!({"consumer_id": id})).await;
    let group = first.group();
    for difference in [
        json!({"group_id": unique("group")}),
        json!({"topics": [other.name()]}),
        json!({"topics": [topic.name(), other.name()]}),
        json!({"auto_offset_reset": "latest"}),
        json!({"session_timeout_ms": 30_001}),
        json!({"auto_commit": true}),
        json!({"auto_commit_interval_ms": 5_001}),
        json!({"isolation_level": "read_uncommitted"}),
        json!({"key_format": "binary"}),
        json!({"value_format": "json"}),
        json!({"assignment_strategy": "range"}),
        json!({"client_id": "another"}),
    ] {
        let mut body = topic.subscription(&json!({"consumer_id": id, "group_id": group}));
        for (name, value) in difference.as_object().expect("it is one") {
            body[name] = value.clone();
        }
        let refused = topic.client().subscribe(body).await;
        refused.expect_problem(409, "consumer_exists");
    }
    assert_eq!(places(&first.read(3).await), [(0, 0), (0, 1), (0, 2)]);
}

#[tokio::test]
async fn what_is_not_said_has_the_defaults_of_the_contract() {
    let topic = Topic::create(1).await;
    let body = json!({"group_id": unique("group"), "topics": [topic.name()]});
    let subscribed = topic.client().subscribe(body).await.expect(200);
    let id = subscribed.text_at("consumer_id");
    let described = topic.client().get(id).await.expect(200);
    let defaults = json!({
        "auto_offset_reset": "latest", "session_timeout_ms": 30_000, "auto_commit": false,
        "auto_commit_interval_ms": 5_000, "isolation_level": "read_committed",
        "key_format": "string", "value_format": "string",
        "assignment_strategy": "cooperative-sticky", "client_id": "sluice",
    });
    assert_eq!(described["options"], defaults);
    assert_eq!(described["mode"], "subscribed");
    assert_eq!(described["state"], "running");
}

#[tokio::test]
async fn an_id_is_made_for_who_has_none() {
    let topic = Topic::create(2).await;
    let group = unique("group");
    let first = topic.subscribe(json!({"group_id": group})).await;
    let second = topic.subscribe(json!({"group_id": group})).await;
    for session in [&first, &second] {
        let id = Uuid::parse_str(session.id());
        assert!(id.is_ok_and(|id| id.get_version_num() == 4));
    }
    assert_ne!(first.id(), second.id());
}

#[tokio::test]
async fn missing_topics_are_listed_and_nothing_is_left_behind() {
    let topic = Topic::create(1).await;
    let (group, id) = (unique("group"), unique("consumer"));
    let missing = [unique("a-missing"), unique("b-missing")];
    let topics = [&*missing[0], topic.name(), &*missing[1]];
    let body = json!({"group_id": group, "topics": topics, "consumer_id": id});
    let refused = topic.client().subscribe(body).await;
    let problem = refused.expect_problem(404, "topic_not_found");
    assert_eq!(problem["topics"], json!(missing));

    let client = topic.client();
    client
        .get(&id)
        .await
        .expect_problem(404, "consumer_not_found");
    assert_eq!(sessions(&group).await, Vec::<String>::new());
    let known = Kafka::shared().await.group(&group).await.unwrap();
    assert_eq!(known, None);
}

#[tokio::test]
async fn reset_none_with_nothing_committed_leaves_nothing_behind() {
    let topic = Topic::create(2).await;
    topic.write(0, 5).await;
    let (group, id) = (unique("group"), unique("consumer"));
    let none = json!({"group_id": group, "consumer_id": id, "auto_offset_reset": "none"});
    let subscribe = async || topic.client().subscribe(topic.subscription(&none)).await;
    let problem = subscribe().await.expect_problem(422, "no_committed_offset");
    assert_eq!(problem["partitions"], json!({topic.name(): [0, 1]}));
    // At once, not when a member times out.
    assert_eq!(members(&group).await, []);
    let gone = topic.client().get(&id).await;
    gone.expect_problem(404, "consumer_not_found");

    let commit = |offsets: Vec<_>| topic.kafka().commit(&group, topic.name(), offsets);
    commit(vec![(0, 3)]).await.unwrap();
    let problem = subscribe().await.expect_problem(422, "no_committed_offset");
    assert_eq!(problem["partitions"], json!({topic.name(): [1]}));
    assert_eq!(members(&group).await, []);

    commit(vec![(1, 0)]).await.unwrap();
    let session = topic.subscribe(none).await;
    assert_eq!(places(&session.read(2).await), [(0, 3), (0, 4)]);
}

#[tokio::test]
async fn subscribes_at_once_with_one_id_give_one_session() {
    let topic = Topic::create(4).await;
    let body = topic.subscription(&json!({"consumer_id": unique("consumer")}));
    let subscribes = (0..12).map(|_| topic.client().subscribe(&body));
    let answers = join_all(subscribes).await;
    for answer in answers {
        let answer = answer.expect(200);
        assert_eq!(answer["consumer_id"], body["consumer_id"]);
        assert_eq!(answer["assignment"], json!({topic.name(): [0, 1, 2, 3]}));
    }
    let group = body["group_id"].as_str().expect("it is a text");
    assert_eq!(json!(sessions(group).await), json!([body["consumer_id"]]));
    assert_eq!(members(group).await.len(), 1);
}

#[tokio::test]
async fn a_member_beyond_the_partitions_is_answered_without_any() {
    let topic = Topic::create(1).await;
    let first = topic.subscribe(json!({})).await;
    let second = topic.subscribe(json!({"group_id": first.group()})).await;
    assert_eq!(second.subscribed["assignment"], json!({}));
    assert_eq!(members(first.group()).await.len(), 2);
    let polled = second.poll(json!({"timeout_ms": 0})).await;
    assert_eq!(polled.records(), [] as [Value; 0]);
}

#[tokio::test]
async fn a_client_that_leaves_while_it_subscribes_leaves_nothing_half_made() {
    let topic = Topic::create(1).await;
    let group = unique("group");
    let short = json!({"group_id": group, "session_timeout_ms": 1_000});
    let body = topic.subscription(&short);
    let mut dice = Dice::cast();
    for attempt in 0..20 {
        let mut connection = Connection::open(topic.client()).await;
        connection.post(SUBSCRIBE, &body).await;
        // Anywhere between the first look at the request and the answer.
        sleep(Duration::from_millis(dice.below(80))).await;
        if attempt % 2 == 0 {
            connection.close();
        } else {
            connection.reset();
        }
    }
    eventually(DEADLINE, "no session and no member is left", async || {
        let (sessions, members) = (sessions(&group).await, members(&group).await);
        (sessions.is_empty() && members.is_empty())
            .then_some(())
            .ok_or((sessions, members))
    })
    .await;
    // Nothing stands in the way of one who stays.
    let session = topic.subscribe(short).await;
    assert_eq!(session.subscribed["assignment"], json!({topic.name(): [0]}));
}

#[tokio::test]
async fn a_client_that_left_finds_its_session_by_its_id() {
    let topic = Topic::create(3).await;
    let mut dice = Dice::cast();
    for _ in 0..10 {
        let id = unique("consumer");
        let body = topic.subscription(&json!({"consumer_id": id}));
        let mut connection = Connection::open(topic.client()).await;
        connection.post(SUBSCRIBE, &body).await;
        sleep(Duration::from_millis(dice.below(80))).await;
        connection.reset();
        let session = topic.subscribe(body.clone()).await;
        assert_eq!(
            session.subscribed["assignment"],
            json!({topic.name(): [0, 1, 2]})
        );
        let members = members(session.group()).await;
        let held: BTreeSet<i32> = members[0].assignment[topic.name()].clone();
        assert_eq!((members.len(), held), (1, BTreeSet::from([0, 1, 2])));
        session.delete().await;
    }
}
