//! A registry that cannot be asked: nothing is written, nothing is passed over, nothing is lost.

use std::time::Duration;

use serde_json::json;
use sluice_tests::fault::{Direction, Proxy};
use sluice_tests::kafka::Record;
use sluice_tests::{SchemaRegistry, eventually, unique};
use tokio::time::Instant;

use crate::{DEADLINE, Session, Topic, framed, node_of, note, note_data};

/// A node that asks the shared registry by way of a proxy, and for so long.
async fn through_proxy(timeout: &str) -> (sluice_tests::Node, Proxy) {
    let registry = SchemaRegistry::shared().await;
    let proxy = Proxy::to(&registry.address().to_string()).await.unwrap();
    let node = node_of(&SchemaRegistry::url_at(proxy.address())).await;
    let node = node
        .env("SLUICE_SCHEMA_REGISTRY__TIMEOUT", timeout)
        .env("SLUICE_SCHEMA_REGISTRY__LATEST_TTL", "1h");
    (node.start().await, proxy)
}

/// Waits until a record is there that has no schema.
async fn is_held_up(session: &Session) {
    eventually(DEADLINE, "a record waits for its schema", async || {
        let polled = session.poll(json!({"timeout_ms": 500})).await;
        polled.code() == Some("schema_registry_unavailable")
    })
    .await;
}

#[tokio::test]
async fn without_a_registry_nothing_is_written() {
    let (node, proxy) = through_proxy("1s").await;
    let topic = Topic::of(node.client()).await;
    topic.values_are(&note()).await;
    let records = json!([{"value": {"text": "a"}}]);
    proxy.refuse().await;
    for query in ["", "&async=true"] {
        let refused = topic.write(query, &records).await;
        let refused = refused.expect_problem(503, "schema_registry_unavailable");
        assert!(refused.header("retry-after").is_some());
    }
    // What needs no schema is not concerned.
    topic.post("", &json!([{"value": 1}])).await.expect(200);
    proxy.heal().await;
    proxy.stall(Direction::Both);
    let began = Instant::now();
    let refused = topic.write("", &records).await;
    refused.expect_problem(503, "schema_registry_unavailable");
    assert!(began.elapsed() < Duration::from_secs(30));
    assert_eq!(topic.native().await.len(), 1);
    proxy.heal().await;
    topic.write("", &records).await.expect(200);
    // A schema that is known needs no registry.
    proxy.refuse().await;
    topic.write("", &records).await.expect(200);
    assert_eq!(topic.native().await.len(), 3);
}

#[tokio::test]
async fn a_deadline_is_kept_while_the_registry_is_silent() {
    let registry = SchemaRegistry::start().await;
    let node = node_of(&registry.url()).await;
    let node = node
        .env("SLUICE_SCHEMA_REGISTRY__TIMEOUT", "25s")
        .start()
        .await;
    let topic = Topic::of(node.client()).await;
    registry.freeze();
    let path = format!("/api/topics/{}/produce?value.format=avro", topic.name);
    let request = topic
        .client
        .request(reqwest::Method::POST, &path)
        .header("x-request-timeout-ms", "1500")
        .json(&json!({"records": [{"value": {"text": "a"}}]}));
    let began = Instant::now();
    let refused = topic.client.send(request).await;
    refused.expect_problem(503, "schema_registry_unavailable");
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    registry.thaw();
    let id = registry
        .register(&format!("{}-value", topic.name), &note())
        .await;
    // Who asks meanwhile may share the answer to what was asked before.
    eventually(DEADLINE, "it is written", async || {
        let written = topic.write("", &json!([{"value": {"text": "a"}}])).await;
        written.status() == Some(200)
    })
    .await;
    registry.kill();
    let other = topic
        .write("&value.schema=nobody", &json!([{"value": 1}]))
        .await;
    other.expect_problem(503, "schema_registry_unavailable");
    let known = format!("&value.schema={id}");
    let known = topic
        .write(&known, &json!([{"value": {"text": "b"}}]))
        .await;
    known.expect(200);
}

