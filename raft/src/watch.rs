//! Waiting for the registry to change.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use sluice_types::ConsumerId;
use tokio::sync::watch;

use crate::SessionView;

/// Follows one session. Made by [`RegistryHandle::watch`](crate::RegistryHandle::watch).
#[derive(Debug)]
pub struct SessionWatch {
    receiver: watch::Receiver<Option<SessionView>>,
}

impl SessionWatch {
    /// The session now; `None` while its id is free.
    pub fn current(&mut self) -> Option<SessionView> {
        self.receiver.borrow_and_update().clone()
    }

    /// Waits until the session, or the node of its owner, has changed since
    /// [`current`](Self::current) was last asked. A node registers, drains, dies or is removed.
    ///
    /// Nothing is missed between two calls, but several changes may be seen as one. Pends for
    /// ever when the registry is no more. A dropped future loses nothing.
    pub async fn changed(&mut self) {
        if self.receiver.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Follows the whole registry. Made by
/// [`RegistryHandle::changes`](crate::RegistryHandle::changes).
#[derive(Clone, Debug)]
pub struct Changes {
    receiver: watch::Receiver<u64>,
}

impl Changes {
    /// Waits until anything, sessions or nodes, has changed since the last call. Pends for ever when the registry is
    /// no more. A dropped future loses nothing.
    pub async fn changed(&mut self) {
        if self.receiver.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Wakes those who wait.
#[derive(Debug)]
pub(crate) struct Watchers {
    sessions: Mutex<HashMap<ConsumerId, watch::Sender<Option<SessionView>>>>,
    changes: watch::Sender<u64>,
}

impl Watchers {
    pub(crate) fn new() -> Self {
        Self {
            sessions: Mutex::default(),
            changes: watch::Sender::new(0),
        }
    }

    /// Follows the session, whose present view `current` reads under the lock that orders this
    /// with [`publish`](Self::publish).
    pub(crate) fn watch(
        &self,
        id: &ConsumerId,
        current: impl FnOnce() -> Option<SessionView>,
    ) -> SessionWatch {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = match sessions.get(id) {
            Some(sender) => sender.subscribe(),
            None => {
                let (sender, receiver) = watch::channel(current());
                sessions.insert(id.clone(), sender);
                receiver
            }
        };
        SessionWatch { receiver }
    }

    /// Tells what has become of sessions.
    pub(crate) fn publish(&self, changed: Vec<(ConsumerId, Option<SessionView>)>) {
        if changed.is_empty() {
            return;
        }
        {
            let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            // Those whom nobody follows any more go here, so that the map stays as small as the
            // number of waiting requests.
            sessions.retain(|_, sender| sender.receiver_count() > 0);
            for (id, view) in changed {
                if let Some(sender) = sessions.get(&id) {
                    sender.send_replace(view);
                }
            }
        }
        self.changes.send_modify(|count| *count += 1);
    }

    /// Tells that anything may have changed; `current` says what has become of a session.
    /// Followers of one that `concerns` are woken though it is as it was.
    pub(crate) fn publish_all(
        &self,
        current: impl Fn(&ConsumerId) -> Option<SessionView>,
        concerns: impl Fn(&SessionView) -> bool,
    ) {
        {
            let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            for (id, sender) in sessions.iter() {
                sender.send_if_modified(|known| {
                    let view = current(id);
                    let is_news = *known != view || view.as_ref().is_some_and(&concerns);
                    *known = view;
                    is_news
                });
            }
        }
        self.changes.send_modify(|count| *count += 1);
    }

    pub(crate) fn changes(&self) -> Changes {
        Changes {
            receiver: self.changes.subscribe(),
        }
    }
}
