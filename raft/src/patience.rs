//! Waiting in tests.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long anything may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until there is what is asked for.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} does not come");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Looks all the time whether something holds that has to.
pub(crate) async fn always(time: Duration, mut look: impl FnMut()) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        look();
        sleep(Duration::from_millis(20)).await;
    }
}
