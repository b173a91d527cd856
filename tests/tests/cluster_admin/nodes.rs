//! `/api/cluster` and what is under it.

use reqwest::Method;
use serde_json::{Value, json};
use sluice_tests::{Client, Cluster, Kafka, Node, Reply, eventually, unique};

use crate::{DEADLINE, NO_KAFKA, leader, name, of, shown, start, until};

async fn change(admin: &Client, node: &str, change: &str) -> Reply {
    let path = format!("/api/cluster/nodes/{node}/{change}");
    admin.call(Method::POST, &path, ()).await
}

async fn remove(admin: &Client, node: &str) -> Reply {
    let path = format!("/api/cluster/nodes/{node}");
    admin.call(Method::DELETE, &path, ()).await
}

#[tokio::test]
async fn every_node_shows_the_same_cluster() {
    let cluster = start(NO_KAFKA, &[]).await;
    let leader = leader(&cluster).await;
    let first = shown(&cluster.node(0).admin()).await;
    assert!(first["id"].as_str().is_some_and(|id| id.len() == 36));
    for number in 0..3 {
        let seen = shown(&cluster.node(number).admin()).await;
        assert_eq!(seen["id"], first["id"]);
        assert_eq!(seen["leader"], name(leader));
        assert!(seen["term"].as_u64() > Some(0), "{seen}");
        assert_eq!(seen["nodes"].as_array().unwrap().len(), 3);
        for other in 0..3 {
            let node = of(&seen, other);
            let role = if other == leader { "leader" } else { "voter" };
            for (member, expected) in [
                ("address", json!(cluster.network().address(other))),
                ("state", json!("alive")),
                ("role", json!(role)),
                ("sessions", json!(0)),
                ("version", json!(env!("CARGO_PKG_VERSION"))),
            ] {
                assert_eq!(node[member], expected, "{member} of {node}");
            }
            assert!(node["applied"].as_u64() > Some(0), "{node}");
            assert!(
                (1..=3000).contains(&node["lease_ms"].as_u64().unwrap()),
                "{node}"
            );
        }
    }
}

#[tokio::test]
async fn a_draining_node_gets_no_sessions_and_one_that_drains_no_more_does() {
    let kafka = Kafka::shared().await;
    let topic = unique("orders");
    kafka.create_topic(&topic, 1).await.unwrap();
    let cluster = start(kafka.bootstrap(), &[]).await;
    let (drained, other) = (2, cluster.node(0).admin());
    // As often as one likes, and by way of any node.
    for admin in [
        &other,
        &cluster.node(drained).admin(),
        &cluster.node(1).admin(),
    ] {
        change(admin, &name(drained), "drain").await.expect(204);
    }
    let seen = shown(&other).await;
    assert_eq!(of(&seen, drained)["state"], "draining");
    for _ in 0..4 {
        assert_ne!(owner_of_new_session(&cluster, &topic).await, name(drained));
    }
    let seen = until(&other, "it decides no more", |cluster| {
        of(cluster, drained)["role"] == "learner"
    })
    .await;
    assert_eq!(of(&seen, drained)["sessions"], 0);
    let sessions = |node: usize| of(&seen, node)["sessions"].as_u64().unwrap();
    assert_eq!(sessions(0) + sessions(1), 4, "{seen}");

    change(&other, &name(drained), "undrain").await.expect(204);
    change(&other, &name(drained), "undrain").await.expect(204);
    until(&other, "it decides again", |cluster| {
        let node = of(cluster, drained);
        node["state"] == "alive" && node["role"] == "voter"
    })
    .await;
    // It has the least to do.
    assert_eq!(owner_of_new_session(&cluster, &topic).await, name(drained));
}

async fn owner_of_new_session(cluster: &Cluster, topic: &str) -> String {
    let client = cluster.client(0);
    let body = json!({"group_id": unique("group"), "topics": [topic]});
    let session = client.subscribe(body).await.expect(200);
    let id = session.text_at("consumer_id");
    let described = client.get(id).await.expect(200);
    described.text_at("owner").to_owned()
}

