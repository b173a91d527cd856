//! As many sessions as a node takes, and their end all at once.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::time::Duration;

use futures::stream::{self, StreamExt};
use reqwest::Method;
use serde_json::json;
use sluice_tests::{Client, Kafka, Node, Reader, eventually, unique};
use tokio::time::Instant;

/// The default of `limits.sessions_per_node`.
const LIMIT: usize = 500;

/// How many requests are under way at once when there are many.
const AT_ONCE: usize = 25;

/// Far more than anything here takes, also on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_secs(120);

/// What counts as no answer. Several hundred times what an idle node needs.
const UNRESPONSIVE: Duration = Duration::from_secs(5);

/// Threads that come and go: those that close handles, those of blocking work, those of a
/// handle's connections.
const THREADS_EITHER_WAY: u64 = 64;

#[tokio::test]
async fn a_node_answers_while_all_its_sessions_end_at_once_and_keeps_nothing_of_them() {
    let (kafka, node) = (Kafka::shared().await, Node::shared().await);
    let topic = unique("orders");
    kafka.create_topic(&topic, 1).await.unwrap();
    let client = node.client();
    let spec = |group: String| json!({"group_id": group, "topics": [topic]});
    let mut witness = Reader::subscribe(&client, spec(unique("group"))).await;
    let idle = slowest_of(&client, &mut witness, 50).await;
    let threads_before = node.threads();

    let subscribe = async |number: usize| {
        let answer = client.subscribe(spec(unique(&format!("group-{number}"))));
        let answer = answer.await.expect(200);
        answer.text_at("consumer_id").to_owned()
    };
    let ids: Vec<String> = stream::iter(1..LIMIT)
        .map(subscribe)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let refused = client.subscribe(spec(unique("group"))).await;
    let problem = refused.expect_problem(429, "too_many_sessions");
    assert_eq!(problem["limit"], json!(LIMIT));
    assert!(problem.header("retry-after").is_some());
    assert!(node.threads() > threads_before + THREADS_EITHER_WAY);

    let deletes = tokio::spawn({
        let client = client.clone();
        async move {
            let all = ids.iter().map(|id| client.delete(id));
            for deleted in futures::future::join_all(all).await {
                deleted.expect(204);
            }
        }
    });
    let mut slowest = Duration::ZERO;
    while !deletes.is_finished() {
        slowest = slowest.max(slowest_of(&client, &mut witness, 1).await);
    }
    deletes.await.unwrap();
    // Handles are closed behind the answers.
    eventually(DEADLINE, "all handles are closed", async || {
        slowest = slowest.max(slowest_of(&client, &mut witness, 1).await);
        backlog(node).await == Some(0)
    })
    .await;
    assert!(slowest < idle + UNRESPONSIVE, "{slowest:?}, idle {idle:?}");
    eventually(DEADLINE, "the threads are gone", async || {
        let now = node.threads();
        if now <= threads_before + THREADS_EITHER_WAY {
            Ok(())
        } else {
            Err((now, threads_before, node.threads_by_name()))
        }
    })
    .await;
    let listed = node.admin().list(&[]).await.expect(200);
    let left = listed["consumers"].as_array().unwrap();
    assert_eq!(left.len(), 1, "{}", listed.json);
    // And there is room again.
    Reader::subscribe(&client, spec(unique("group")))
        .await
        .leave()
        .await;
    witness.leave().await;
}

/// Asks the node and a session in turn, and returns what the slowest answer took.
async fn slowest_of(client: &Client, witness: &mut Reader, rounds: usize) -> Duration {
    let mut slowest = Duration::ZERO;
    for _ in 0..rounds {
        let begun = Instant::now();
        client.call(Method::GET, "/livez", ()).await.expect(200);
        let live = begun.elapsed();
        witness.poll(0).await;
        slowest = slowest.max(live).max(begun.elapsed() - live);
    }
    slowest
}

/// The handles that wait to be closed, as the metrics tell.
async fn backlog(node: &Node) -> Option<u64> {
    let metrics = node.admin().call(Method::GET, "/metrics", ()).await;
    let text = metrics.expect(200).text;
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix("sluice_closer_backlog "))?;
    value.trim().parse().ok()
}
