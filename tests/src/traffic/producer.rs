//! Writes records all the time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::Kafka;
use crate::oracle::Offsets;

/// How long Kafka may take for one record, as while it elects a leader.
const PATIENCE: Duration = Duration::from_secs(60);

/// A task that writes a record to each partition again and again.
#[derive(Debug)]
pub(super) struct Producer {
    written: Arc<Mutex<Offsets>>,
    runs: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Producer {
    pub(super) fn start(kafka: &Kafka, topic: &str, partitions: i32, every: Duration) -> Self {
        let (producer, topic) = (kafka.producer().clone(), topic.to_owned());
        let nothing = (0..partitions).map(|partition| (partition, 0));
        let written = Arc::new(Mutex::new(nothing.collect::<Offsets>()));
        let runs = watch::Sender::new(true);
        let (told, running) = (written.clone(), runs.subscribe());
        let task = tokio::spawn(async move {
            let mut ticks = interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while *running.borrow() {
                ticks.tick().await;
                let writing = (0..partitions).map(|partition| write(&producer, &topic, partition));
                for (partition, offset) in futures::future::join_all(writing)
                    .await
                    .into_iter()
                    .flatten()
                {
                    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                    told.insert(partition, offset + 1);
                }
            }
        });
        Self {
            written,
            runs,
            task,
        }
    }

    /// Returns the offsets behind what Kafka has acknowledged.
    pub(super) fn written(&self) -> Offsets {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.clone()
    }

    /// Ends it; on return all that was written is acknowledged or given up.
    pub(super) async fn stop(self) {
        self.runs.send_replace(false);
        self.task.await.expect("a producer does not panic");
    }
}

/// Returns where the record is; `None` if Kafka did not take it in time, whether it has it or not.
async fn write(producer: &FutureProducer, topic: &str, partition: i32) -> Option<(i32, i64)> {
    let record = FutureRecord::<(), _>::to(topic)
        .partition(partition)
        .payload("x");
    let written = producer.send(record, PATIENCE).await.ok()?;
    Some((written.partition, written.offset))
}
