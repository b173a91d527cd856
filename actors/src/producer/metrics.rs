//! What the producers count.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::record::{RecordError, Written};

/// The producers' metrics. Clones are the same.
#[derive(Clone)]
pub(super) struct ProducerMetrics {
    /// Records with the producers that Kafka has not acknowledged.
    pub(super) queued: IntGauge,
    /// Bytes of bodies and of queued records.
    pub(super) buffered_bytes: IntGauge,
    /// Records written.
    records: IntCounter,
    /// Their bytes: keys, values, headers.
    pub(super) record_bytes: IntCounter,
    /// Records not written, or of which it is not known, by `code`.
    errors: IntCounterVec,
    /// From the first record in the queue until the last of the request was acknowledged.
    pub(super) acknowledged: Histogram,
    /// Producers given up because of a fatal error.
    pub(super) replaced: IntCounter,
}

impl ProducerMetrics {
    /// Registers the metrics.
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            queued: IntGauge::new(
                "sluice_producer_queued_records",
                "Records that Kafka has not acknowledged yet",
            )?,
            buffered_bytes: IntGauge::new(
                "sluice_producer_buffered_bytes",
                "Bytes that requests to write hold: bodies, and records not acknowledged",
            )?,
            records: IntCounter::new("sluice_producer_records_total", "Records written")?,
            record_bytes: IntCounter::new(
                "sluice_producer_record_bytes_total",
                "Bytes of keys, values and headers handed to the producers",
            )?,
            errors: IntCounterVec::new(
                Opts::new(
                    "sluice_producer_errors_total",
                    "Records not written, or of which that is not known, by error code",
                ),
                &["code"],
            )?,
            acknowledged: Histogram::with_opts(
                HistogramOpts::new(
                    "sluice_producer_acknowledged_seconds",
                    "Time from a request's first record in the queue to its last acknowledgement",
                )
                .buckets(vec![
                    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
                    30.0,
                ]),
            )?,
            replaced: IntCounter::new(
                "sluice_producer_replaced_total",
                "Kafka producers given up because of an error that they do not recover from",
            )?,
        };
        registry.register(Box::new(metrics.queued.clone()))?;
        registry.register(Box::new(metrics.buffered_bytes.clone()))?;
        registry.register(Box::new(metrics.records.clone()))?;
        registry.register(Box::new(metrics.record_bytes.clone()))?;
        registry.register(Box::new(metrics.errors.clone()))?;
        registry.register(Box::new(metrics.acknowledged.clone()))?;
        registry.register(Box::new(metrics.replaced.clone()))?;
        Ok(metrics)
    }

    /// Counts what became of a record.
    pub(super) fn count(&self, outcome: &Result<Written, RecordError>) {
        match outcome {
            Ok(_) => self.records.inc(),
            Err(error) => self.failed(error),
        }
    }

    /// Counts an error.
    pub(super) fn failed(&self, error: &RecordError) {
        self.errors.with_label_values(&[error.code()]).inc();
    }
}
