//! Sessions whose client is silent.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use sluice_tests::{Client, eventually};
use tokio::time::Instant;

use super::{DEADLINE, Names};

const TIMEOUT_MS: u64 = 5000;
const TIMEOUT: Duration = Duration::from_millis(TIMEOUT_MS);

/// Subscribes a session that expires soon.
async fn subscribe(names: &Names, client: &Client) {
    let mut spec = names.spec();
    spec["session_timeout_ms"] = json!(TIMEOUT_MS);
    client.subscribe(spec).await.expect(200);
}

/// Waits for the session's end, looking at it in a way that does not renew it.
async fn gone(names: &Names) {
    let admin = names.node.admin();
    let query = [("group_id", &*names.group)];
    eventually(DEADLINE, "the session expires", async || {
        let listed = admin.list(&query).await.expect(200);
        listed["consumers"] == json!([])
    })
    .await;
}

#[tokio::test]
async fn a_silent_session_ends_as_if_deleted_and_looking_at_it_does_not_help() {
    let names = Names::new(2).await;
    let client = names.node.client();
    let begun = Instant::now();
    subscribe(&names, &client).await;
    eventually(DEADLINE, "the session expires", async || {
        // None of these is a sign of life.
        client.assignment(&names.id).await.answer();
        let query = [("group_id", &*names.group)];
        names.node.admin().list(&query).await.expect(200);
        client.get(&names.id).await.status() == Some(404)
    })
    .await;
    let lived = begun.elapsed();
    assert!(lived >= TIMEOUT, "it lived for {lived:?} only");
    let ended = client.delete(&names.id).await;
    ended.expect_problem(404, "consumer_not_found");
    eventually(DEADLINE, "Kafka has let the member go", async || {
        names.member_count().await == 0
    })
    .await;
}

#[tokio::test]
async fn every_renewing_request_renews() {
    let names = Names::new(1).await;
    let client = names.node.client();
    subscribe(&names, &client).await;
    let mut same = names.spec();
    same["session_timeout_ms"] = json!(TIMEOUT_MS);
    let path = format!("/api/consumers/{}", names.id);
    let requests = [
        (Method::POST, "consume", json!({"timeout_ms": 0})),
        (Method::POST, "commit", json!({"offsets": {}})),
        (
            Method::POST,
            "seek",
            json!({"topic": names.topic, "offset": "earliest"}),
        ),
        (Method::GET, "position", json!(null)),
        (Method::POST, "subscribe", same),
        (
            Method::PUT,
            "assignment",
            json!({"topics": {&names.topic: [0]}}),
        ),
    ];
    for (method, what, body) in requests {
        // Not new any more, and far from its end.
        eventually(DEADLINE, "some time passes", async || {
            idle(&names, &client).await >= TIMEOUT_MS / 10
        })
        .await;
        let before = Instant::now();
        let path = match what {
            "subscribe" => "/api/consumers/subscribe".to_owned(),
            _ => format!("{path}/{what}"),
        };
        client.call(method, &path, body).await.expect(200);
        let idle = idle(&names, &client).await;
        let most = u64::try_from(before.elapsed().as_millis()).unwrap();
        assert!(idle <= most, "{what}: idle for {idle} ms after {most} ms");
    }
    gone(&names).await;
}

async fn idle(names: &Names, client: &Client) -> u64 {
    let described = client.get(&names.id).await.expect(200);
    described["idle_ms"].as_u64().expect("milliseconds")
}

#[tokio::test]
async fn a_poll_in_flight_keeps_a_session_alive_however_long() {
    let names = Names::new(1).await;
    let client = names.node.client();
    subscribe(&names, &client).await;
    let wait = 2 * TIMEOUT_MS;
    let polled = client.consume(&names.id, json!({"timeout_ms": wait})).await;
    assert_eq!(polled.expect(200)["records"], json!([]));
    let described = client.get(&names.id).await.expect(200);
    assert_eq!(described["state"], "running");
    // From the answer on the time runs.
    gone(&names).await;
}

#[tokio::test]
async fn expiry_commits_what_was_acknowledged_and_not_the_latest_answer() {
    let names = Names::new(1).await;
    let client = names.node.client();
    names.kafka.fill(&names.topic, 20, 0).await.unwrap();
    let mut spec = names.spec();
    spec["session_timeout_ms"] = json!(TIMEOUT_MS);
    spec["auto_commit"] = json!(true);
    spec["auto_commit_interval_ms"] = json!(3_600_000);
    client.subscribe(spec).await.expect(200);
    let mut firsts = Vec::new();
    for _ in 0..2 {
        let polled = client.consume(&names.id, json!({"max_records": 5})).await;
        let polled = polled.expect(200);
        firsts.push(polled.records()[0]["offset"].as_i64());
    }
    gone(&names).await;
    eventually(DEADLINE, "Kafka has let the member go", async || {
        names.member_count().await == 0
    })
    .await;
    let committed = names.kafka.committed(&names.group, &names.topic).await;
    assert_eq!(committed.unwrap().get(&0).copied(), firsts[1]);
}
