//! Clients that poll all the time, and the longest that each of them goes without records.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use futures::future::join_all;
use rdkafka::producer::{FutureProducer, FutureRecord};
use sluice_tests::bench::{Noted, Steady, Table, Trio, percentile};
use sluice_tests::{Dice, Error, Kafka, unique};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::{Options, owners, subscribe};

/// Topics, each of which has a record written at another time, so that not all sessions answer
/// at once.
const TOPICS: usize = 10;

/// How long clients poll before their first figures.
const WARM: Duration = Duration::from_secs(3);

/// For how long it is looked at how clients fare before a node ends.
const BEFORE: Duration = Duration::from_secs(4);

/// What befalls a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blow {
    KillFollower,
    KillLeader,
    FreezeFollower,
    FreezeLeader,
    DrainFollower,
    DrainLeader,
}

impl Blow {
    fn is_leader(self) -> bool {
        matches!(
            self,
            Self::KillLeader | Self::FreezeLeader | Self::DrainLeader
        )
    }

    /// For how long clients are watched from then on.
    fn window(self) -> Duration {
        Duration::from_secs(match self {
            Self::KillFollower | Self::KillLeader => 10,
            Self::FreezeFollower | Self::FreezeLeader => 15,
            // The node goes on passing requests on for longer than that.
            Self::DrainFollower | Self::DrainLeader => 8,
        })
    }
}

impl fmt::Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KillFollower => "SIGKILL, a follower",
            Self::KillLeader => "SIGKILL, the leader",
            Self::FreezeFollower => "SIGSTOP, a follower",
            Self::FreezeLeader => "SIGSTOP, the leader",
            Self::DrainFollower => "SIGTERM, a follower",
            Self::DrainLeader => "SIGTERM, the leader",
        })
    }
}

/// What some sessions' clients have noticed.
#[derive(Debug, Default)]
struct Felt {
    /// Longest gaps before, in milliseconds, a client each.
    before: Vec<f64>,
    /// Longest gaps from then on.
    gaps: Vec<f64>,
    /// Longest requests before.
    requests_before: Vec<f64>,
    /// Longest requests from then on.
    requests: Vec<f64>,
    faults: BTreeMap<String, usize>,
}

impl Felt {
    fn add(&mut self, noted: &Noted, [begun, blow, end]: [Instant; 3]) {
        self.before.push(noted.longest_gap(begun, blow));
        self.gaps.push(noted.longest_gap(blow, end));
        let before = noted.longest_request(begun, blow);
        self.requests_before.push(before);
        self.requests.push(noted.longest_request(blow, end));
        for (fault, times) in &noted.faults {
            *self.faults.entry(fault.clone()).or_default() += times;
        }
    }
}

/// Lets each blow befall new clusters and returns what clients have noticed: those of the
/// sessions of the node, and beside them the others.
pub(crate) async fn measure(
    kafka: &Kafka,
    options: &Options,
    blows: &[Blow],
) -> Result<Table, Error> {
    let mut table = Table::new([
        "what befalls a node",
        "sessions",
        "clients",
        "gap before, p50 ms",
        "max",
        "longest gap, p50 ms",
        "p99",
        "max",
        "request before, p50 ms",
        "max",
        "longest request, p50 ms",
        "p99",
        "max",
        "answered instead",
    ]);
    for blow in blows {
        let mut felt = [Felt::default(), Felt::default()];
        for round in 0..options.rounds {
            eprintln!("round {}: {blow}", round + 1);
            strike(kafka, options, *blow, &mut felt).await?;
        }
        for (whose, felt) in ["of that node", "of others"].into_iter().zip(felt) {
            table.row(row(*blow, whose, felt));
        }
    }
    Ok(table)
}

async fn strike(
    kafka: &Kafka,
    options: &Options,
    blow: Blow,
    felt: &mut [Felt; 2],
) -> Result<(), Error> {
    let trio = Trio::start(kafka, &[]).await?;
    let topics: Vec<String> = (0..TOPICS).map(|_| unique("failover")).collect();
    for topic in &topics {
        kafka.create_topic(topic, 1).await?;
    }
    let ids = subscribe(&trio, &topics, options.sessions).await;
    let leader = trio.leader().await;
    let struck = if blow.is_leader() {
        leader
    } else {
        (leader + 1) % trio.nodes().len()
    };
    let producer = kafka.client_config().set("linger.ms", "0").create();
    let producer: FutureProducer = producer.expect("a producer needs nothing but addresses");
    let pause = Duration::from_millis(options.every_ms) / TOPICS as u32;
    let writing = tokio::spawn(write(producer, topics.clone(), pause));
    let (open, stop) = (watch::Sender::new(vec![true; 3]), watch::Sender::new(false));
    let mut dice = Dice::cast();
    let clients = ids.iter().map(|id| {
        let client = Steady {
            id: id.clone(),
            clients: trio.clients().to_vec(),
            open: open.subscribe(),
            dice: dice.split(),
        };
        tokio::spawn(client.follow(stop.subscribe()))
    });
    let clients: Vec<_> = clients.collect();
    sleep(WARM).await;
    let owners = owners(&trio, &ids).await;
    let begun = Instant::now();
    sleep(BEFORE).await;
    let node = &trio.nodes()[struck];
    let when = Instant::now();
    match blow {
        Blow::KillFollower | Blow::KillLeader => node.kill(),
        Blow::FreezeFollower | Blow::FreezeLeader => node.freeze(),
        Blow::DrainFollower | Blow::DrainLeader => node.sigterm(),
    }
    // A node that drains still serves all who ask, which is asked of it here.
    if !matches!(blow, Blow::DrainFollower | Blow::DrainLeader) {
        open.send_modify(|open| open[struck] = false);
    }
    sleep(blow.window()).await;
    let end = Instant::now();
    stop.send_replace(true);
    for (noted, owner) in join_all(clients).await.into_iter().zip(&owners) {
        let noted = noted.expect("a client does not panic");
        felt[usize::from(*owner != struck)].add(&noted, [begun, when, end]);
    }
    writing.abort();
    Ok(())
}

/// Writes a record to each topic in turn, without end.
async fn write(producer: FutureProducer, topics: Vec<String>, pause: Duration) {
    let mut pace = interval(pause);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for topic in topics.iter().cycle() {
        pace.tick().await;
        let record: FutureRecord<'_, (), str> = FutureRecord::to(topic).payload("x").partition(0);
        // Whether it has arrived is seen by those who read.
        drop(producer.send_result(record));
    }
}

fn row(blow: Blow, whose: &str, mut felt: Felt) -> [String; 14] {
    let shares = |figures: &mut Vec<f64>| {
        figures.sort_by(f64::total_cmp);
        let share = |share| format!("{:.0}", percentile(figures, share));
        [share(0.5), share(0.99), share(1.0)]
    };
    let clients = felt.gaps.len().to_string();
    let [before, _, before_most] = shares(&mut felt.before);
    let [gap, gap_99, gap_most] = shares(&mut felt.gaps);
    let [request_before, _, request_before_most] = shares(&mut felt.requests_before);
    let [request, request_99, request_most] = shares(&mut felt.requests);
    let faults = felt.faults.iter();
    let faults: Vec<String> = faults
        .map(|(fault, times)| format!("{times} {fault}"))
        .collect();
    [
        blow.to_string(),
        whose.to_owned(),
        clients,
        before,
        before_most,
        gap,
        gap_99,
        gap_most,
        request_before,
        request_before_most,
        request,
        request_99,
        request_most,
        faults.join(", "),
    ]
}
