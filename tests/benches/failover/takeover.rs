//! How long it takes until all sessions of a killed node are served by the others.

use std::time::Duration;

use futures::future::join_all;
use sluice_tests::bench::{Table, Trio, percentile};
use sluice_tests::{Client, Error, Kafka, unique};
use tokio::time::{Instant, sleep};

use crate::{Options, owners, subscribe};

/// Before a position is asked for again that was not told.
const AGAIN: Duration = Duration::from_millis(20);

/// Sessions that a node takes beyond its half.
const ROOM: usize = 50;

/// Kills a node that does not lead and asks at once for the position of each of its sessions,
/// which only a session tells that has its partitions again.
pub(crate) async fn measure(kafka: &Kafka, options: &Options) -> Result<Table, Error> {
    let mut table = Table::new([
        "sessions of the killed node",
        "of all three",
        "subscribed in s",
        "served again: p50 s",
        "p99 s",
        "all after s",
        "asked again",
    ]);
    for round in 0..options.rounds {
        eprintln!("round {}: take-over", round + 1);
        // Room for all of them on two nodes: how fast it goes is the question.
        let room = (options.takeover.div_ceil(2) + ROOM).to_string();
        let limit = ("SLUICE_LIMITS__SESSIONS_PER_NODE", room);
        let trio = Trio::start(kafka, &[limit]).await?;
        let topic = unique("takeover");
        kafka.create_topic(&topic, 1).await?;
        kafka.fill(&topic, 10, 100).await?;
        let began = Instant::now();
        let ids = subscribe(&trio, &[topic], options.takeover).await;
        let subscribed = began.elapsed();
        let owners = owners(&trio, &ids).await;
        let struck = (trio.leader().await + 1) % trio.nodes().len();
        let lost = ids
            .iter()
            .zip(&owners)
            .filter(|(_, owner)| **owner == struck);
        let lost: Vec<&str> = lost.map(|(id, _)| id.as_str()).collect();
        trio.nodes()[struck].kill();
        let killed = Instant::now();
        let served = lost.iter().enumerate().map(|(number, id)| {
            let other = (struck + 1 + number % 2) % trio.nodes().len();
            served(&trio.clients()[other], id, killed)
        });
        let (mut times, again): (Vec<f64>, Vec<usize>) = join_all(served).await.into_iter().unzip();
        times.sort_by(f64::total_cmp);
        table.row([
            lost.len().to_string(),
            ids.len().to_string(),
            format!("{:.1}", subscribed.as_secs_f64()),
            format!("{:.2}", percentile(&times, 0.5)),
            format!("{:.2}", percentile(&times, 0.99)),
            format!("{:.2}", percentile(&times, 1.0)),
            again.iter().sum::<usize>().to_string(),
        ]);
    }
    Ok(table)
}

/// Asks for the position of a session until it is told. Returns when that was, in seconds, and
/// how often there was another answer before.
async fn served(client: &Client, id: &str, since: Instant) -> (f64, usize) {
    let mut again = 0;
    loop {
        let told = client.position(id).await;
        if told.status() == Some(200) {
            return (since.elapsed().as_secs_f64(), again);
        }
        again += 1;
        sleep(AGAIN).await;
    }
}
