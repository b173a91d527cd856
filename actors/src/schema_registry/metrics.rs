//! What is counted of the schema registry.

use prometheus::{IntCounterVec, Opts, Registry};

/// The schema registry's metrics.
#[derive(Clone)]
pub(super) struct RegistryMetrics {
    /// Requests by `outcome`: ok, not_found, failed.
    pub(super) requests: IntCounterVec,
}

impl RegistryMetrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let requests = IntCounterVec::new(
            Opts::new(
                "sluice_schema_registry_requests_total",
                "Requests to the schema registry, by what came of them",
            ),
            &["outcome"],
        )?;
        for outcome in ["ok", "not_found", "failed"] {
            requests.with_label_values(&[outcome]);
        }
        registry.register(Box::new(requests.clone()))?;
        Ok(Self { requests })
    }
}
