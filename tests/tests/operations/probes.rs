//! `/livez` and `/readyz`.

use reqwest::Method;
use serde_json::json;
use sluice_tests::{Kafka, Node, eventually};

use crate::{DEADLINE, node};

#[tokio::test]
async fn both_ports_answer_probes() {
    let node = node().await;
    for client in [node.client(), node.admin()] {
        let live = client.call(Method::GET, "/livez", ()).await.expect(200);
        assert_eq!(live["status"], "ok");
        let ready = eventually(DEADLINE, "kafka has been heard of", async || {
            let ready = client.call(Method::GET, "/readyz", ()).await.expect(200);
            (ready["kafka"] == "ok").then_some(ready)
        })
        .await;
        let mut expected = json!({"status": "ready", "registry": "ok",
                                  "kafka": "ok"});
        expected["node"] = live["node"].clone();
        assert_eq!(ready.json, expected);
        let head = client.call(Method::HEAD, "/readyz", ()).await.expect(200);
        assert_eq!(head.text, "");
    }
}

#[tokio::test]
async fn probes_do_not_depend_on_kafka() {
    // Port 1 refuses.
    let node = Node::builder()
        .bootstrap("127.0.0.1:1")
        .env("SLUICE_CLUSTER__NAME", "probed-0")
        .start()
        .await;
    for client in [node.client(), node.admin()] {
        let live = client.call(Method::GET, "/livez", ()).await.expect(200);
        assert_eq!(live.json, json!({"status": "ok", "node": "probed-0"}));
        let ready = client.call(Method::GET, "/readyz", ()).await.expect(200);
        assert_eq!(ready["status"], "ready");
        assert_eq!(ready["kafka"], "degraded");
    }
    // Probes of several load balancers at once: none waits for the others' question to Kafka.
    let client = node.client();
    let probes = (0..50).map(|_| client.call(Method::GET, "/readyz", ()));
    for reply in futures::future::join_all(probes).await {
        reply.expect(200);
    }
}

#[tokio::test]
async fn a_stopped_node_ends_in_order() {
    let node = Node::builder().kafka(Kafka::shared().await).start().await;
    let client = node.client();
    client.call(Method::GET, "/readyz", ()).await.expect(200);
    node.sigterm();
    let status = node.wait_exit(DEADLINE).await.unwrap();
    assert_eq!(status.code(), Some(0), "{}", node.log());
    let refused = client.call(Method::GET, "/livez", ()).await;
    assert!(refused.into_result().is_err());
}

#[tokio::test]
async fn a_node_whose_volume_is_nearly_full_is_not_ready_and_serves_all_the_same() {
    let kafka = Kafka::shared().await;
    // More than any volume has free.
    let node = Node::builder()
        .kafka(kafka)
        .env("SLUICE_CLUSTER__DATA_DIR", "registry")
        .env("SLUICE_CLUSTER__RESERVE_BYTES", "1PiB")
        .start()
        .await;
    let client = node.client();
    let refused = eventually(DEADLINE, "the node has joined its cluster", async || {
        let ready = client.call(Method::GET, "/readyz", ()).await;
        (ready.code() != Some("no_quorum")).then_some(ready)
    })
    .await;
    let problem = refused.expect_problem(503, "volume_nearly_full");
    assert_eq!(problem["needed_bytes"], 1_u64 << 50);
    assert!(problem["free_bytes"].as_u64() < Some(1 << 50));
    client
        .position("unknown")
        .await
        .expect_problem(404, "consumer_not_found");
}