#[tokio::test]
async fn records_wait_for_a_registry_that_comes_back() {
    let (node, proxy) = through_proxy("1s").await;
    let topic = Topic::of(node.client()).await;
    let known = topic.registry.register(&unique("known"), &note()).await;
    let other = json!({"type": "record", "name": "Other", "fields": [
        {"name": "text", "type": "string"}]});
    let unknown = topic.registry.register(&unique("unknown"), &other).await;
    let note = |id, text: &str| Record::value(framed(id, &note_data(text)));
    let session = topic.subscribe(json!({})).await;
    topic
        .kafka
        .produce(&topic.name, [note(known, "0")])
        .await
        .unwrap();
    assert_eq!(session.values(1).await, [json!({"text": "0"})]);

    proxy.refuse().await;
    let records = [note(known, "1"), note(unknown, "2"), note(known, "3")];
    topic.kafka.produce(&topic.name, records).await.unwrap();
    // What comes before is answered first.
    assert_eq!(session.values(1).await, [json!({"text": "1"})]);
    is_held_up(&session).await;
    for timeout in [0, 1500] {
        let began = Instant::now();
        let refused = session.poll(json!({"timeout_ms": timeout})).await;
        let refused = refused.expect_problem(503, "schema_registry_unavailable");
        assert!(refused.header("retry-after").is_some());
        let least = Duration::from_millis(timeout);
        assert!((least..least + Duration::from_secs(15)).contains(&began.elapsed()));
    }
    let position = topic.client.position(&session.id).await.expect(200);
    assert_eq!(position["offsets"][&topic.name]["0"], 2);

    // A poll that waits is answered when the registry is back.
    let waiting = tokio::spawn({
        let (client, id) = (topic.client.clone(), session.id.clone());
        async move { client.consume(&id, json!({"timeout_ms": 60_000})).await }
    });
    proxy.heal().await;
    let answer = waiting.await.unwrap().expect(200);
    let mut values: Vec<_> = answer
        .records()
        .iter()
        .map(|r| r["value"].clone())
        .collect();
    if values.len() == 1 {
        values.extend(session.values(1).await);
    }
    assert_eq!(values, [json!({"text": "2"}), json!({"text": "3"})]);
    topic.client.delete(&session.id).await.expect(204);
}

#[tokio::test]
async fn a_registry_that_only_stalls_does_not_end_a_poll_of_no_time() {
    let (node, proxy) = through_proxy("20s").await;
    let topic = Topic::of(node.client()).await;
    let id = topic.registry.register(&unique("notes"), &note()).await;
    let session = topic.subscribe(json!({})).await;
    let record = Record::value(framed(id, &note_data("a")));
    topic.kafka.produce(&topic.name, [record]).await.unwrap();
    proxy.delay(Direction::ToClient, Duration::from_millis(300));
    // Polls of no time find nothing until the record has been fetched.
    let read = async {
        loop {
            let polled = session.poll(json!({"timeout_ms": 0})).await.expect(200);
            if let [record] = polled.records() {
                return record["value"].clone();
            }
        }
    };
    let read = tokio::time::timeout(DEADLINE, read).await.unwrap();
    assert_eq!(read, json!({"text": "a"}));
}

#[tokio::test]
async fn a_session_rebalances_and_ends_while_it_waits_for_a_schema() {
    let (node, proxy) = through_proxy("1s").await;
    let topic = Topic::of(node.client()).await;
    let id = topic.registry.register(&unique("notes"), &note()).await;
    let record = Record::value(framed(id, &note_data("a")));
    topic.kafka.produce(&topic.name, [record]).await.unwrap();
    proxy.refuse().await;
    let group = unique("group");
    let first = topic.subscribe(json!({"group_id": group})).await;
    is_held_up(&first).await;
    let waiting = tokio::spawn({
        let (client, id) = (topic.client.clone(), first.id.clone());
        async move { client.consume(&id, json!({"timeout_ms": 60_000})).await }
    });
    // Another member joins and this one goes: that takes its part in the group meanwhile.
    let second = topic.subscribe(json!({"group_id": group})).await;
    topic.client.delete(&first.id).await.expect(204);
    let ended = waiting.await.unwrap().answer();
    assert!(ended.status == 200 || ended.status == 404, "{}", ended.text);
    proxy.heal().await;
    assert_eq!(second.values(1).await, [json!({"text": "a"})]);
}
