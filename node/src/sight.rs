//! What this node tells the leader of itself with each sign of life.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sluice_actors::Sessions;
use sluice_raft::guard::Host;
use sluice_types::ConsumerId;

/// Between two looks at Kafka.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Most sessions that are told to be waited for.
const MOST_WAITING: usize = 1_000;

type Waiting = Box<dyn Fn(usize) -> Vec<ConsumerId> + Send>;

/// What this node sees: Kafka, and requests whose sessions have no owner. Until it is shown
/// something it sees nothing.
#[derive(Default)]
pub(crate) struct Sight {
    reaches_kafka: AtomicBool,
    waiting: Mutex<Option<Waiting>>,
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

    /// Says where to ask for the sessions that requests wait for; of so many at most.
    pub(crate) fn show_waiting(&self, waiting: impl Fn(usize) -> Vec<ConsumerId> + Send + 'static) {
        let mut shown = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        *shown = Some(Box::new(waiting));
    }
}

impl Host for Sight {
    fn reaches_kafka(&self) -> bool {
        self.reaches_kafka.load(Ordering::Relaxed)
    }

    fn waiting(&self) -> Vec<ConsumerId> {
        let shown = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        shown
            .as_ref()
            .map_or_else(Vec::new, |ask| ask(MOST_WAITING))
    }
}
