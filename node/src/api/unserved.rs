//! Why a handler has no answer.

use sluice_types::Epoch;

use super::error::Problem;
use crate::ownership::{self, Owner};

/// Why a handler has no answer.
#[derive(Debug)]
pub(super) enum Unserved {
    /// The client is told this.
    Problem(Problem),
    /// Another node is to be asked.
    Elsewhere(Owner),
    /// The node that sent the request here is told that the session is not, and its present
    /// ownership, if it has one.
    Misdirected(Option<Epoch>),
}

impl From<Problem> for Unserved {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<ownership::Error> for Unserved {
    fn from(error: ownership::Error) -> Self {
        match error {
            ownership::Error::Elsewhere(owner) => Self::Elsewhere(owner),
            ownership::Error::Misdirected { epoch } => Self::Misdirected(epoch),
            other => Self::Problem(other.into()),
        }
    }
}
