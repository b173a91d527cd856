//! What this node tells the leader of itself with each sign of life.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sluice_actors::Sessions;
use sluice_raft::guard::Host;
use sluice_types::ConsumerId;

use crate::ownership::Ownership;

/// Between two looks at Kafka.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Most sessions that are told to be waited for.
const MOST_WAITING: usize = 1_000;

/// What this node sees: Kafka, its sessions, and requests whose sessions have no owner.
#[derive(Default)]
pub(crate) struct Sight {
    reaches_kafka: AtomicBool,
    /// Not there until the sessions are: they need the registry, which needs this.
    ownership: OnceLock<Ownership>,
}

impl Sight {
    /// Looks at Kafka again and again.
    pub(crate) async fn watch_kafka(&self, sessions: &Sessions) {
        loop {
            let reached = sessions.kafka_reachable().await;
            if self.reaches_kafka.swap(reached, Ordering::Relaxed) != reached {
                match reached {
                    true => tracing::info!("kafka is reached"),
                    false => tracing::warn!("kafka cannot be reached"),
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Shows it the sessions, once.
    pub(crate) fn show(&self, ownership: Ownership) {
        // There is one, and it is shown where it is made.
        let _ = self.ownership.set(ownership);
    }
}

impl Host for Sight {
    fn reaches_kafka(&self) -> bool {
        self.reaches_kafka.load(Ordering::Relaxed)
    }

    fn waiting(&self) -> Vec<ConsumerId> {
        let ownership = self.ownership.get();
        ownership.map_or_else(Vec::new, |ownership| ownership.waiting(MOST_WAITING))
    }

    fn idlest(&self, most: usize) -> Vec<ConsumerId> {
        let ownership = self.ownership.get();
        ownership.map_or_else(Vec::new, |ownership| ownership.idlest(most))
    }
}
