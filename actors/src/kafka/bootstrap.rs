//! A client that knows no broker any more is told of the first ones again.
//!
//! librdkafka 2.12.1 forgets the brokers that an answer to its questions does not list, those of
//! `bootstrap.servers` too. One that is asked while it stands apart from the cluster, as right after
//! it stood still for long, lists none; then there is nobody left to be asked, and the timer of
//! `metadata.recovery.rebootstrap.trigger.ms` begins only with a question.

use std::ffi::CString;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::{Client, ClientContext};
use tokio::time::Instant;

use super::ffi;

/// How long no broker is reached before the client is told for the first time, and at most between
/// two times: it keeps each text.
const FIRST: Duration = Duration::from_secs(5);
const SELDOM: Duration = Duration::from_secs(60);

/// The first brokers of a client.
pub(crate) struct Bootstrap {
    servers: CString,
    missing: Mutex<Option<Missing>>,
    /// Whether any is: producers ask for every record.
    is_missing: AtomicBool,
}

/// No broker is reached.
#[derive(Clone, Copy)]
struct Missing {
    since: Instant,
    wait: Duration,
}

impl Bootstrap {
    /// Those of a client that is made with this configuration.
    pub(crate) fn of(config: &ClientConfig) -> Self {
        let servers = config.get("bootstrap.servers").unwrap_or_default();
        Self {
            servers: CString::new(servers).unwrap_or_default(),
            missing: Mutex::default(),
            is_missing: AtomicBool::new(false),
        }
    }

    /// Notes that a broker is reached.
    pub(crate) fn reached(&self) {
        if self.is_missing.load(Ordering::Relaxed) {
            self.note(None);
        }
    }

    /// Notes that no broker is reached.
    pub(crate) fn missed(&self) {
        self.missed_at(Instant::now());
    }

    fn missed_at(&self, now: Instant) {
        if !self.is_missing.load(Ordering::Relaxed) {
            self.note(Some(Missing {
                since: now,
                wait: FIRST,
            }));
        }
    }

    fn note(&self, change: Option<Missing>) {
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_missing.store(change.is_some(), Ordering::Relaxed);
        *missing = change;
    }

    /// Tells the client where to look, if no broker has been reached for long.
    pub(crate) fn remind<C: ClientContext>(&self, client: &Client<C>) {
        if self.is_missing.load(Ordering::Relaxed) && self.is_due(Instant::now()) {
            ffi::add_brokers(client, &self.servers);
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(found) = missing.as_mut() else {
            return false;
        };
        let is_due = now.saturating_duration_since(found.since) >= found.wait;
        if is_due {
            found.since = now;
            found.wait = (2 * found.wait).min(SELDOM);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_told_again_less_and_less_often_until_a_broker_is_reached() {
        let bootstrap = Bootstrap::of(&ClientConfig::new());
        let start = Instant::now();
        let told = |from: u64, seconds: u64| -> Vec<u64> {
            let all = (from..from + seconds).map(|at| (at, start + Duration::from_secs(at)));
            let is_told = all.filter(|(_, now)| {
                bootstrap.missed_at(*now);
                bootstrap.is_due(*now)
            });
            is_told.map(|(at, _)| at).collect()
        };
        assert_eq!(told(0, 200), [5, 15, 35, 75, 135, 195]);
        bootstrap.reached();
        assert_eq!(told(200, 10), [205]);
    }
}
