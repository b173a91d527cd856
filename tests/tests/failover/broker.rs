//! A broker ends while sessions get new owners.

use sluice_tests::{Dice, Kafka, Traffic, Verdict};

use crate::{owner_that_follows, three};

#[tokio::test]
async fn sessions_get_new_owners_while_a_broker_is_killed() {
    let kafka = Kafka::cluster(3).await;
    let cluster = three(&kafka).await;
    let mut dice = Dice::cast();
    let traffic = Traffic::builder(&cluster, &kafka).start(&mut dice).await;
    traffic.flows().await;
    let owner = owner_that_follows(&cluster, &traffic, &mut dice).await;
    let owned = traffic.owned_by(&cluster, owner).await;
    let broker = dice.one_of(kafka.brokers());
    broker.kill();
    cluster.kill(owner).await;
    for id in &owned {
        cluster.moved(id, owner).await;
    }
    broker.restart().await.unwrap();
    kafka.serving().await.unwrap();
    cluster.restart(owner).await;
    traffic.polls(3).await;
    traffic.flows().await;
    let verdict = Verdict::owners_lost()
        .or(503, "kafka_unavailable")
        .or(503, "rebalance_in_progress")
        .or(503, "owner_unavailable")
        .or(504, "kafka_timeout")
        .or(504, "outcome_unknown");
    traffic.finish(&cluster, &kafka, &verdict).await;
}
