//! Sessions that name their partitions themselves: `PUT` and `GET …/assignment`.

use std::time::Duration;

use serde_json::{Value, json};
use sluice_tests::kafka::Record;
use sluice_tests::reader::assigned;
use sluice_tests::{Answer, Client, Kafka, Node, Reader, eventually, unique};

/// Far more than anything here takes, also on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_secs(60);

/// A session that has subscribed to a topic of its own.
struct Session {
    kafka: &'static Kafka,
    client: Client,
    topic: String,
    group: String,
    id: String,
}

impl Session {
    /// Subscribes to a new topic of four partitions with ten records each.
    async fn start(reset: &str) -> Self {
        Self::start_with(reset, &[]).await
    }

    /// As [`start`](Self::start), with offsets that the group has committed before.
    async fn start_with(reset: &str, committed: &[(i32, i64)]) -> Self {
        let (kafka, node) = (Kafka::shared().await, Node::shared().await);
        let (topic, group) = (unique("orders"), unique("group"));
        kafka.create_topic(&topic, 4).await.expect("a topic");
        kafka.fill(&topic, 40, 0).await.expect("records");
        if !committed.is_empty() {
            let committed = committed.iter().copied();
            kafka
                .commit(&group, &topic, committed)
                .await
                .expect("a commit");
        }
        let client = node.client();
        let spec = json!({"group_id": group, "topics": [topic], "auto_offset_reset": reset});
        let answer = client.subscribe(spec).await.expect(200);
        Self {
            kafka,
            client,
            id: answer.text_at("consumer_id").to_owned(),
            topic,
            group,
        }
    }

    /// What another session of the same group subscribes with.
    fn spec(&self) -> Value {
        json!({
            "group_id": self.group,
            "topics": [self.topic],
            "auto_offset_reset": "earliest",
        })
    }

    async fn assign(&self, partitions: &[i32]) -> Answer {
        let body = json!({"topics": {&self.topic: partitions}});
        self.client.assign(&self.id, body).await.expect(200)
    }

    async fn offsets(&self) -> Value {
        self.client.position(&self.id).await.expect(200)["offsets"][&self.topic].clone()
    }

    async fn end(self) {
        self.client.delete(&self.id).await.expect(204);
    }
}

#[tokio::test]
async fn a_manual_assignment_starts_at_committed_offsets_and_else_by_the_reset_policy() {
    for (reset, uncommitted) in [("earliest", 0), ("latest", 10)] {
        let session = Session::start_with(reset, &[(1, 7)]).await;
        let answer = session.assign(&[1, 3]).await;
        assert_eq!(answer["assignment"], json!({&session.topic: [1, 3]}));
        let offsets = session.offsets().await;
        assert_eq!(offsets, json!({"1": 7, "3": uncommitted}), "{reset}");

        // Not only told, but read from there.
        let newest = [1, 3].map(|partition| Record::value("newest").partition(partition));
        session.kafka.produce(&session.topic, newest).await.unwrap();
        let mut reader = Reader::of(&session.client, &session.id);
        let expected = 4 + (11 - uncommitted);
        eventually(DEADLINE, "all behind the starts is read", async || {
            reader.poll(500).await;
            i64::try_from(reader.seen().len()).unwrap() >= expected
        })
        .await;
        let first = |partition| reader.seen().iter().find(|s| s.partition == partition);
        assert_eq!(first(1).unwrap().offset, 7);
        assert_eq!(first(3).unwrap().offset, uncommitted, "{reset}");
        session.end().await;
    }
}

#[tokio::test]
async fn others_of_the_group_get_the_partitions_of_a_session_that_assigns_itself() {
    let session = Session::start("earliest").await;
    let other = Reader::subscribe(&session.client, session.spec()).await;
    eventually(DEADLINE, "both have two", async || {
        let held = session.client.assignment(other.id()).await.expect(200);
        assigned(&held, &session.topic).len() == 2
    })
    .await;
    session.assign(&[0]).await;
    eventually(DEADLINE, "the other has all", async || {
        let held = session.client.assignment(other.id()).await.expect(200);
        assigned(&held, &session.topic).len() == 4
    })
    .await;
    let members = session.kafka.members(&session.group).await.unwrap();
    assert_eq!(members.len(), 1, "{members:?}");
    // Its own stays its own all the same.
    let held = session.client.assignment(&session.id).await.expect(200);
    assert_eq!(assigned(&held, &session.topic), [0].into());
    let polled = session.client.consume(&session.id, json!({})).await;
    assert!(!polled.expect(200).records().is_empty());
    other.leave().await;
    session.end().await;
}

#[tokio::test]
async fn commits_of_a_manual_session_are_taken_only_while_the_group_has_no_members() {
    let session = Session::start("earliest").await;
    let (client, id) = (&session.client, &session.id);
    session.assign(&[0, 1]).await;
    let commit = |offset| json!({"offsets": {&session.topic: {"0": offset}}});
    let committed = client.commit(id, commit(4)).await.expect(200);
    assert_eq!(committed["offsets"], json!({&session.topic: {"0": 4}}));
    let in_kafka = async || {
        let all = session
            .kafka
            .committed(&session.group, &session.topic)
            .await;
        all.unwrap().get(&0).copied()
    };
    assert_eq!(in_kafka().await, Some(4));

    let member = Reader::subscribe(client, session.spec()).await;
    let refused = client.commit(id, commit(6)).await;
    refused.expect_problem(409, "group_has_members");
    assert_eq!(in_kafka().await, Some(4));
    // Reading goes on, and so do commits once the member has left.
    let polled = client.consume(id, json!({})).await.expect(200);
    assert!(!polled.records().is_empty());
    member.leave().await;
    eventually(DEADLINE, "the commit is taken", async || {
        client.commit(id, commit(6)).await.status() == Some(200)
    })
    .await;
    assert_eq!(in_kafka().await, Some(6));
    session.end().await;
}

