//! Processes stand still, as with SIGSTOP or a suspended machine, and go on when others have taken
//! over.

use reqwest::Method;
use serde_json::json;
use sluice_tests::{Dice, Kafka, Traffic, Verdict, eventually, places, unique};

use crate::{DEADLINE, owner_that_follows, three};

/// A poll that reached a node while that was frozen goes on to the owner when the node does, and
/// ends the newer one of the same client, who gave it up long ago.
fn thawed() -> Verdict {
    Verdict::owners_lingered().or(409, "superseded")
}

#[tokio::test]
async fn a_frozen_owner_is_replaced_and_takes_nothing_back_by_itself() {
    let kafka = Kafka::shared().await;
    let cluster = three(kafka).await;
    let mut dice = Dice::cast();
    let traffic = Traffic::builder(&cluster, kafka).start(&mut dice).await;
    traffic.flows().await;
    let owner = owner_that_follows(&cluster, &traffic, &mut dice).await;
    let owned = traffic.owned_by(&cluster, owner).await;
    cluster.freeze(owner);
    for id in &owned {
        cluster.moved(id, owner).await;
    }
    traffic.flows().await;
    cluster.thaw(owner);
    eventually(DEADLINE, "the thawed process learns it", async || {
        cluster.node(owner).log_contains("declared dead")
    })
    .await;
    traffic.polls(5).await;
    traffic.flows().await;
    traffic.finish(&cluster, kafka, &thawed()).await;
}

#[tokio::test]
async fn a_frozen_leader_is_replaced() {
    let kafka = Kafka::shared().await;
    let cluster = three(kafka).await;
    let mut dice = Dice::cast();
    let traffic = Traffic::builder(&cluster, kafka);
    let traffic = traffic.members(3, 3).partitions(6).start(&mut dice).await;
    traffic.flows().await;
    let leader = cluster.leader().await;
    let owned = traffic.owned_by(&cluster, leader).await;
    assert!(!owned.is_empty(), "sessions are spread");
    cluster.freeze(leader);
    for id in &owned {
        cluster.moved(id, leader).await;
    }
    traffic.flows().await;
    cluster.thaw(leader);
    traffic.polls(5).await;
    traffic.finish(&cluster, kafka, &thawed()).await;
}

/// The broker fences nobody here: the lease alone keeps the former owner from answering.
#[tokio::test]
async fn a_thawed_owner_does_not_answer_for_an_assigned_session() {
    let kafka = Kafka::shared().await;
    let cluster = three(kafka).await;
    let topic = unique("orders");
    kafka.create_topic(&topic, 1).await.unwrap();
    kafka.fill(&topic, 100, 0).await.unwrap();
    let leader = cluster.leader().await;
    let (id, owner) = loop {
        let group = unique("group");
        let spec = json!({"group_id": group, "topics": [topic], "auto_offset_reset": "earliest"});
        let subscribed = cluster.client(0).subscribe(spec).await.expect(200);
        let id = subscribed.text_at("consumer_id").to_owned();
        let owner = cluster.owner(&id).await.unwrap();
        if owner != leader {
            break (id, owner);
        }
    };
    let assign = json!({"topics": {&topic: [0]}});
    cluster.client(leader).assign(&id, assign).await.expect(200);
    let read = |count: u64| json!({"max_records": count, "timeout_ms": 20_000});
    let first = cluster
        .client(leader)
        .consume(&id, read(10))
        .await
        .expect(200);
    assert_eq!(places(first.records())[0], (0, 0));
    cluster.client(leader).commit(&id, ()).await.expect(200);

    cluster.freeze(owner);
    let taker = cluster.moved(&id, owner).await;
    let second = cluster
        .client(taker)
        .consume(&id, read(40))
        .await
        .expect(200);
    let came = places(second.records());
    assert_eq!(came[0], (0, 10), "it goes on at the commit");
    let last = came.last().unwrap().1;
    cluster.client(taker).commit(&id, ()).await.expect(200);

    // What reaches the frozen one now is what it finds first when it goes on.
    let late = tokio::spawn({
        let (client, id, body) = (cluster.client(owner), id.clone(), read(100));
        async move {
            let path = format!("/api/consumers/{id}/consume");
            let asked = client.request(Method::POST, &path).json(&body);
            client.send(asked).await
        }
    });
    cluster.thaw(owner);
    let answer = late.await.unwrap().answer();
    if answer.status == 200 {
        let came = places(answer.records());
        let (partition, offset) = came.first().copied().unwrap_or((0, last + 1));
        assert_eq!((partition, offset), (0, last + 1), "{}", answer.json);
    } else {
        assert_eq!(answer.status, 503, "{}", answer.json);
    }
    let described = cluster.client(taker).get(&id).await.expect(200);
    assert_eq!(described["mode"], "assigned");
    cluster.client(taker).delete(&id).await.expect(204);
}

/// Nodes freeze at any moment of a takeover that another kill has begun.
#[tokio::test]
async fn a_taker_that_freezes_while_it_takes_over_is_replaced_too() {
    let kafka = Kafka::shared().await;
    let cluster = sluice_tests::Cluster::builder(kafka.bootstrap());
    let cluster = cluster.nodes(5).start().await;
    let mut dice = Dice::cast();
    let traffic = Traffic::builder(&cluster, kafka);
    let traffic = traffic.members(4, 4).partitions(8).start(&mut dice).await;
    traffic.flows().await;
    let killed = owner_that_follows(&cluster, &traffic, &mut dice).await;
    let leader = cluster.leader().await;
    let others: Vec<usize> = (0..5).filter(|n| ![killed, leader].contains(n)).collect();
    let frozen = *dice.one_of(&others);
    cluster.kill(killed).await;
    eventually(DEADLINE, "sessions are given away", async || {
        cluster
            .node(leader)
            .log_contains("giving sessions new owners")
    })
    .await;
    cluster.freeze(frozen);
    for id in traffic.ids() {
        let reason = format!("{id} is neither at the killed nor at the frozen node");
        eventually(DEADLINE, &reason, async || {
            let owner = cluster.owner(id).await?;
            (![killed, frozen].contains(&owner)).then_some(())
        })
        .await;
    }
    traffic.flows().await;
    cluster.thaw(frozen);
    cluster.restart(killed).await;
    traffic.polls(3).await;
    traffic.finish(&cluster, kafka, &thawed()).await;
}
