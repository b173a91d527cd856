//! `sluice recover`, after a majority was lost for good.

use std::fs;

use reqwest::Method;
use serde_json::json;
use sluice_tests::{Cluster, Kafka, Node, eventually, unique};

use crate::{DEADLINE, NO_KAFKA, name, of, shown, start, until};

/// Runs it on the volume of a node, and returns its exit status and what it has printed.
async fn recover(cluster: &Cluster, number: usize, confirmed: bool) -> (Option<i32>, String) {
    let command = Node::builder()
        .bootstrap(NO_KAFKA)
        .env("SLUICE_CLUSTER__NAME", name(number))
        .env(
            "SLUICE_CLUSTER__ADVERTISE",
            cluster.network().address(number),
        )
        .subcommand("recover")
        .arg("--data-dir")
        .arg(cluster.volume(number));
    let command = match confirmed {
        true => command.arg("--i-have-lost-a-majority"),
        false => command,
    };
    let (status, printed) = command.run(DEADLINE).await.unwrap();
    (status.code(), printed)
}

#[tokio::test]
async fn one_node_goes_on_with_the_sessions_and_others_join_it_with_empty_volumes() {
    let kafka = Kafka::shared().await;
    let topic = unique("orders");
    kafka.create_topic(&topic, 1).await.unwrap();
    kafka.fill(&topic, 30, 0).await.unwrap();
    let cluster = start(kafka.bootstrap(), &[]).await;
    let (lost, left) = ([0, 1], 2);
    let before = shown(&cluster.node(left).admin()).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let client = cluster.client(left);
        let body = json!({"group_id": unique("group"), "topics": [&topic],
            "auto_offset_reset": "earliest", "session_timeout_ms": 600_000});
        let session = client.subscribe(body).await.expect(200);
        let id = session.text_at("consumer_id").to_owned();
        let polled = client.consume(&id, json!({"max_records": 10, "timeout_ms": 10_000}));
        assert_eq!(polled.await.expect(200).records().len(), 10);
        client.commit(&id, ()).await.expect(200);
        ids.push(id);
    }
    until(
        &cluster.node(left).admin(),
        "each node owns one",
        |cluster| (0..3).all(|number| of(cluster, number)["sessions"] == 1),
    )
    .await;

    for number in lost {
        cluster.kill(number).await;
    }
    let (code, printed) = recover(&cluster, left, true).await;
    assert_eq!(code, Some(74), "{printed}");
    assert!(printed.contains("another process uses"), "{printed}");
    cluster.kill(left).await;
    let of_before = cluster.node(0).folder().join("registry-of-before");
    fs::rename(cluster.volume(0), &of_before).unwrap();
    fs::remove_dir_all(cluster.volume(1)).unwrap();

    let (code, printed) = recover(&cluster, left, false).await;
    assert_eq!(code, Some(64), "{printed}");
    assert!(printed.contains("Nothing has been done"), "{printed}");
    let (code, printed) = recover(&cluster, left, true).await;
    assert_eq!(code, Some(0), "{printed}");
    let told = |label: &str, value: &str| {
        let mut lines = printed.lines().map(|line| line.split_whitespace());
        lines.any(|line| line.eq([label, value]))
    };
    assert!(
        told("generation", "1") && told("sessions", "3"),
        "{printed}"
    );

    // The node alone decides again, and serves what the others owned too.
    cluster.restart(left).await;
    let after = shown(&cluster.node(left).admin()).await;
    assert_ne!(after["id"], before["id"]);
    assert!(told("cluster", after["id"].as_str().unwrap()), "{printed}");
    assert_eq!(after["leader"], name(left));
    reads_on_at(&cluster, left, &ids, 10).await;

    // A former member that comes back after all is none.
    fs::rename(&of_before, cluster.volume(0)).unwrap();
    cluster.revive(0).await;
    eventually(DEADLINE, "it is refused", async || {
        cluster.node(left).log_contains("stranger refused")
    })
    .await;
    let client = cluster.client(0);
    let ready = client.call(Method::GET, "/readyz", ()).await;
    ready.expect_problem(503, "no_quorum");
    let seen = shown(&cluster.node(left).admin()).await;
    let alive = |number: usize| of(&seen, number)["state"] == "alive";
    assert_eq!([0, 1, 2].map(alive), [false, false, true], "{seen}");
    cluster.kill(0).await;
    fs::remove_dir_all(cluster.volume(0)).unwrap();

    for number in lost {
        cluster.revive(number).await;
    }
    for number in lost {
        cluster.ready(number).await;
        let joined = until(
            &cluster.node(number).admin(),
            "all decide together",
            |cluster| {
                (0..3).all(|number| {
                    let node = of(cluster, number);
                    let decides = node["role"] == "voter" || node["role"] == "leader";
                    node["state"] == "alive" && decides
                })
            },
        )
        .await;
        assert_eq!(joined["id"], after["id"]);
        let log = cluster.node(number).log();
        assert!(log.contains("took a snapshot of the leader over"), "{log}");
        reads_on_at(&cluster, number, &ids, 15 + 5 * number).await;
    }
}

/// Each session goes on with its next five records, from this offset on.
async fn reads_on_at(cluster: &Cluster, number: usize, ids: &[String], offset: usize) {
    let client = cluster.client(number);
    for id in ids {
        let polled = client
            .consume(id, json!({"max_records": 5, "timeout_ms": 60_000}))
            .await
            .expect(200);
        assert_eq!(polled.records().len(), 5, "{}", polled.json);
        assert_eq!(polled.records()[0]["offset"], offset, "{}", polled.json);
        client.commit(id, ()).await.expect(200);
    }
}

#[tokio::test]
async fn what_is_no_volume_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    for (path, why) in [(folder.path(), "is empty"), (&missing, "cannot be read")] {
        let (status, printed) = Node::builder()
            .bootstrap(NO_KAFKA)
            .subcommand("recover")
            .arg("--data-dir")
            .arg(path)
            .arg("--i-have-lost-a-majority")
            .run(DEADLINE)
            .await
            .unwrap();
        assert_eq!(status.code(), Some(74), "{printed}");
        assert!(printed.contains(why), "{printed}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

    // Nodes with empty volumes would look for a cluster in vain.
    let (status, printed) = Node::builder()
        .bootstrap(NO_KAFKA)
        .env("SLUICE_CLUSTER__ADVERTISE", "sluice-2.sluice:7070")
        .env("SLUICE_CLUSTER__PEERS", "sluice-0.sluice:7070")
        .subcommand("recover")
        .arg("--data-dir")
        .arg(folder.path())
        .arg("--i-have-lost-a-majority")
        .run(DEADLINE)
        .await
        .unwrap();
    assert_eq!(status.code(), Some(64), "{printed}");
    let why = "sluice-2.sluice:7070 is not among cluster.peers";
    assert!(printed.contains(why), "{printed}");

    let nowhere = Node::builder().bootstrap(NO_KAFKA).subcommand("recover");
    let (status, printed) = nowhere.run(DEADLINE).await.unwrap();
    assert_eq!(status.code(), Some(64), "{printed}");
    assert!(printed.contains("--data-dir"), "{printed}");
}
