//! A member of a group that is no session: librdkafka's consumer on a thread of its own.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::Kafka;
use rdkafka::consumer::{BaseConsumer, Consumer};

/// A consumer that is polled until it is dropped; then it leaves its group.
pub struct NativeMember {
    consumer: Arc<BaseConsumer>,
    ends: Arc<AtomicBool>,
    sleeps: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl NativeMember {
    /// Joins a group with an assignment strategy in librdkafka's words.
    ///
    /// # Panics
    /// When librdkafka does not know the strategy.
    pub fn join(kafka: &Kafka, group: &str, topic: &str, strategy: &str) -> Self {
        let strategy = ("partition.assignment.strategy", strategy);
        let settings = [strategy, ("heartbeat.interval.ms", "500")];
        Self::join_with(kafka, group, topic, &settings)
    }

    /// Joins a group by the protocol of KIP-848, in which the broker assigns: that makes the
    /// group one of the new type.
    ///
    /// # Panics
    /// Never with a legal topic.
    pub fn join_by_new_protocol(kafka: &Kafka, group: &str, topic: &str) -> Self {
        Self::join_with(kafka, group, topic, &[("group.protocol", "consumer")])
    }

    fn join_with(kafka: &Kafka, group: &str, topic: &str, settings: &[(&str, &str)]) -> Self {
        let mut config = kafka.client_config();
        config
            .set("group.id", group)
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .set("topic.metadata.refresh.interval.ms", "2000");
        for (key, value) in settings {
            config.set(*key, *value);
        }
        let consumer: BaseConsumer = config.create().expect("the settings are right");
        consumer.subscribe(&[topic]).expect("the name is legal");
        let consumer = Arc::new(consumer);
        let (ends, sleeps) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let thread = {
            let (consumer, ends, sleeps) = (consumer.clone(), ends.clone(), sleeps.clone());
            thread::spawn(move || {
                while !ends.load(Ordering::Relaxed) {
                    if sleeps.load(Ordering::Relaxed) {
                        thread::park_timeout(Duration::from_secs(1));
                    } else {
                        drop(consumer.poll(Duration::from_millis(50)));
                    }
                }
            })
        };
        Self {
            consumer,
            ends,
            sleeps,
            thread: Some(thread),
        }
    }

    /// Returns the partitions that it holds now; all are of its one topic.
    pub fn assigned(&self) -> BTreeSet<i32> {
        let assignment = self.consumer.assignment().unwrap_or_default();
        let elements = assignment.elements();
        elements.iter().map(|element| element.partition()).collect()
    }

    /// Stops polling: its heartbeats go on, but a rebalance has to wait for it.
    pub fn fall_asleep(&self) {
        self.sleeps.store(true, Ordering::Relaxed);
    }

    /// Polls again.
    pub fn wake_up(&self) {
        self.sleeps.store(false, Ordering::Relaxed);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for NativeMember {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        self.wake_up();
        if let Some(thread) = self.thread.take() {
            // Its panic has been printed already.
            let _ = thread.join();
        }
    }
}
