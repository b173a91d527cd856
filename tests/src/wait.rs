//! Waiting for a condition instead of for a while.

use std::fmt::Debug;
use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

/// How long between two looks at a condition.
const INTERVAL: Duration = Duration::from_millis(20);

/// What a look at a condition can return: it holds with a value, or it does not yet.
pub trait Condition {
    /// What is returned once the condition holds.
    type Value;

    /// Returns the value, or what was seen instead.
    fn settle(self) -> Result<Self::Value, String>;
}

impl Condition for bool {
    type Value = ();

    fn settle(self) -> Result<(), String> {
        if self {
            Ok(())
        } else {
            Err("it is false".to_owned())
        }
    }
}

impl<T> Condition for Option<T> {
    type Value = T;

    fn settle(self) -> Result<T, String> {
        self.ok_or_else(|| "there is none".to_owned())
    }
}

impl<T, E: Debug> Condition for Result<T, E> {
    type Value = T;

    fn settle(self) -> Result<T, String> {
        self.map_err(|error| format!("{error:?}"))
    }
}

/// Waits until `condition` holds and returns its value: `()` for a `bool`, the content of an
/// `Option` or a `Result`.
///
/// A look that has begun is cut off at the deadline too, so a hanging request cannot hang a test.
///
/// # Panics
/// At `deadline`, telling `reason` and what was seen last, at the caller's line.
///
/// ```
/// # use std::time::Duration;
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let mut looks = 0;
/// let value = sluice_tests::eventually(Duration::from_secs(5), "the third look works", async || {
///     looks += 1;
///     (looks == 3).then_some("here")
/// })
/// .await;
/// assert_eq!(value, "here");
/// # }
/// ```
#[track_caller]
pub fn eventually<C, O>(
    deadline: Duration,
    reason: &str,
    condition: C,
) -> impl Future<Output = O::Value>
where
    C: AsyncFnMut() -> O,
    O: Condition,
{
    let caller = Location::caller();
    async move {
        match look_until(deadline, condition).await {
            Ok(value) => value,
            Err(seen) => panic!("{caller}: {reason}: not within {deadline:?}, at last: {seen}"),
        }
    }
}

/// As [`eventually`], but returns `None` at the deadline.
pub(crate) async fn within<C, O>(deadline: Duration, condition: C) -> Option<O::Value>
where
    C: AsyncFnMut() -> O,
    O: Condition,
{
    look_until(deadline, condition).await.ok()
}

/// Looks again and again until the condition holds, or returns what was seen last.
pub(crate) async fn look_until<C, O>(
    deadline: Duration,
    mut condition: C,
) -> Result<O::Value, String>
where
    C: AsyncFnMut() -> O,
    O: Condition,
{
    let end = Instant::now() + deadline;
    let mut seen = "nothing, the first look did not end".to_owned();
    loop {
        match timeout_at(end, condition()).await {
            Ok(outcome) => match outcome.settle() {
                Ok(value) => return Ok(value),
                Err(instead) => seen = instead,
            },
            Err(_) => return Err(format!("{seen} (and a later look did not end)")),
        }
        if Instant::now() + INTERVAL >= end {
            return Err(seen);
        }
        sleep(INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_condition_that_comes_true_ends_the_wait() {
        let mut looks = 0;
        eventually(Duration::from_secs(1), "the fifth look", async || {
            looks += 1;
            looks == 5
        })
        .await;
        assert_eq!(looks, 5);
    }

    #[tokio::test]
    #[should_panic(expected = "the sun rises: not within 50ms, at last: \"dark\"")]
    async fn a_condition_that_stays_false_is_told_with_what_was_seen() {
        eventually(Duration::from_millis(50), "the sun rises", async || {
            Err::<(), _>("dark")
        })
        .await;
    }

    #[tokio::test]
    #[should_panic(expected = "an answer: not within 50ms")]
    async fn a_look_that_hangs_is_cut_off() {
        eventually(Duration::from_millis(50), "an answer", async || {
            std::future::pending::<bool>().await
        })
        .await;
    }
}
