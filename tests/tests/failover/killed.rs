//! Processes end at once, as with SIGKILL.

use sluice_tests::{Dice, Kafka, Traffic, Verdict};

use crate::three;

#[tokio::test]
async fn sessions_go_on_when_all_nodes_are_killed_and_start_again() {
    let kafka = Kafka::shared().await;
    let cluster = three(kafka).await;
    let mut dice = Dice::cast();
    let traffic = Traffic::builder(&cluster, kafka).start(&mut dice).await;
    traffic.flows().await;
    for number in 0..3 {
        cluster.kill(number).await;
    }
    for number in 0..3 {
        cluster.revive(number).await;
    }
    for number in 0..3 {
        cluster.ready(number).await;
        cluster.end_trouble(number);
    }
    traffic.flows().await;
    let verdict = Verdict::owners_lost()
        .or(503, "no_quorum")
        .or(503, "owner_unavailable");
    traffic.finish(&cluster, kafka, &verdict).await;
}

#[tokio::test]
async fn a_node_is_killed_and_starts_again() {
    let kafka = Kafka::shared().await;
    let cluster = three(kafka).await;
    let mut dice = Dice::cast();
    let traffic = Traffic::builder(&cluster, kafka).start(&mut dice).await;
    traffic.flows().await;
    let owner = *dice.one_of(&traffic.owners(&cluster).await);
    cluster.kill(owner).await;
    cluster.restart(owner).await;
    traffic.polls(3).await;
    traffic
        .finish(&cluster, kafka, &Verdict::owners_lost())
        .await;
}

#[tokio::test]
async fn nothing_befalls_anybody() {
    let kafka = Kafka::shared().await;
    let cluster = three(kafka).await;
    let mut dice = Dice::cast();
    let traffic = Traffic::builder(&cluster, kafka).start(&mut dice).await;
    traffic.polls(20).await;
    traffic.flows().await;
    traffic.finish(&cluster, kafka, &Verdict::unnoticed()).await;
}
