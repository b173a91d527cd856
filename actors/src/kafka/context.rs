//! librdkafka's callbacks: they decide nothing, they post events.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

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

/// A rebalance that librdkafka waits to have answered. It begins no other one until then.
#[derive(Debug)]
enum Rebalance {
    Assign,
    Revoke(Partitions),
}

/// The context of a consumer handle.
#[derive(Debug, Default)]
pub(crate) struct Context {
    events: Mutex<VecDeque<KafkaEvent>>,
    unanswered: Mutex<Option<Rebalance>>,
    answers_at_once: AtomicBool,
}

impl Context {
    /// Takes the next event.
    pub(crate) fn next(&self) -> Option<KafkaEvent> {
        locked(&self.events).pop_front()
    }

    /// Notes that the rebalance that was posted last has been answered.
    pub(crate) fn answered(&self) {
        locked(&self.unanswered).take();
    }

    /// The group gives or takes partitions.
    pub(super) fn rebalanced(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        list: &[ListedOffset],
    ) {
        let partitions: Partitions = list.iter().filter_map(named).collect();
        let assigns = what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let (rebalance, event) = if assigns {
            (Rebalance::Assign, KafkaEvent::Assign(partitions))
        } else {
            let revoke = Rebalance::Revoke(partitions.clone());
            (revoke, KafkaEvent::Revoke(partitions))
        };
        if self.answers_at_once.load(Ordering::Acquire) {
            answer(consumer, &rebalance);
        } else {
            *locked(&self.unanswered) = Some(rebalance);
            self.post(event);
        }
    }

    fn post(&self, event: KafkaEvent) {
        locked(&self.events).push_back(event);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Makes the handle answer rebalances by itself from now on, by taking nothing and giving
/// everything up: nobody acts on events any more. One that was posted and waits for its answer is
/// answered too; librdkafka puts off leaving the group and closing until then.
///
/// Nothing else is answered: an answer to a rebalance that has yet to be polled would leave its
/// callback to run against a handle that is closed meanwhile, and wait there for ever.
pub(crate) fn answer_from_now_on(consumer: &BaseConsumer<Context>) {
    let context = consumer.context();
    context.answers_at_once.store(true, Ordering::Release);
    let unanswered = locked(&context.unanswered).take();
    if let Some(rebalance) = unanswered {
        answer(consumer, &rebalance);
    }
}

fn answer(consumer: &BaseConsumer<Context>, rebalance: &Rebalance) {
    let answered = match rebalance {
        Rebalance::Assign => take_nothing(consumer),
        Rebalance::Revoke(partitions) => give_up(consumer, partitions),
    };
    if let Err(error) = answered {
        tracing::debug!(%error, "cannot answer a rebalance of a handle that ends");
    }
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
fn give_up(consumer: &BaseConsumer<Context>, revoked: &Partitions) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => {}
        RebalanceProtocol::Eager | RebalanceProtocol::None => return consumer.unassign(),
    }
    let mut held = TopicPartitionList::new();
    let assigned = ffi::read_list(&consumer.assignment()?);
    for at in assigned.iter().filter_map(named) {
        if revoked.contains(&at) {
            held.add_partition(at.topic.as_str(), at.partition.get());
        }
    }
    consumer.incremental_unassign(&held)
}
