//! `sluice status`.

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
