//! Nodes do not reach each other, or not Kafka; clients reach all of them.

use std::time::Duration;

use sluice_tests::fault::Direction;
use sluice_tests::{Cluster, Dice, Kafka, Traffic, Verdict, eventually};

use crate::{DEADLINE, owner_that_follows, three};

/// What clients of a node without a majority, or without a way to an owner, are told.
fn cut_off() -> Verdict {
    Verdict::owners_lingered()
        .or(503, "no_quorum")
        .or(503, "owner_unavailable")
        .or(504, "outcome_unknown")
}

#[tokio::test]
async fn an_owner_that_is_cut_off_from_the_others_is_replaced() {
    let kafka = Kafka::shared().await;
    let cluster = three(kafka).await;
    let mut dice = Dice::cast();
    let traffic = Traffic::builder(&cluster, kafka).start(&mut dice).await;
    traffic.flows().await;
    let owner = owner_that_follows(&cluster, &traffic, &mut dice).await;
    let owned = traffic.owned_by(&cluster, owner).await;
    cluster.network().isolate(owner);
    cluster.doors().close(owner);
    for id in &owned {
        cluster.moved(id, owner).await;
    }
    traffic.flows().await;
    // Clients come to it too, as long as it stands alone.
    cluster.doors().open(owner);
    traffic.polls(1).await;
    cluster.network().heal();
    traffic.polls(5).await;
    traffic.finish(&cluster, kafka, &cut_off()).await;
}

/// It hears the others and is not heard: the silence rule replaces it.
#[tokio::test]
async fn an_owner_that_nobody_hears_is_replaced() {
    let kafka = Kafka::shared().await;
    let cluster = three(kafka).await;
    let mut dice = Dice::cast();
    let traffic = Traffic::builder(&cluster, kafka).start(&mut dice).await;
    traffic.flows().await;
    let owner = owner_that_follows(&cluster, &traffic, &mut dice).await;
    let owned = traffic.owned_by(&cluster, owner).await;
    cluster.network().mute(owner);
    for id in &owned {
        cluster.moved(id, owner).await;
    }
    traffic.polls(2).await;
    cluster.network().heal();
    traffic.flows().await;
    traffic.polls(5).await;
    traffic.finish(&cluster, kafka, &cut_off()).await;
}

/// It is heard and does not hear: nothing is lost, and all goes on when it hears again.
#[tokio::test]
async fn an_owner_that_hears_nobody_loses_nothing() {
    let kafka = Kafka::shared().await;
    let cluster = three(kafka).await;
    let mut dice = Dice::cast();
    let traffic = Traffic::builder(&cluster, kafka).start(&mut dice).await;
    traffic.flows().await;
    let owner = owner_that_follows(&cluster, &traffic, &mut dice).await;
    cluster.network().deafen(owner);
    // The others' sessions go on.
    let told = || cluster.node(owner).log_contains("declared dead");
    let _ = tokio::time::timeout(Duration::from_secs(8), async {
        while !told() {
            traffic.oracle().advanced().await;
        }
    })
    .await;
    cluster.network().heal();
    traffic.polls(5).await;
    traffic.flows().await;
    traffic.finish(&cluster, kafka, &cut_off()).await;
}

/// What the owner and the leader ask each other arrives, and the answers do not.
#[tokio::test]
async fn nothing_is_lost_while_two_nodes_get_no_answers_of_each_other() {
    let kafka = Kafka::shared().await;
    let cluster = three(kafka).await;
    let mut dice = Dice::cast();
    let traffic = Traffic::builder(&cluster, kafka);
    let traffic = traffic.members(3, 3).partitions(6).start(&mut dice).await;
    traffic.flows().await;
    let leader = cluster.leader().await;
    let owner = owner_that_follows(&cluster, &traffic, &mut dice).await;
    for (from, to) in [(owner, leader), (leader, owner)] {
        cluster.network().cut_answers(from, to);
        // Those who ask one of the two for what is at the other wait in vain, each as long as it
        // lets a request take, and ask again.
        traffic.polls(3).await;
    }
    cluster.network().heal();
    traffic.polls(3).await;
    traffic.flows().await;
    traffic.finish(&cluster, kafka, &cut_off()).await;
}

