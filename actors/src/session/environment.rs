//! What all sessions of a node share.

use std::num::NonZeroU64;
use std::sync::Arc;

use sluice_types::Clock;

use crate::blocking::Blocking;
use crate::kafka::{Closer, Cluster};
use crate::metrics::Metrics;
use crate::{AnswerBudget, Authority, Config};

/// What all sessions of a node share.
pub(crate) struct Environment {
    pub(crate) config: Config,
    pub(crate) authority: Arc<dyn Authority>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) blocking: Blocking,
    pub(crate) closer: Closer,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) metrics: Metrics,
    pub(crate) answers: AnswerBudget,
}

impl Environment {
    /// Bytes that an answer may have now, so that all answers on their way stay within the
    /// node's budget; never less than one byte, which lets one record through.
    pub(crate) fn answer_room(&self, wanted: NonZeroU64) -> u64 {
        wanted.min(self.answers.room()).get()
    }
}
