//! Where the answer to a request goes.

use tokio::sync::oneshot;

use crate::Error;

/// Takes the answer to one request. Dropped by a panic it says that the session failed: who waits
/// learns that before the actor has come to its end, and could not find out by itself. Dropped in
/// any other way it says nothing.
pub(crate) struct Reply<T>(Option<oneshot::Sender<Result<T, Error>>>);

impl<T> Reply<T> {
    /// A reply, and where it comes out.
    pub(crate) fn new() -> (Self, oneshot::Receiver<Result<T, Error>>) {
        let (sender, answer) = oneshot::channel();
        (Self(Some(sender)), answer)
    }

    /// Answers; gives the answer back if nobody waits for it any more.
    pub(crate) fn send(mut self, answer: Result<T, Error>) -> Result<(), Result<T, Error>> {
        match self.0.take() {
            Some(sender) => sender.send(answer),
            None => Err(answer),
        }
    }

    /// Whether nobody waits any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.as_ref().is_none_or(oneshot::Sender::is_closed)
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(sender) = self.0.take()
        {
            let _ = sender.send(Err(Error::SessionFailed));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn a_reply_that_a_panic_drops_says_so() {
        let (reply, mut answer) = Reply::<()>::new();
        let failing = AssertUnwindSafe(|| {
            let _reply = reply;
            panic!("of a test");
        });
        assert!(catch_unwind(failing).is_err());
        assert_eq!(answer.try_recv(), Ok(Err(Error::SessionFailed)));
    }

    #[test]
    fn a_reply_that_is_only_dropped_says_nothing() {
        let (reply, mut answer) = Reply::<()>::new();
        assert!(!reply.is_closed());
        drop(reply);
        assert_eq!(answer.try_recv(), Err(oneshot::error::TryRecvError::Closed));
    }
}