/// As a closed listener or a firewall: refusal is taken for the end of the process, although that
/// goes on.
#[tokio::test]
async fn a_node_that_refuses_and_is_not_heard_is_replaced_although_it_lives() {
    let kafka = Kafka::shared().await;
    let cluster = three(kafka).await;
    let mut dice = Dice::cast();
    let traffic = Traffic::builder(&cluster, kafka).start(&mut dice).await;
    traffic.flows().await;
    let owner = owner_that_follows(&cluster, &traffic, &mut dice).await;
    let owned = traffic.owned_by(&cluster, owner).await;
    cluster.network().refuse(owner).await;
    cluster.network().mute(owner);
    for id in &owned {
        cluster.moved(id, owner).await;
    }
    traffic.polls(2).await;
    cluster.network().accept(owner).await;
    cluster.network().heal();
    traffic.polls(5).await;
    traffic.finish(&cluster, kafka, &cut_off()).await;
}

#[tokio::test]
async fn a_minority_with_the_leader_is_replaced_and_comes_back() {
    let kafka = Kafka::shared().await;
    let cluster = Cluster::builder(kafka.bootstrap()).nodes(5).start().await;
    let mut dice = Dice::cast();
    let traffic = Traffic::builder(&cluster, kafka);
    let traffic = traffic.members(4, 4).partitions(8).start(&mut dice).await;
    traffic.flows().await;
    let leader = cluster.leader().await;
    let others: Vec<usize> = (0..5).filter(|n| *n != leader).collect();
    let follower = *dice.one_of(&others);
    let minority = [leader, follower];
    let majority: Vec<usize> = (0..5).filter(|n| !minority.contains(n)).collect();
    cluster.network().part(&minority, &majority);
    for node in minority {
        cluster.doors().close(node);
    }
    for id in traffic.ids() {
        let reason = format!("{id} is at the majority");
        eventually(DEADLINE, &reason, async || {
            let owner = cluster.owner(id).await?;
            majority.contains(&owner).then_some(())
        })
        .await;
    }
    traffic.flows().await;
    for node in minority {
        cluster.doors().open(node);
    }
    traffic.polls(1).await;
    cluster.network().heal();
    traffic.polls(5).await;
    traffic.finish(&cluster, kafka, &cut_off()).await;
}

/// Its peers reach it, so it keeps its sessions; they go on when Kafka is back.
#[tokio::test]
async fn an_owner_without_kafka_goes_on_when_it_reaches_it_again() {
    let kafka = Kafka::builder().through_proxy().start().await;
    let direct = kafka.bootstrap().to_owned();
    let ways = vec![kafka.proxied_bootstrap(), direct];
    let cluster = Cluster::builder(kafka.bootstrap()).bootstraps(ways);
    let cluster = cluster.start().await;
    let mut dice = Dice::cast();
    let traffic = Traffic::builder(&cluster, &kafka);
    let traffic = traffic.members(3, 3).partitions(6).start(&mut dice).await;
    traffic.flows().await;
    let owned = traffic.owned_by(&cluster, 0).await;
    assert!(!owned.is_empty(), "sessions are spread");
    let proxy = kafka.brokers()[0].proxy().unwrap();
    proxy.swallow(Direction::Both);
    // Others go on meanwhile.
    for _ in 0..40 {
        traffic.oracle().advanced().await;
    }
    proxy.heal().await;
    traffic.polls(3).await;
    traffic.flows().await;
    let verdict = Verdict::owners_lost()
        .or(503, "kafka_unavailable")
        .or(503, "rebalance_in_progress")
        .or(504, "kafka_timeout")
        .or(504, "outcome_unknown");
    traffic.finish(&cluster, &kafka, &verdict).await;
}
