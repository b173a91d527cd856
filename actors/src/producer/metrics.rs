//! What the producers count.

use std::sync::atomic::{AtomicI64, Ordering};

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
    /// Bytes of keys and values sent, by `compression`, before it.
    plain_bytes: IntCounterVec,
    /// Bytes of everything sent, by `compression`, after it.
    sent_bytes: IntCounterVec,
}

/// What one producer has sent; a repeated total counts once.
pub(super) struct Traffic {
    plain: (IntCounter, AtomicI64),
    sent: (IntCounter, AtomicI64),
}

impl Traffic {
    /// Counts what has been sent since these totals were last told.
    pub(super) fn count(&self, plain: i64, sent: i64) {
        for ((counter, known), total) in [(&self.plain, plain), (&self.sent, sent)] {
            let more = total - known.swap(total, Ordering::Relaxed);
            counter.inc_by(more.try_into().unwrap_or(0));
        }
    }
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
            plain_bytes: IntCounterVec::new(
                Opts::new(
                    "sluice_producer_plain_bytes_total",
                    "Bytes of keys and values sent to Kafka, before their compression",
                ),
                &["compression"],
            )?,
            sent_bytes: IntCounterVec::new(
                Opts::new(
                    "sluice_producer_sent_bytes_total",
                    "Bytes that producers have sent to Kafka, after compression and with all that goes with records",
                ),
                &["compression"],
            )?,
        };
        registry.register(Box::new(metrics.queued.clone()))?;
        registry.register(Box::new(metrics.buffered_bytes.clone()))?;
        registry.register(Box::new(metrics.records.clone()))?;
        registry.register(Box::new(metrics.record_bytes.clone()))?;
        registry.register(Box::new(metrics.errors.clone()))?;
        registry.register(Box::new(metrics.acknowledged.clone()))?;
        registry.register(Box::new(metrics.replaced.clone()))?;
        registry.register(Box::new(metrics.plain_bytes.clone()))?;
        registry.register(Box::new(metrics.sent_bytes.clone()))?;
        Ok(metrics)
    }

    /// What a producer with this compression sends.
    pub(super) fn traffic(&self, compression: &str) -> Traffic {
        let of = |counters: &IntCounterVec| {
            let counter = counters.with_label_values(&[compression]);
            (counter, AtomicI64::new(0))
        };
        Traffic {
            plain: of(&self.plain_bytes),
            sent: of(&self.sent_bytes),
        }
    }

    /// Counts what became of a record.
    pub(super) fn count(&self, outcome: &Result<Written, RecordError>) {
        match outcome {
            Ok(_) => self.records.inc(),
            Err(error) => self.failed(error),
        }
    }

    /// How many records were written.
    #[cfg(test)]
    pub(super) fn written(&self) -> u64 {
        self.records.get()
    }

    /// Counts an error.
    pub(super) fn failed(&self, error: &RecordError) {
        self.errors.with_label_values(&[error.code()]).inc();
    }
}
