//! How the node learns of a session's end, however that comes about.

use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc;

use crate::{Ended, SessionEvent};

/// Told when the actor is gone, and why if the node did not ask for it.
pub(crate) type OnEnd = Box<dyn FnOnce(Option<&Ended>) + Send>;

/// Tells the node how the session ended, however that comes about.
pub(crate) struct EndGuard {
    pub(crate) event: Option<SessionEvent>,
    pub(crate) ended: Arc<OnceLock<Ended>>,
    pub(crate) events: mpsc::Sender<SessionEvent>,
    pub(crate) on_end: Option<OnEnd>,
}

impl EndGuard {
    /// Whoever waits for an answer that will not come asks the next owner.
    pub(super) fn is_fenced(&self) {
        // It may have ended in another way already.
        let _ = self.ended.set(Ended::Fenced);
    }

    /// Makes the node forget the session before the actor is gone.
    pub(super) fn forget(&mut self) {
        if let Some(on_end) = self.on_end.take() {
            on_end(None);
        }
    }
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(event) = &mut self.event
        {
            event.ended = Ended::Panicked;
        }
        let ended = self.event.as_ref().map(|event| event.ended.clone());
        if let Some(ended) = &ended {
            let _ = self.ended.set(ended.clone());
        }
        if let Some(on_end) = self.on_end.take() {
            on_end(ended.as_ref());
        }
        if let Some(event) = self.event.take() {
            // A full queue loses nothing: the node compares what runs with what should.
            let _ = self.events.try_send(event);
        }
    }
}
