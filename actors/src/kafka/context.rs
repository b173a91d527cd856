//! librdkafka's callbacks: they decide nothing, they post events.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use sluice_types::Partitions;

use super::ffi;
use super::logs::named;
use super::told::ListedOffset;

/// What librdkafka told while it was polled.
#[derive(Debug)]
pub(crate) enum KafkaEvent {
    /// The group gives these partitions; librdkafka waits until they are assigned.
    Assign(Partitions),
    /// The group takes these partitions; librdkafka waits until they are unassigned.
    Revoke(Partitions),
    /// Something went wrong; rarely an end.
    Error {
        code: Option<RDKafkaErrorCode>,
        reason: String,
    },
}

/// The context of a consumer handle.
#[derive(Debug, Default)]
pub(crate) struct Context {
    events: Mutex<VecDeque<KafkaEvent>>,
    unassign_at_once: AtomicBool,
}

impl Context {
    /// Takes the next event.
    pub(crate) fn next(&self) -> Option<KafkaEvent> {
        self.events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    }

    /// From now on rebalances are answered inside the callback, by taking nothing and giving
    /// everything up: the handle is being closed, and nobody acts on events any more.
    pub(crate) fn unassign_at_once(&self) {
        self.unassign_at_once.store(true, Ordering::Release);
    }

    /// The group gives or takes partitions.
    pub(super) fn rebalanced(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        list: &[ListedOffset],
    ) {
        let assigns = what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.unassign_at_once.load(Ordering::Acquire) {
            let answered = match assigns {
                true => take_nothing(consumer),
                false => unassign(consumer, list),
            };
            if let Err(error) = answered {
                tracing::debug!(%error, "unassign while closing failed");
            }
            return;
        }
        let partitions = list.iter().filter_map(named).collect();
        self.post(if assigns {
            KafkaEvent::Assign(partitions)
        } else {
            KafkaEvent::Revoke(partitions)
        });
    }

    fn post(&self, event: KafkaEvent) {
        self.events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(event);
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        super::failure::log(level as i32, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.post(KafkaEvent::Error {
            code: error.rdkafka_error_code(),
            reason: reason.to_owned(),
        });
    }
}

impl ConsumerContext for Context {
    // Called while the consumer is closed; before that the handle takes such events itself.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        self.rebalanced(consumer, what, &ffi::read_list(list));
    }
}

/// Answers whatever rebalance waits for an answer: takes nothing and gives everything up.
/// librdkafka puts leaving the group off until then.
pub(crate) fn answer_rebalance(consumer: &BaseConsumer<Context>) -> KafkaResult<()> {
    take_nothing(consumer)?;
    unassign(consumer, &ffi::read_list(&consumer.assignment()?))
}

fn take_nothing(consumer: &BaseConsumer<Context>) -> KafkaResult<()> {
    let nothing = TopicPartitionList::new();
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(&nothing),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(&nothing),
    }
}

/// Obeys a revocation. What the group has given and nobody has taken is revoked too, but
/// librdkafka refuses to unassign it, and would wait for ever: it is left out.
fn unassign(consumer: &BaseConsumer<Context>, list: &[ListedOffset]) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => {}
        RebalanceProtocol::Eager | RebalanceProtocol::None => return consumer.unassign(),
    }
    let assigned = consumer.assignment()?;
    let mut held = TopicPartitionList::new();
    for listed in list {
        if assigned
            .find_partition(&listed.topic, listed.partition)
            .is_some()
        {
            held.add_partition(&listed.topic, listed.partition);
        }
    }
    consumer.incremental_unassign(&held)
}
