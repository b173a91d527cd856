//! The body of an answer, which knows when the connection has taken it whole.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;
use futures::future::LocalBoxFuture;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, sleep_until};

/// Most bytes handed to the connection at once, so that little of an answer is out of our sight.
const CHUNK: usize = 64 * 1024;

/// How long a client may take no byte before its answer counts as lost.
pub(super) const STALL: Duration = Duration::from_secs(5);

/// A client took no byte for [`STALL`].
#[derive(Debug, thiserror::Error)]
#[error("the client took no byte of its answer for {STALL:?}")]
pub(super) struct Stalled;

/// Hands a body out in chunks and calls `delivered` when the connection has taken the last one
/// and asks for more. Dropped before that, or stalled, it drops `delivered` uncalled.
///
/// ```text
/// connection asks:   (first?)   chunk    chunk    last    (more?)   (more?)
///                       |         |        |        |        |         |
/// progress timer:     start     reset    reset    reset    reset       `-> delivered()
/// no question for 5 s: `delivered` dropped, the next question is an error and ends the connection
/// ```
///
/// A client may have gone without anybody having looked: it left at the moment when the records
/// came, or while this process stood still. So the first question is answered only when the
/// runtime has asked the kernel what has become of its connections, and the last one only when the
/// connection has been looked at since: actix drops the body of one that it has found closed, but
/// only after it has asked for as much of it as it can have.
pub(super) struct Handover<F> {
    rest: Bytes,
    stage: Stage,
    shared: Rc<Shared<F>>,
    watch: Option<JoinHandle<()>>,
}

enum Stage {
    /// Nothing is handed out: the kernel is to be asked about the connection.
    Asking(LocalBoxFuture<'static, ()>),
    /// It is being handed out.
    Open,
    /// All is handed out; the connection has been asked to look at what it has.
    Looked,
}

struct Shared<F> {
    delivered: RefCell<Option<F>>,
    asked: Cell<Instant>,
    stalled: Cell<bool>,
}

impl<F: FnOnce() + 'static> Handover<F> {
    /// A body, and what to call when it has been taken.
    pub(super) fn new(body: Bytes, delivered: F) -> Self {
        Self {
            rest: body,
            stage: Stage::Asking(Box::pin(yield_now())),
            shared: Rc::new(Shared {
                delivered: RefCell::new(Some(delivered)),
                asked: Cell::new(Instant::now()),
                stalled: Cell::new(false),
            }),
            watch: None,
        }
    }

    fn watch(&mut self) {
        let shared = Rc::clone(&self.shared);
        self.watch = Some(actix_web::rt::spawn(async move {
            loop {
                let until = shared.asked.get() + STALL;
                if until <= Instant::now() {
                    break;
                }
                sleep_until(until).await;
            }
            shared.stalled.set(true);
            let lost = shared.delivered.borrow_mut().take();
            drop(lost);
        }));
    }
}

impl<F> Drop for Handover<F> {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.abort();
        }
        // The watch may live a little longer than this body; what was not delivered is lost now.
        let lost = self.shared.delivered.borrow_mut().take();
        drop(lost);
    }
}

impl<F: FnOnce() + 'static> MessageBody for Handover<F> {
    type Error = Stalled;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.rest.len() as u64)
    }

    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Stalled>>> {
        let this = self.get_mut();
        if this.shared.stalled.get() {
            return Poll::Ready(Some(Err(Stalled)));
        }
        this.shared.asked.set(Instant::now());
        if this.watch.is_none() {
            this.watch();
        }
        if let Stage::Asking(asked) = &mut this.stage {
            ready!(asked.as_mut().poll(cx));
            this.stage = Stage::Open;
        }
        if this.rest.is_empty() {
            if !matches!(this.stage, Stage::Looked) {
                this.stage = Stage::Looked;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let delivered = this.shared.delivered.borrow_mut().take();
            if let Some(delivered) = delivered {
                delivered();
            }
            return Poll::Ready(None);
        }
        let chunk = this.rest.split_to(this.rest.len().min(CHUNK));
        Poll::Ready(Some(Ok(chunk)))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Says what became of it: 1 called, -1 dropped.
    struct Fate(Rc<Cell<i8>>);

    impl Drop for Fate {
        fn drop(&mut self) {
            if self.0.get() == 0 {
                self.0.set(-1);
            }
        }
    }

    fn handover(length: usize) -> (Handover<impl FnOnce()>, Rc<Cell<i8>>) {
        let told = Rc::new(Cell::new(0));
        let fate = Fate(Rc::clone(&told));
        let body = Bytes::from(vec![b'x'; length]);
        (Handover::new(body, move || fate.0.set(1)), told)
    }

    async fn next<F: FnOnce() + 'static>(body: &mut Handover<F>) -> Option<Result<Bytes, Stalled>> {
        poll_fn(|cx| Pin::new(&mut *body).poll_next(cx)).await
    }

    #[actix_web::test]
    async fn an_answer_is_delivered_when_more_is_asked_for_behind_its_end() {
        let (mut body, told) = handover(CHUNK + 1);
        assert_eq!(next(&mut body).await.unwrap().unwrap().len(), CHUNK);
        assert_eq!(next(&mut body).await.unwrap().unwrap().len(), 1);
        assert_eq!(told.get(), 0);
        assert!(next(&mut body).await.is_none());
        assert_eq!(told.get(), 1);
        drop(body);
        assert_eq!(told.get(), 1);
    }

    #[actix_web::test]
    async fn an_answer_whose_connection_is_gone_is_lost() {
        let (mut body, told) = handover(10);
        assert!(next(&mut body).await.is_some());
        drop(body);
        assert_eq!(told.get(), -1);
        let (unasked, told) = handover(10);
        drop(unasked);
        assert_eq!(told.get(), -1);
    }

    /// As actix does with a connection that it finds closed when it asks for the body: it asks as
    /// far as it can, and no more.
    #[actix_web::test]
    async fn an_answer_is_lost_whose_connection_is_found_closed_when_it_begins() {
        for at_once in [false, true] {
            let (mut body, told) = handover(10);
            if !at_once {
                assert!(next(&mut body).await.is_some());
            }
            let all = poll_fn(|cx| {
                while let Poll::Ready(Some(_)) = Pin::new(&mut body).poll_next(cx) {}
                Poll::Ready(())
            });
            all.await;
            assert_eq!(told.get(), 0);
            drop(body);
            assert_eq!(told.get(), -1);
        }
    }

    #[actix_web::test]
    async fn an_answer_that_nobody_takes_is_lost_after_five_seconds() {
        tokio::time::pause();
        let (mut body, told) = handover(3 * CHUNK);
        for _ in 0..2 {
            assert!(next(&mut body).await.unwrap().is_ok());
            tokio::time::sleep(STALL - Duration::from_millis(1)).await;
            assert_eq!(told.get(), 0, "progress resets the timer");
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert_eq!(told.get(), -1);
        assert!(next(&mut body).await.unwrap().is_err());
    }
}