#[tokio::test]
async fn unknown_topics_and_partitions_are_listed_and_nothing_changes() {
    let session = Session::start("earliest").await;
    let (client, id, topic) = (&session.client, &session.id, &session.topic);
    let before = client.assignment(id).await.expect(200);
    let members = session.kafka.group(&session.group).await.unwrap();
    let unknown = unique("nowhere");

    let body = json!({"topics": {topic: [0], &unknown: [0]}});
    let problem = client.assign(id, body).await;
    let problem = problem.expect_problem(404, "topic_not_found");
    assert_eq!(problem["topics"], json!([unknown]));
    let body = json!({"topics": {topic: [0, 4, 9]}});
    let problem = client.assign(id, body).await;
    let problem = problem.expect_problem(404, "partition_not_found");
    assert_eq!(problem["partitions"], json!({topic: [4, 9]}));

    let after = client.assignment(id).await.expect(200);
    assert_eq!(after.json, before.json);
    assert_eq!(client.get(id).await.expect(200)["mode"], "subscribed");
    assert_eq!(session.kafka.group(&session.group).await.unwrap(), members);
    let polled = client.consume(id, json!({})).await.expect(200);
    assert!(!polled.records().is_empty());
    session.end().await;
}

#[tokio::test]
async fn an_assignment_of_nothing_is_refused() {
    let session = Session::start("earliest").await;
    let (client, id, topic) = (&session.client, &session.id, &session.topic);
    for body in [
        json!({"topics": {}}),
        json!({"topics": {topic: []}}),
        json!({}),
        json!({"topics": {topic: [0, -1]}}),
    ] {
        let refused = client.assign(id, &body).await;
        let problem = refused.expect_problem(422, "invalid_field");
        let field = problem["errors"][0]["field"].as_str().unwrap();
        assert!(field.starts_with("topics"), "{body}: {}", problem.json);
    }
    assert_eq!(client.get(id).await.expect(200)["mode"], "subscribed");
    session.end().await;
}

#[tokio::test]
async fn a_later_assignment_replaces_the_one_before_under_another_generation() {
    let session = Session::start("earliest").await;
    let (client, id) = (&session.client, &session.id);
    let subscribed = client.assignment(id).await.expect(200);
    let mut generations = vec![subscribed["generation"].as_i64().unwrap()];
    for (index, partitions) in [[0, 1], [1, 2], [1, 2]].into_iter().enumerate() {
        let answer = session.assign(&partitions).await;
        let told = json!({&session.topic: partitions});
        assert_eq!(answer["assignment"], told, "{index}");
        generations.push(answer["generation"].as_i64().unwrap());
        let shown = client.assignment(id).await.expect(200);
        assert_eq!(shown.json, answer.json);
    }
    let mut distinct = generations.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct, generations, "they rise");

    let mut reader = Reader::of(client, id);
    eventually(DEADLINE, "both partitions are read", async || {
        let polled = reader.poll(500).await;
        assert_eq!(polled["generation"].as_i64().as_ref(), generations.last());
        reader.seen().len() == 20
    })
    .await;
    let foreign = reader
        .seen()
        .iter()
        .find(|seen| ![1, 2].contains(&seen.partition));
    assert_eq!(foreign, None);
    let described = client.get(id).await.expect(200);
    assert_eq!(described["mode"], "assigned");
    assert_eq!(
        described["generation"].as_i64().as_ref(),
        generations.last()
    );
    session.end().await;
}

#[tokio::test]
async fn a_cursor_of_before_the_assignment_no_longer_counts() {
    let session = Session::start("earliest").await;
    let (client, id) = (&session.client, &session.id);
    let mut cursors = Vec::new();
    for _ in 0..3 {
        let polled = client
            .consume(id, json!({"max_records": 40}))
            .await
            .expect(200);
        assert!(!polled.records().is_empty());
        cursors.push(polled.text_at("cursor").to_owned());
        session.assign(&[0]).await;
    }
    for cursor in cursors {
        let body = json!({"after": cursor, "max_records": 1});
        let polled = client.consume(id, body).await.expect(200);
        assert_eq!(polled.records()[0]["offset"], json!(0), "{}", polled.json);
        let committed = client.commit(id, json!({"cursor": cursor})).await;
        assert_eq!(committed.expect(200)["offsets"], json!({}));
    }
    session.end().await;
}

#[tokio::test]
async fn a_manual_session_can_read_a_topic_that_it_never_subscribed_to() {
    let session = Session::start("earliest").await;
    let (client, id) = (&session.client, &session.id);
    let other = unique("other");
    session.kafka.create_topic(&other, 2).await.unwrap();
    let hello = Record::value("hello").partition(1);
    session.kafka.produce(&other, [hello]).await.unwrap();
    let body = json!({"topics": {&other: [1]}});
    client.assign(id, body).await.expect(200);
    let polled = client.consume(id, json!({})).await.expect(200);
    assert_eq!(polled.records().len(), 1, "{}", polled.json);
    assert_eq!(polled.records()[0]["value"], "hello");
    let missing = client.seek(
        id,
        json!({"topic": session.topic, "partition": 0, "offset": 0}),
    );
    missing.await.expect_problem(409, "partition_not_assigned");
    session.end().await;
}
