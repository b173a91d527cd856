//! Where consumer handles are closed: a bounded pool of threads, with a deadline.
//!
//! Closing blocks: a tenth of a second as a rule, minutes if a broker does not answer. A handle
//! dropped anywhere ends here, so no async thread ever waits for one.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Most threads that close handles at once.
const MAX_WORKERS: usize = 32;
/// How long a thread without work stays.
const IDLE: Duration = Duration::from_secs(5);

type Job = Box<dyn Any + Send>;

/// The pool. Clones share it.
#[derive(Clone)]
pub(crate) struct Closer(Arc<Pool>);

struct Pool {
    timeout: Duration,
    state: Mutex<State>,
    work: Condvar,
    done: Notify,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    /// Threads closing something, by number, and since when.
    busy: HashMap<u64, Instant>,
    free: usize,
    next_worker: u64,
    abandoned: u64,
}

impl Closer {
    /// A pool that gives a handle up when closing it takes longer than `timeout`: its thread is
    /// replaced and left to end by itself.
    pub(crate) fn new(timeout: Duration) -> Self {
        Self(Arc::new(Pool {
            timeout,
            state: Mutex::default(),
            work: Condvar::new(),
            done: Notify::new(),
        }))
    }

    /// Drops `job` on one of the pool's threads.
    pub(crate) fn close(&self, job: Job) {
        let mut state = self.0.lock();
        state.queue.push_back(job);
        self.0.give_up_overdue(&mut state);
        self.0.work.notify_one();
        self.staff(&mut state);
    }

    /// How many handles wait or are being closed.
    pub(crate) fn backlog(&self) -> usize {
        let state = self.0.lock();
        state.queue.len() + state.busy.len()
    }

    /// How many handles were given up so far.
    pub(crate) fn abandoned(&self) -> u64 {
        self.0.lock().abandoned
    }

    /// Waits until all is closed or given up, at most until `until`; returns what is left.
    pub(crate) async fn drained(&self, until: Instant) -> usize {
        loop {
            let done = self.0.done.notified();
            let left = {
                let mut state = self.0.lock();
                self.0.give_up_overdue(&mut state);
                self.staff(&mut state);
                state.queue.len() + state.busy.len()
            };
            if left == 0 || Instant::now() >= until {
                return left;
            }
            let look_again = until.min(Instant::now() + Duration::from_millis(250));
            let _ = tokio::time::timeout_at(look_again, done).await;
        }
    }

    fn staff(&self, state: &mut State) {
        while state.queue.len() > state.free && state.busy.len() + state.free < MAX_WORKERS {
            let number = state.next_worker;
            let pool = self.0.clone();
            let named = thread::Builder::new().name("sluice-closer".to_owned());
            if let Err(error) = named.spawn(move || pool.run(number)) {
                tracing::error!(%error, "cannot start a thread to close kafka handles");
                return;
            }
            state.next_worker += 1;
            state.free += 1;
        }
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_up_overdue(&self, state: &mut State) {
        let before = state.busy.len();
        state.busy.retain(|_, since| since.elapsed() < self.timeout);
        let overdue = before - state.busy.len();
        if overdue > 0 {
            state.abandoned += overdue as u64;
            tracing::warn!(
                handles = overdue,
                "closing kafka handles took too long, their threads are left behind"
            );
        }
    }

    fn run(&self, number: u64) {
        let mut state = self.lock();
        loop {
            let Some(job) = state.queue.pop_front() else {
                let (guard, waited) = self
                    .work
                    .wait_timeout(state, IDLE)
                    .unwrap_or_else(PoisonError::into_inner);
                state = guard;
                self.give_up_overdue(&mut state);
                if waited.timed_out() && state.queue.is_empty() {
                    state.free -= 1;
                    return;
                }
                continue;
            };
            state.free -= 1;
            state.busy.insert(number, Instant::now());
            drop(state);
            let closed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(job)));
            if closed.is_err() {
                tracing::error!("closing a kafka handle panicked");
            }
            state = self.lock();
            let given_up = state.busy.remove(&number).is_none();
            self.done.notify_waiters();
            if given_up {
                return;
            }
            state.free += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    struct Stuck(mpsc::Receiver<()>);

    impl Drop for Stuck {
        fn drop(&mut self) {
            let _ = self.0.recv();
        }
    }

    #[tokio::test]
    async fn handles_are_closed_side_by_side() {
        let closer = Closer::new(Duration::from_secs(60));
        let (release, mut jobs) = (Vec::new(), Vec::new());
        let mut release = release;
        for _ in 0..8 {
            let (sender, receiver) = mpsc::channel::<()>();
            release.push(sender);
            jobs.push(Stuck(receiver));
        }
        for job in jobs {
            closer.close(Box::new(job));
        }
        assert_eq!(closer.backlog(), 8);
        drop(release);
        assert_eq!(
            closer
                .drained(Instant::now() + Duration::from_secs(10))
                .await,
            0
        );
    }

    #[tokio::test]
    async fn a_handle_that_cannot_be_closed_is_given_up() {
        let closer = Closer::new(Duration::from_millis(50));
        let (_release, receiver) = mpsc::channel::<()>();
        closer.close(Box::new(Stuck(receiver)));
        assert_eq!(
            closer
                .drained(Instant::now() + Duration::from_secs(10))
                .await,
            0
        );
        assert_eq!(closer.abandoned(), 1);
        closer.close(Box::new(()));
        assert_eq!(
            closer
                .drained(Instant::now() + Duration::from_secs(10))
                .await,
            0
        );
    }
}
