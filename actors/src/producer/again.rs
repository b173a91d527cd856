//! A second try, alone, for records that Kafka has refused together.
//!
//! Kafka takes a batch whole or not at all, and in a batch are whatever records came at the same
//! time, of any client: what it says of one of them is not meant for the others. So each is sent
//! once more through a producer whose batches have one record each, and what Kafka says then is
//! the record's own.
//!
//! ```text
//!   live.rs (shared) -- delivery report: refused, not written --> Again -- the ticket goes along
//!                                                                   |
//!                    ticket settled <-- delivery report -- live.rs (alone)
//! ```

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::ClientConfig;
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Message};
use sluice_types::Partition;

use super::batch::Ticket;
use super::config::alone;
use super::live::{Encoded, Live, Setting};
use super::record::RecordError;
use super::verdict::{self, Sent};
use crate::Error;

/// What sends records alone, for one producer. Its own producer is made when it is first needed. It
/// is not idempotent, and breaks for nothing.
pub(super) struct Again {
    client: ClientConfig,
    setting: Setting,
    live: Mutex<Option<Arc<Live>>>,
}

impl Again {
    /// For the producer with these properties.
    pub(super) fn new(client: &ClientConfig, setting: Setting) -> Self {
        Self {
            client: alone(client),
            setting,
            live: Mutex::default(),
        }
    }

    /// Sends a record to the partition where it was going. Waits for nobody: called by a delivery
    /// report. The ticket comes back, with the reason, if that is not possible.
    pub(super) fn send(
        &self,
        message: &BorrowedMessage<'_>,
        ticket: Ticket,
    ) -> Result<(), (RecordError, Ticket)> {
        let live = match self.living() {
            Ok(live) => live,
            Err(error) => return Err((RecordError::Internal(error.to_string()), ticket)),
        };
        let record = Encoded {
            key: message.key(),
            value: message.payload(),
            partition: Partition::new(message.partition()).ok(),
            timestamp: ticket.time,
            headers: message.headers().map(BorrowedHeaders::detach),
        };
        live.send(message.topic(), record, ticket)
            .map_err(|(code, ticket)| {
                let has_key = message.key().is_some();
                let error = verdict::of(code, Sent::No, message.partition(), has_key);
                (error, ticket)
            })
    }

    /// Its producer, if one was needed yet.
    pub(super) fn present(&self) -> Option<Arc<Live>> {
        self.lock().clone()
    }

    fn living(&self) -> Result<Arc<Live>, Error> {
        let mut live = self.lock();
        if let Some(living) = &*live {
            return Ok(Arc::clone(living));
        }
        let made = Arc::new(Live::alone(&self.client, self.setting.clone())?);
        Ok(Arc::clone(live.insert(made)))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Live>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
