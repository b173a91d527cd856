//! The records of one request on their way: one countdown for all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sluice_types::Timestamp;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::budget::Charge;
use super::live::Live;
use super::metrics::ProducerMetrics;
use super::record::{Outcome, RecordError};
use crate::Deadline;

/// The records of one request. Lives as long as one of them is on its way, and holds what they
/// take of the budget.
pub(super) struct Batch {
    outcomes: Mutex<Outcomes>,
    settled: Notify,
    /// How many partitions the topic had when the request came.
    partitions: i32,
    _charge: Charge,
}

struct Outcomes {
    all: Vec<Option<Outcome>>,
    missing: usize,
}

impl Batch {
    pub(super) fn new(records: usize, partitions: i32, charge: Charge) -> Arc<Self> {
        let outcomes = Outcomes {
            all: vec![None; records],
            missing: records,
        };
        Arc::new(Self {
            outcomes: Mutex::new(outcomes),
            settled: Notify::new(),
            partitions,
            _charge: charge,
        })
    }

    /// Says what became of a record; the first word on it counts.
    pub(super) fn settle(&self, index: usize, outcome: Outcome) {
        let outcome = outcome.map_err(|error| match error {
            // To librdkafka a topic that is gone is one without partitions.
            RecordError::PartitionNotFound(at) if at.get() < self.partitions => {
                RecordError::TopicNotFound
            }
            error => error,
        });
        let mut outcomes = self.lock();
        if let Some(slot @ None) = outcomes.all.get_mut(index) {
            *slot = Some(outcome);
            outcomes.missing -= 1;
        }
        if outcomes.missing == 0 {
            self.settled.notify_one();
        }
    }

    fn is_settled(&self) -> bool {
        self.lock().missing == 0
    }

    fn lock(&self) -> MutexGuard<'_, Outcomes> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A record on its way: the duty to say what became of it.
pub(super) struct Ticket {
    batch: Arc<Batch>,
    index: usize,
    /// The time that the record was sent with, unless librdkafka chose it.
    pub(super) time: Option<Timestamp>,
    settled: bool,
}

impl Ticket {
    pub(super) fn new(batch: &Arc<Batch>, index: usize) -> Self {
        Self {
            batch: Arc::clone(batch),
            index,
            time: None,
            settled: false,
        }
    }

    /// Says what became of the record.
    pub(super) fn settle(mut self, outcome: Outcome) {
        self.settled = true;
        self.batch.settle(self.index, outcome);
    }

    /// Gives the duty back: the record did not get on its way.
    pub(super) fn withdraw(mut self) {
        self.settled = true;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.settled {
            let unknown = "the producer was closed before it said what became of the record";
            let unknown = Err(RecordError::OutcomeUnknown(unknown.into()));
            self.batch.settle(self.index, unknown);
        }
    }
}

/// The records of one request, all of them with the producer or refused. Dropped, they go on.
pub struct Delivery {
    pub(super) batch: Arc<Batch>,
    pub(super) live: Option<Arc<Live>>,
    /// Called when the topic may be gone.
    pub(super) on_gone: Box<dyn FnOnce() + Send>,
    pub(super) metrics: ProducerMetrics,
    pub(super) began: Instant,
}

impl Delivery {
    /// Waits until Kafka has said what became of every record, or until the deadline: of the
    /// others it is not known then. In the order of the request.
    pub async fn outcomes(self, deadline: Deadline) -> Vec<Outcome> {
        let settled = async {
            while !self.batch.is_settled() {
                self.batch.settled.notified().await;
            }
        };
        let metrics = self.metrics.clone();
        let in_time = timeout_at(deadline.instant(), settled).await.is_ok();
        if in_time {
            let took = self.began.elapsed().as_secs_f64();
            self.metrics.acknowledged.observe(took);
        }
        let outcomes = std::mem::take(&mut self.batch.lock().all);
        let is_gone =
            |outcome: &Option<Outcome>| matches!(outcome, Some(Err(RecordError::TopicNotFound)));
        if outcomes.iter().any(is_gone) {
            (self.on_gone)();
        }
        let denied = self.live.and_then(|live| live.denied());
        let known = outcomes
            .into_iter()
            .map(|outcome| match (outcome, &denied) {
                // It was thrown away when the producer broke.
                (Some(Err(RecordError::KafkaUnavailable(_))), Some(reason)) => {
                    Err(RecordError::AccessDenied(reason.clone()))
                }
                (outcome, _) => outcome.unwrap_or_else(|| {
                    let late = "Kafka had not acknowledged the record when the deadline passed";
                    let late = RecordError::OutcomeUnknown(late.into());
                    metrics.failed(&late);
                    Err(late)
                }),
            });
        known.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus::{IntGauge, Registry};
    use sluice_types::Partition;

    use super::super::budget::Budget;
    use super::super::record::Written;
    use super::*;

    fn batch(records: usize) -> (Arc<Batch>, Budget) {
        let budget = Budget::new(100, IntGauge::new("bytes", "bytes").unwrap());
        let mut charge = budget.charge();
        charge.grow(10).unwrap();
        (Batch::new(records, 10, charge), budget)
    }

    fn delivery(batch: &Arc<Batch>) -> Delivery {
        Delivery {
            batch: Arc::clone(batch),
            live: None,
            on_gone: Box::new(|| ()),
            metrics: ProducerMetrics::register(&Registry::new()).unwrap(),
            began: Instant::now(),
        }
    }

    fn written(partition: i32) -> Outcome {
        Ok(Written {
            partition: Partition::new(partition).unwrap(),
            offset: None,
            timestamp: None,
        })
    }

    #[tokio::test(start_paused = true)]
    async fn outcomes_come_in_the_requests_order_when_the_last_is_known() {
        let (batch, _) = batch(3);
        let tickets: Vec<Ticket> = (0..3).map(|index| Ticket::new(&batch, index)).collect();
        let waiting = tokio::spawn(delivery(&batch).outcomes(Deadline::after(Duration::MAX / 4)));
        for (number, ticket) in tickets.into_iter().enumerate().rev() {
            assert!(!waiting.is_finished());
            tokio::task::yield_now().await;
            ticket.settle(written(i32::try_from(number).unwrap()));
        }
        let outcomes = waiting.await.unwrap();
        assert_eq!(outcomes, [written(0), written(1), written(2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_deadline_what_is_not_acknowledged_is_unknown() {
        let (batch, budget) = batch(2);
        let late = Ticket::new(&batch, 1);
        Ticket::new(&batch, 0).settle(written(7));
        let deadline = Deadline::after(Duration::from_secs(1));
        let outcomes = delivery(&batch).outcomes(deadline).await;
        assert_eq!(outcomes[0], written(7));
        let unknown = outcomes[1].as_ref().unwrap_err();
        assert!(matches!(unknown, RecordError::OutcomeUnknown(_)));
        drop(batch);
        assert_eq!(budget.used(), 10, "the record is still in the queue");
        late.settle(written(7));
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_ticket_that_is_lost_leaves_nobody_waiting() {
        let (batch, _) = batch(1);
        drop(Ticket::new(&batch, 0));
        let deadline = Deadline::after(Duration::from_secs(3600));
        let outcomes = delivery(&batch).outcomes(deadline).await;
        assert!(matches!(
            outcomes[..],
            [Err(RecordError::OutcomeUnknown(_))]
        ));
    }
}
