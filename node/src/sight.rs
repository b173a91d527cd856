//! What this node tells the leader of itself with each sign of life.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prometheus::{IntGauge, Registry};
use sluice_actors::{Error, Sessions};
use sluice_raft::guard::Host;
use sluice_types::ConsumerId;

use crate::metrics;
use crate::ownership::Ownership;

/// Between two looks at Kafka.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Most sessions that are told to be waited for.
const MOST_WAITING: usize = 1_000;

/// What to do about a Kafka that does not answer.
const HINT: &str = "are these its brokers (kafka.bootstrap_servers), is there a way to them, and \
                    are certificates and credentials right (kafka.properties)? The node goes on \
                    trying";

/// What this node sees: Kafka, its sessions, and requests whose sessions have no owner.
pub(crate) struct Sight {
    /// 1 or 0.
    reaches_kafka: IntGauge,
    has_looked: AtomicBool,
    /// Not there until the sessions are: they need the registry, which needs this.
    ownership: OnceLock<Ownership>,
}

impl Sight {
    /// Registers what it shows to people.
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            reaches_kafka: metrics::kafka_reached(registry)?,
            has_looked: AtomicBool::new(false),
            ownership: OnceLock::new(),
        })
    }

    /// Looks at the Kafka of these addresses again and again.
    pub(crate) async fn watch_kafka(&self, sessions: &Sessions, bootstrap: &str) {
        loop {
            self.saw(sessions.kafka_answers().await, bootstrap);
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Notes what a look has told, and logs the first and what changes. Says whether it has.
    fn saw(&self, answered: Result<(), Error>, bootstrap: &str) -> bool {
        let reached = i64::from(answered.is_ok());
        let was_reached = self.reaches_kafka.get();
        self.reaches_kafka.set(reached);
        if self.has_looked.swap(true, Ordering::Relaxed) && was_reached == reached {
            return false;
        }
        match answered {
            Ok(()) => tracing::info!("kafka is reached"),
            Err(error) => {
                let cause = match error {
                    Error::KafkaUnavailable(why) | Error::AccessDenied(why) => why,
                    other => other.to_string(),
                };
                tracing::warn!(
                    kafka.bootstrap_servers = bootstrap,
                    cause,
                    hint = HINT,
                    "kafka cannot be reached"
                );
            }
        }
        true
    }

    /// Shows it the sessions, once.
    pub(crate) fn show(&self, ownership: Ownership) {
        // There is one, and it is shown where it is made.
        let _ = self.ownership.set(ownership);
    }
}

impl Host for Sight {
    fn reaches_kafka(&self) -> bool {
        self.reaches_kafka.get() == 1
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_look_and_every_change_are_told() {
        let registry = Registry::new();
        let sight = Sight::register(&registry).unwrap();
        assert!(!sight.reaches_kafka());
        let away = || Err(Error::KafkaUnavailable("no broker answered".to_owned()));
        for (answered, is_news) in [
            (away(), true),
            (away(), false),
            (Ok(()), true),
            (Ok(()), false),
            (away(), true),
        ] {
            let reached = answered.is_ok();
            assert_eq!(sight.saw(answered, "localhost:9092"), is_news);
            assert_eq!(sight.reaches_kafka(), reached);
            let shown = registry.gather();
            assert_eq!(shown[0].name(), "sluice_kafka_reached");
            let value = shown[0].get_metric()[0].get_gauge().get_value();
            assert_eq!(value, f64::from(reached));
        }
    }
}
