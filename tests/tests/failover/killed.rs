//! Processes end at once, as with SIGKILL.

use std::time::Duration;

use sluice_tests::{Cluster, Dice, Kafka, Traffic, Verdict};

use crate::{owner_that_follows, three};

/// Nothing befalls anybody: the oracle finds no fault where there is none.
#[tokio::test]
async fn while_nothing_happens_nothing_is_lost_or_repeated() {
    let kafka = Kafka::shared().await;
    let cluster = three(kafka).await;
    let mut dice = Dice::cast();
    let traffic = Traffic::builder(&cluster, kafka).start(&mut dice).await;
    traffic.polls(20).await;
    traffic.flows().await;
    let verdict = Verdict::unnoticed();
    traffic.finish(&cluster, kafka, &verdict).await;
}

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
    let verdict = Verdict::owners_lost().or(503, "no_quorum");
    traffic.finish(&cluster, kafka, &verdict).await;
}

/// Kills a node, waits until its sessions have other owners and all are read, and has it back.
async fn lose(cluster: &Cluster, traffic: &Traffic, node: usize) {
    let owned = traffic.owned_by(cluster, node).await;
    cluster.kill(node).await;
    for id in &owned {
        cluster.moved(id, node).await;
    }
    traffic.polls(3).await;
    traffic.flows().await;
    cluster.restart(node).await;
}

#[tokio::test]
async fn sessions_of_a_killed_node_go_on_at_others() {
    let kafka = Kafka::shared().await;
    let cluster = three(kafka).await;
    let mut dice = Dice::cast();
    let traffic = Traffic::builder(&cluster, kafka).start(&mut dice).await;
    traffic.flows().await;
    let owner = owner_that_follows(&cluster, &traffic, &mut dice).await;
    lose(&cluster, &traffic, owner).await;
    // A second one when the first is back.
    let next = (owner + 1) % 3;
    lose(&cluster, &traffic, next).await;
    let verdict = Verdict::owners_lost();
    traffic.finish(&cluster, kafka, &verdict).await;
}

#[tokio::test]
async fn sessions_of_a_killed_leader_go_on_at_others() {
    let kafka = Kafka::shared().await;
    let cluster = three(kafka).await;
    let mut dice = Dice::cast();
    let traffic = Traffic::builder(&cluster, kafka);
    // More sessions than nodes: the leader owns some.
    let traffic = traffic.members(3, 3).partitions(6).start(&mut dice).await;
    traffic.flows().await;
    let leader = cluster.leader().await;
    let owned = traffic.owned_by(&cluster, leader).await;
    assert!(!owned.is_empty(), "owner and leader in one");
    lose(&cluster, &traffic, leader).await;
    let verdict = Verdict::owners_lost();
    traffic.finish(&cluster, kafka, &verdict).await;
}

#[tokio::test]
async fn a_node_that_starts_again_at_once_gets_its_sessions_back() {
    let kafka = Kafka::shared().await;
    let cluster = three(kafka).await;
    let mut dice = Dice::cast();
    let traffic = Traffic::builder(&cluster, kafka).start(&mut dice).await;
    traffic.flows().await;
    for _ in 0..2 {
        let owner = *dice.one_of(&traffic.owners(&cluster).await);
        cluster.kill(owner).await;
        cluster.restart(owner).await;
        traffic.polls(3).await;
    }
    traffic.flows().await;
    let verdict = Verdict::owners_lost();
    traffic.finish(&cluster, kafka, &verdict).await;
}

/// Their new owner is killed before they have been read there, as soon as their former one is back.
#[tokio::test]
async fn sessions_that_lose_two_owners_in_a_row_go_on() {
    let kafka = Kafka::shared().await;
    let cluster = three(kafka).await;
    let mut dice = Dice::cast();
    let traffic = Traffic::builder(&cluster, kafka).start(&mut dice).await;
    traffic.flows().await;
    for _ in 0..2 {
        let first = *dice.one_of(&traffic.owners(&cluster).await);
        let owned = traffic.owned_by(&cluster, first).await;
        let one = dice.one_of(&owned).clone();
        cluster.kill(first).await;
        let second = cluster.moved(&one, first).await;
        cluster.restart(first).await;
        cluster.kill(second).await;
        cluster.moved(&one, second).await;
        cluster.restart(second).await;
        traffic.polls(2).await;
    }
    traffic.flows().await;
    let verdict = Verdict::owners_lost();
    traffic.finish(&cluster, kafka, &verdict).await;
}

/// As in production, where a group waits for members before its first assignment.
#[tokio::test]
async fn sessions_go_on_where_groups_wait_for_members() {
    let kafka = Kafka::builder().initial_rebalance_delay(Duration::from_secs(3));
    let kafka = kafka.start().await;
    let cluster = three(&kafka).await;
    let mut dice = Dice::cast();
    let traffic = Traffic::builder(&cluster, &kafka).start(&mut dice).await;
    traffic.flows().await;
    let owner = owner_that_follows(&cluster, &traffic, &mut dice).await;
    lose(&cluster, &traffic, owner).await;
    let leader = cluster.leader().await;
    lose(&cluster, &traffic, leader).await;
    let verdict = Verdict::owners_lost();
    traffic.finish(&cluster, &kafka, &verdict).await;
}

/// Each kill catches answers between owner, entry node and client.
#[tokio::test]
async fn answers_on_their_way_over_killed_nodes_are_not_lost() {
    let kafka = Kafka::shared().await;
    let cluster = three(kafka).await;
    let mut dice = Dice::cast();
    // All with cursors: what a lost answer held has to come again.
    let traffic = Traffic::builder(&cluster, kafka)
        .members(6, 0)
        .partitions(6);
    let every = Duration::from_millis(3);
    let traffic = traffic.every(every).start(&mut dice).await;
    traffic.flows().await;
    for _ in 0..4 {
        let entry = usize::try_from(dice.below(3)).unwrap();
        cluster.kill(entry).await;
        traffic.polls(2).await;
        cluster.restart(entry).await;
    }
    let verdict = Verdict::owners_lost();
    traffic.finish(&cluster, kafka, &verdict).await;
}
