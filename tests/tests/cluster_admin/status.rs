//! `sluice status`.

use reqwest::Method;
use serde_json::Value;
use sluice_tests::Node;
use sluice_tests::ports::Port;

use crate::{DEADLINE, NO_KAFKA, leader, name, of, shown, start, until};

/// Runs it against a URL, and returns its exit status and what it has printed.
async fn status(url: &str, more: &[&str]) -> (Option<i32>, String) {
    let command = Node::builder().subcommand("status").arg("--url").arg(url);
    let command = more
        .iter()
        .fold(command, |command, more| command.arg(*more));
    let (status, printed) = command.run(DEADLINE).await.unwrap();
    (status.code(), printed)
}

/// The line about a node.
fn line(printed: &str, number: usize) -> Vec<&str> {
    let mut lines = printed.lines().map(|line| line.split_whitespace());
    let mut found = lines.find(|words| words.clone().next() == Some(&name(number)));
    found.as_mut().map(Iterator::collect).unwrap_or_default()
}

#[tokio::test]
async fn a_cluster_is_shown_as_a_table_and_a_dead_node_in_the_exit_status() {
    let cluster = start(NO_KAFKA, &[]).await;
    let (leader, dead) = (leader(&cluster).await, (leader(&cluster).await + 1) % 3);
    let url = cluster.node(leader).admin_url();
    let (code, printed) = status(&url, &[]).await;
    assert_eq!(code, Some(0), "{printed}");
    let id = shown(&cluster.node(0).admin()).await["id"].clone();
    let heading = format!(
        "cluster {}, led by {} in term",
        id.as_str().unwrap(),
        name(leader)
    );
    assert!(printed.starts_with(&heading), "{printed}");
    for number in 0..3 {
        let line = line(&printed, number);
        let role = if number == leader { "leader" } else { "voter" };
        assert_eq!(line[1..5], ["alive", role, "0", env!("CARGO_PKG_VERSION")]);
        assert_eq!(line.last(), Some(&&*cluster.network().address(number)));
    }

    cluster.kill(dead).await;
    until(
        &cluster.node(leader).admin(),
        "its death is known",
        |cluster| of(cluster, dead)["state"] == "dead",
    )
    .await;
    let (code, printed) = status(&format!("{url}/"), &[]).await;
    assert_eq!(
        (code, line(&printed, dead)[1]),
        (Some(1), "dead"),
        "{printed}"
    );

    let (code, printed) = status(&url, &["--json"]).await;
    let answer: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(code, Some(1));
    assert_eq!(answer["leader"], name(leader));
    assert_eq!(of(&answer, dead)["state"], "dead");
}

#[tokio::test]
async fn without_a_leader_the_exit_status_is_1() {
    let cluster = start(NO_KAFKA, &[]).await;
    cluster.kill(1).await;
    cluster.kill(2).await;
    until(&cluster.node(0).admin(), "nobody leads", |cluster| {
        cluster["leader"].is_null()
    })
    .await;
    let (code, printed) = status(&cluster.node(0).admin_url(), &[]).await;
    assert_eq!(code, Some(1), "{printed}");
    assert!(printed.contains("without a leader"), "{printed}");
    assert!(printed.contains("may be gone"), "{printed}");
    // The others say the same.
    let node = cluster.node(0);
    let ready = node.client().call(Method::GET, "/readyz", ()).await;
    assert_eq!(ready.expect(200)["leader"], "degraded");
    let metrics = node.admin().call(Method::GET, "/metrics", ()).await;
    let metrics = metrics.expect(200).text;
    assert!(
        metrics.contains("\nsluice_raft_has_leader 0\n"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_node_that_was_stopped_in_order_has_left_and_all_is_well() {
    let cluster = start(NO_KAFKA, &[("SLUICE_DRAIN__LINGER", "100ms")]).await;
    let stopped = (leader(&cluster).await + 1) % 3;
    cluster.terminate(stopped);
    assert_eq!(cluster.ended(stopped, DEADLINE).await, Some(0));
    for number in (0..3).filter(|number| *number != stopped) {
        let admin = cluster.node(number).admin();
        let seen = until(&admin, "it has left", |cluster| {
            of(cluster, stopped)["left"] == true
        })
        .await;
        assert_eq!(of(&seen, stopped)["state"], "dead");
        let (code, printed) = status(&cluster.node(number).admin_url(), &[]).await;
        let line = line(&printed, stopped);
        assert_eq!(
            (code, line[1..3].to_vec()),
            (Some(0), vec!["left", "learner"])
        );
        let metrics = admin.call(Method::GET, "/metrics", ()).await;
        let metrics = metrics.expect(200).text;
        for (state, count) in [("alive", 2), ("dead", 0), ("left", 1)] {
            let told = format!("\nsluice_cluster_nodes{{state=\"{state}\"}} {count}\n");
            assert!(metrics.contains(&told), "{told} in {metrics}");
        }
    }
    assert_eq!(cluster.lines_with("a node has left").len(), 1);
    let declared = cluster.lines_with("declaring a node dead");
    assert!(declared.is_empty(), "{declared:?}");
}

#[tokio::test]
async fn what_cannot_be_asked_is_told_in_a_sentence() {
    let nobody = Port::reserve().unwrap();
    let node = Node::builder().bootstrap(NO_KAFKA).start().await;
    for (url, why) in [
        (format!("http://{}", nobody.address()), "Connection refused"),
        (node.url(), "is this the admin port"),
        ("nowhere".to_owned(), "relative URL without a base"),
    ] {
        let (code, printed) = status(&url, &[]).await;
        assert_eq!(code, Some(69), "{printed}");
        assert_eq!(printed.lines().count(), 1, "{printed}");
        assert!(printed.contains(&url) && printed.contains(why), "{printed}");
    }
}
