//! For how long the client has not been heard.

use std::time::Duration;

use tokio::time::Instant;

/// Begins anew with every request that renews the session; goes on from one owner to the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Silence {
    since: Instant,
    /// What had passed before.
    before: Duration,
}

impl Silence {
    /// A silence that has lasted for `before` already.
    pub(super) fn after(before: Duration) -> Self {
        Self {
            since: Instant::now(),
            before,
        }
    }

    /// The client is heard now.
    pub(super) fn ends(&mut self) {
        *self = Self::after(Duration::ZERO);
    }

    /// How long it lasts by now.
    pub(super) fn lasts(&self) -> Duration {
        self.before.saturating_add(self.since.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_silence_goes_on_under_the_next_owner_until_the_client_is_heard() {
        let second = Duration::from_secs(1);
        let mut silence = Silence::after(4 * second);
        tokio::time::sleep(second).await;
        assert_eq!(silence.lasts(), 5 * second);
        silence.ends();
        tokio::time::sleep(second).await;
        assert_eq!(silence.lasts(), second);
    }
}