#[tokio::test]
async fn a_dead_node_is_shown_removed_and_taken_in_again() {
    let cluster = start(NO_KAFKA, &[]).await;
    let dead = (leader(&cluster).await + 1) % 3;
    let admin = cluster.node(leader(&cluster).await).admin();
    let (dead_name, living_name) = (name(dead), name((dead + 1) % 3));
    remove(&admin, &dead_name)
        .await
        .expect_problem(409, "node_not_dead");
    cluster.kill(dead).await;
    until(&admin, "its death is known", |cluster| {
        of(cluster, dead)["state"] == "dead"
    })
    .await;
    change(&admin, &dead_name, "drain")
        .await
        .expect_problem(409, "node_dead");
    change(&admin, &dead_name, "undrain")
        .await
        .expect_problem(409, "node_dead");
    remove(&admin, &living_name)
        .await
        .expect_problem(409, "node_not_dead");
    remove(&admin, &dead_name).await.expect(204);
    remove(&admin, &dead_name)
        .await
        .expect_problem(404, "node_not_found");
    assert_eq!(of(&shown(&admin).await, dead), Value::Null);

    cluster.restart(dead).await;
    assert_eq!(of(&shown(&admin).await, dead)["state"], "alive");
}

#[tokio::test]
async fn a_node_that_is_not_there_cannot_be_changed() {
    let cluster = start(NO_KAFKA, &[]).await;
    let admin = cluster.node(0).admin();
    for node in ["sluice-3", "no%20name"] {
        for asked in ["drain", "undrain"] {
            change(&admin, node, asked)
                .await
                .expect_problem(404, "node_not_found");
        }
        remove(&admin, node)
            .await
            .expect_problem(404, "node_not_found");
    }
}

#[tokio::test]
async fn without_a_majority_a_node_shows_what_it_knows_and_changes_nothing() {
    let cluster = start(NO_KAFKA, &[]).await;
    // Once the leader is left, which goes on taking itself for that, and once another.
    let leader = leader(&cluster).await;
    for left in [leader, (leader + 1) % 3] {
        let others: Vec<usize> = (0..3).filter(|number| *number != left).collect();
        let admin = cluster.node(left).admin();
        for number in &others {
            cluster.kill(*number).await;
        }
        let seen = until(&admin, "nobody leads", |cluster| {
            cluster["leader"].is_null()
        })
        .await;
        assert!(seen["id"].is_string(), "{seen}");
        for number in 0..3 {
            assert_eq!(of(&seen, number)["role"], "voter", "{seen}");
        }
        for number in &others {
            assert_eq!(
                of(&seen, *number)["state"],
                "alive",
                "nobody can say otherwise"
            );
        }
        let drained = change(&admin, &name(left), "drain").await;
        drained.expect_problem(503, "no_quorum");
        let removed = remove(&admin, &name(others[0])).await;
        removed.expect_problem(503, "no_quorum");
        for number in &others {
            cluster.restart(*number).await;
        }
        let seen = until(&admin, "a node leads again", |cluster| {
            cluster["leader"].is_string()
        })
        .await;
        assert_eq!(
            of(&seen, left)["state"],
            "alive",
            "nothing was changed: {seen}"
        );
    }
}

