//! `sluice registry export` and `import`: a cluster is rebuilt elsewhere, with its sessions.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sluice_tests::{Cluster, Kafka, Node, eventually, unique};

use crate::{DEADLINE, NO_KAFKA, name, of, shown, start, until};

/// Runs `sluice registry export` on a volume, and returns its exit status and what it has said.
async fn export(data_dir: &Path, to: Option<&Path>) -> (Option<i32>, String) {
    let command = Node::builder().subcommand("registry").arg("export");
    let command = command.arg("--data-dir").arg(data_dir);
    let command = match to {
        Some(file) => command.arg("--output").arg(file),
        None => command,
    };
    let (status, printed) = command.run(DEADLINE).await.unwrap();
    (status.code(), printed)
}

/// Runs `sluice registry import` on a volume, for a node that others reach at this address.
async fn import(
    data_dir: &Path,
    file: &Path,
    number: usize,
    address: &str,
) -> (Option<i32>, String) {
    let command = Node::builder()
        .bootstrap(NO_KAFKA)
        .env("SLUICE_CLUSTER__NAME", name(number))
        .env("SLUICE_CLUSTER__ADVERTISE", address)
        .subcommand("registry")
        .arg("import")
        .arg("--data-dir")
        .arg(data_dir)
        .arg(file);
    let (status, printed) = command.run(DEADLINE).await.unwrap();
    (status.code(), printed)
}

/// Where each session reads on, from the first record of its next answer.
async fn reads_on_at(cluster: &Cluster, number: usize, expected: &[(String, usize)]) {
    let client = cluster.client(number);
    for (id, offset) in expected {
        let body = json!({"max_records": 5, "timeout_ms": 60_000});
        let polled = client.consume(id, body).await.expect(200);
        assert_eq!(polled.records().len(), 5, "{id}: {}", polled.json);
        assert_eq!(
            polled.records()[0]["offset"],
            *offset,
            "{id}: {}",
            polled.json
        );
    }
}

#[tokio::test]
async fn sessions_go_on_in_a_cluster_that_is_rebuilt_with_new_volumes() {
    let kafka = Kafka::shared().await;
    let topic = unique("orders");
    kafka.create_topic(&topic, 1).await.unwrap();
    kafka.fill(&topic, 40, 0).await.unwrap();
    let cluster = start(kafka.bootstrap(), &[]).await;
    let before = shown(&cluster.node(0).admin()).await;
    let client = cluster.client(0);
    let begin = async || {
        let body = json!({"group_id": unique("group"), "topics": [&topic],
            "auto_offset_reset": "earliest", "session_timeout_ms": 600_000});
        let session = client.subscribe(body).await.expect(200);
        let id = session.text_at("consumer_id").to_owned();
        let polled = client.consume(&id, json!({"max_records": 10, "timeout_ms": 10_000}));
        assert_eq!(polled.await.expect(200).records().len(), 10);
        client.commit(&id, ()).await.expect(200);
        id
    };
    let (committed, sought, assigned, deleted) =
        (begin().await, begin().await, begin().await, begin().await);
    let to = json!({"topic": &topic, "partition": 0, "offset": 3});
    client.seek(&sought, to).await.expect(200);
    let own = json!({"topics": {&topic: [0]}});
    client.assign(&assigned, own).await.expect(200);
    let to = json!({"topic": &topic, "partition": 0, "offset": 25});
    client.seek(&assigned, to).await.expect(200);
    client.delete(&deleted).await.expect(204);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sessions.jsonl");
    let (code, printed) = export(&cluster.volume(2), Some(&file)).await;
    assert_eq!(code, Some(74), "{printed}");
    assert!(printed.contains("end the node first"), "{printed}");
    assert!(!file.exists());

    // All are lost but for what one of them has written of the sessions.
    // An id that is none is said to be none only by a node that has heard of all the others.
    let nobody = cluster.client(2).get("nobody").await;
    nobody.expect_problem(404, "consumer_not_found");
    for number in 0..3 {
        cluster.kill(number).await;
    }
    let (code, printed) = export(&cluster.volume(2), Some(&file)).await;
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains("sessions exported: 3"), "{printed}");
    let (code, again) = export(&cluster.volume(2), None).await;
    assert_eq!(code, Some(0), "{again}");
    let text = fs::read_to_string(&file).unwrap();
    let sessions = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.contains("consumer_id"));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(sessions(&text).len(), 3);
    assert_eq!(sessions(&again), sessions(&text), "reading changes nothing");
    let (code, printed) = export(&cluster.volume(2), Some(&file)).await;
    assert_eq!(code, Some(74), "a file is not written over: {printed}");

    // A node that is not the first of the contacts begins anew.
    let (new, address) = (1, cluster.network().address(1));
    let (code, printed) = import(&cluster.volume(new), &file, new, &address).await;
    assert_eq!(code, Some(74), "{printed}");
    assert!(printed.contains("is not empty"), "{printed}");
    for number in 0..3 {
        fs::remove_dir_all(cluster.volume(number)).unwrap();
    }
    let (code, printed) = import(&cluster.volume(new), &file, new, &address).await;
    assert_eq!(code, Some(0), "{printed}");
    cluster.restart(new).await;
    let after = shown(&cluster.node(new).admin()).await;
    assert_ne!(after["id"], before["id"]);
    assert!(printed.contains(after["id"].as_str().unwrap()), "{printed}");
    let expected = [(committed, 10), (sought, 3), (assigned, 25)];
    reads_on_at(&cluster, new, &expected).await;
    let client = cluster.client(new);
    let gone = client.get(&deleted).await;
    gone.expect_problem(404, "consumer_not_found");

    for number in [0, 2] {
        cluster.revive(number).await;
    }
    for number in [0, 2] {
        cluster.ready(number).await;
        let admin = cluster.node(number).admin();
        let joined = until(&admin, "all decide together", |seen| {
            let decides = |node: Value| node["role"] == "voter" || node["role"] == "leader";
            (0..3).all(|number| decides(of(seen, number)))
        })
        .await;
        assert_eq!(joined["id"], after["id"]);
        for (id, _) in &expected {
            cluster.client(number).get(id).await.expect(200);
        }
    }
}

