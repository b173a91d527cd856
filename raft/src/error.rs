//! What can keep the registry from an answer.

/// Why the registry did not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No majority of the nodes can be reached: nothing has changed.
    #[error("the registry has no quorum")]
    NoQuorum,
    /// The command was handed over and may or may not take effect.
    #[error("the registry did not say whether the command took effect")]
    OutcomeUnknown,
}
