//! What all sessions of a node share.

use std::sync::Arc;

use sluice_types::Clock;

use crate::blocking::Blocking;
use crate::kafka::{Closer, Cluster};
use crate::metrics::Metrics;
use crate::schema_registry::Schemas;
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
    pub(crate) schemas: Option<Schemas>,
}
