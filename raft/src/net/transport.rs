//! How frames travel; the node brings it.

use async_trait::async_trait;
use tokio::time::Instant;

/// Why a frame has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// Nothing of the frame has reached the other side: no connection was made.
    #[error("not reached: {0}")]
    NotReached(String),
    /// The frame may have reached the other side, and may have had its effect.
    #[error("no answer: {0}")]
    NoAnswer(String),
}

/// Carries a frame to a member and its answer back.
///
/// # To be kept for correctness
/// - A frame is handed to the member's [`Consensus::handle`](crate::Consensus::handle) whole or
///   not at all, and at most once.
/// - [`TransportError::NotReached`] only if that has not happened and will not happen.
/// - Only who has the cluster's secret gets frames handed over: a frame is trusted.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Sends a frame to an address, `HOST:PORT` as the member advertises it and resolved anew at
    /// each connect, and returns the answer.
    ///
    /// Who drops the future takes no interest in the answer any more; the frame may arrive.
    ///
    /// # Errors
    /// [`TransportError`], at the deadline at the latest.
    async fn call(
        &self,
        address: &str,
        frame: Vec<u8>,
        deadline: Instant,
    ) -> Result<Vec<u8>, TransportError>;
}