#[tokio::test]
async fn a_node_without_a_volume_shows_itself_and_cannot_drain() {
    let node = Node::builder()
        .bootstrap(NO_KAFKA)
        .env("SLUICE_CLUSTER__NAME", "lonely")
        .start()
        .await;
    let admin = node.admin();
    let seen = shown(&admin).await;
    let expected = json!({"id": null, "leader": "lonely", "term": 0, "nodes": [{
        "name": "lonely", "address": "localhost:1", "state": "alive", "role": "leader",
        "sessions": 0, "version": env!("CARGO_PKG_VERSION"), "applied": null, "lease_ms": null,
    }]});
    assert_eq!(seen, expected);
    change(&admin, "lonely", "drain")
        .await
        .expect_problem(409, "node_alone");
    change(&admin, "lonely", "undrain").await.expect(204);
    remove(&admin, "lonely")
        .await
        .expect_problem(409, "node_not_dead");
    change(&admin, "other", "drain")
        .await
        .expect_problem(404, "node_not_found");
}

/// Each side says once what is wrong, however often the other one tries.
#[tokio::test]
async fn a_node_of_another_cluster_or_without_the_secret_stays_outside() {
    let cluster = start(NO_KAFKA, &[]).await;
    let admin = cluster.node(0).admin();
    let before = shown(&admin).await;
    let peers: Vec<String> = (0..3).map(|n| cluster.network().address(n)).collect();
    for (stranger, key, wrong) in [
        ("guesses", "SLUICE_CLUSTER__SECRET", "guessed"),
        ("lost", "SLUICE_CLUSTER__ID", "another"),
    ] {
        let node = Node::builder()
            .bootstrap(NO_KAFKA)
            .env("SLUICE_CLUSTER__NAME", stranger)
            .env("SLUICE_CLUSTER__BIND", "127.0.0.1:0")
            .env("SLUICE_CLUSTER__PEERS", peers.join(","))
            .env("SLUICE_CLUSTER__DATA_DIR", "registry")
            .env("SLUICE_CLUSTER__SECRET", "only-the-nodes-know")
            .env(key, wrong)
            .start()
            .await;
        // The second is said when it has tried several times: it gives up to register after 3 s.
        for said in ["waiting for other nodes", "not registered yet"] {
            eventually(DEADLINE, said, async || node.log_contains(said)).await;
        }
        let ready = node.client().call(Method::GET, "/readyz", ()).await;
        ready.expect_problem(503, "no_quorum");
        let told = node.log().matches("refuses this node").count();
        assert_eq!(told, 3, "of each contact once: {}", node.log());
        let refused = format!("\"sender\":\"{stranger}\"");
        assert_eq!(cluster.lines_with(&refused).len(), 3, "by each once");
        assert_eq!(shown(&admin).await["nodes"].as_array().unwrap().len(), 3);
    }
    assert_eq!(shown(&admin).await["term"], before["term"]);
}

/// What the registry has applied tells how much is written to it.
#[tokio::test]
async fn polls_and_commits_write_nothing_to_the_registry() {
    let kafka = Kafka::shared().await;
    let topic = unique("orders");
    kafka.create_topic(&topic, 1).await.unwrap();
    kafka.fill(&topic, 60, 0).await.unwrap();
    let cluster = start(kafka.bootstrap(), &[]).await;
    let body = json!({"group_id": unique("group"), "topics": [topic],
                      "auto_offset_reset": "earliest"});
    let session = cluster.client(0).subscribe(body).await.expect(200);
    let id = session.text_at("consumer_id");
    let applied = async || {
        let seen = shown(&cluster.node(0).admin()).await;
        let nodes = seen["nodes"].as_array().unwrap().clone();
        let applied = nodes.iter().filter_map(|node| node["applied"].as_u64());
        applied.max().unwrap()
    };
    let before = applied().await;
    for number in 0..30 {
        let client = cluster.client(number % 3);
        let poll = json!({"max_records": 2, "timeout_ms": 10_000});
        assert!(
            !client
                .consume(id, poll)
                .await
                .expect(200)
                .records()
                .is_empty()
        );
        client.commit(id, ()).await.expect(200);
    }
    let written = applied().await - before;
    // A node that joins, or partitions that are seen, may still be written down meanwhile.
    assert!(written < 6, "{written} entries for 30 polls and 30 commits");
    cluster.client(0).delete(id).await.expect(204);
}