#[tokio::test]
async fn positions_that_a_stopped_node_has_left_are_carried_over_exactly() {
    let kafka = Kafka::shared().await;
    let topic = unique("orders");
    kafka.create_topic(&topic, 1).await.unwrap();
    kafka.fill(&topic, 40, 0).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let run = async |number: usize, data_dir: &Path| {
        let node = Node::builder()
            .kafka(kafka)
            .env("SLUICE_CLUSTER__NAME", name(number))
            .env("SLUICE_CLUSTER__DATA_DIR", data_dir.display());
        node.start().await
    };
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    let node = run(0, &old).await;
    let client = node.client();
    let body = json!({"group_id": unique("group"), "topics": [&topic],
        "auto_offset_reset": "earliest", "session_timeout_ms": 600_000});
    let session = eventually(DEADLINE, "the node takes a session", async || {
        let reply = client.subscribe(&body).await;
        (reply.status() == Some(200)).then(|| reply.expect(200))
    })
    .await;
    let id = session.text_at("consumer_id");
    let read = json!({"max_records": 15, "timeout_ms": 10_000});
    let polled = client.consume(id, &read).await.expect(200);
    assert_eq!(polled.records().len(), 15);
    node.sigterm();
    let status = node.wait_exit(DEADLINE).await.unwrap();
    assert_eq!(status.code(), Some(0), "{}", node.log());

    let file = folder.path().join("sessions.jsonl");
    let (code, printed) = export(&old, Some(&file)).await;
    assert_eq!(code, Some(0), "{printed}");
    let (code, printed) = import(&new, &file, 1, "127.0.0.1:7070").await;
    assert_eq!(code, Some(0), "{printed}");
    let node = run(1, &new).await;
    let polled = eventually(DEADLINE, "the session reads on", async || {
        let reply = node.client().consume(id, &read).await;
        (reply.status() == Some(200)).then(|| reply.expect(200))
    })
    .await;
    assert_eq!(polled.records()[0]["offset"], 15, "nothing was committed");
    let described = node.client().get(id).await.expect(200);
    assert_eq!(described["owner"], name(1));
    node.client().delete(id).await.expect(204);
}

#[tokio::test]
async fn what_is_no_export_and_what_is_no_volume_are_refused_and_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let (empty, missing) = (folder.path().join("empty"), folder.path().join("missing"));
    fs::create_dir(&empty).unwrap();
    for path in [&empty, &missing] {
        let (code, printed) = export(path, None).await;
        assert_eq!(code, Some(74), "{printed}");
        assert!(printed.contains("holds no registry"), "{printed}");
    }
    assert_eq!(fs::read_dir(&empty).unwrap().count(), 0);
    assert!(!missing.exists());

    let file = folder.path().join("sessions.jsonl");
    for (text, why) in [
        ("", "does not say that this is an exported registry"),
        (r#"{"format":"sluice-registry","version":2}"#, "version 2"),
    ] {
        fs::write(&file, text).unwrap();
        let (code, printed) = import(&empty, &file, 0, "127.0.0.1:7070").await;
        assert_eq!(code, Some(64), "{printed}");
        assert!(printed.contains(why), "{printed}");
    }
    assert_eq!(fs::read_dir(&empty).unwrap().count(), 0);
}
