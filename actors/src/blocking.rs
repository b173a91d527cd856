//! Threads for what blocks: librdkafka's questions to the network.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::Error;

/// Most questions under way at once.
const MAX_THREADS: usize = 64;
/// How long a thread without work stays.
const IDLE: Duration = Duration::from_secs(10);

/// A bounded pool of threads that may wait. Clones share it.
#[derive(Clone)]
pub(crate) struct Blocking(Arc<Pool>);

struct Pool(Option<Runtime>);

impl Drop for Pool {
    fn drop(&mut self) {
        // The last clone may be dropped on an async thread, which must not wait.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Blocking {
    pub(crate) fn new() -> Result<Self, Error> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(MAX_THREADS)
            .thread_keep_alive(IDLE)
            .thread_name("sluice-blocking")
            .build()
            .map_err(|error| Error::Internal(format!("cannot start threads: {error}")))?;
        Ok(Self(Arc::new(Pool(Some(runtime)))))
    }

    /// Runs `work` on a thread that may wait. The work goes on if the future is dropped.
    ///
    /// # Errors
    /// The work panicked, or the pool is shutting down.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = Result<T, Error>> + Send + 'static {
        let joined = self
            .0
            .0
            .as_ref()
            .map(|runtime| runtime.handle().spawn_blocking(work));
        async move {
            match joined {
                Some(joined) => joined
                    .await
                    .map_err(|error| Error::Internal(error.to_string())),
                None => Err(Error::ShuttingDown),
            }
        }
    }
}
