//! What this crate counts.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::Error;
use crate::lag::LagReports;

/// Why sessions end without being asked to. Each is counted from 0, or Prometheus would see no
/// increase in the first.
const CAUSES: [&str; 4] = ["panicked", "fenced", "lease_lost", "failed"];

/// The sessions' metrics.
#[derive(Clone)]
pub(crate) struct Metrics {
    /// Sessions that run here.
    pub(crate) sessions: IntGauge,
    /// Those of them that wait for their partitions.
    pub(crate) joining: IntGauge,
    /// Polls by `outcome`: records, empty.
    pub(crate) polls: IntCounterVec,
    /// How long answered polls waited.
    pub(crate) poll_wait: Histogram,
    /// Records put into answers.
    pub(crate) records: IntCounter,
    /// Their bytes: keys, values, headers.
    pub(crate) record_bytes: IntCounter,
    /// Commits by `kind` (client, auto, start) and `outcome` (ok, retried, failed, unknown,
    /// fenced).
    pub(crate) commits: IntCounterVec,
    /// Assignments taken.
    pub(crate) rebalances: IntCounter,
    /// Sessions that ended without being asked to, by `cause`: panicked, fenced,
    /// lease_lost, failed.
    pub(crate) failures: IntCounterVec,
    /// Lag by group and topic.
    pub(crate) lag: LagReports,
    /// Handles that wait to be closed or are being closed.
    pub(crate) closer_backlog: IntGauge,
    /// Handles whose closing took too long, since the start.
    pub(crate) closer_abandoned: IntGauge,
}

impl Metrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// One of the names is taken.
    pub(crate) fn new(registry: &Registry, max_groups: usize) -> Result<Self, Error> {
        Self::register(registry, max_groups).map_err(|error| Error::Internal(error.to_string()))
    }

    fn register(registry: &Registry, max_groups: usize) -> prometheus::Result<Self> {
        let counters =
            |name, help, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let metrics = Self {
            sessions: IntGauge::new("sluice_sessions", "Consumer sessions that run on this node")?,
            joining: IntGauge::new(
                "sluice_sessions_joining",
                "Consumer sessions of this node that wait for their partitions",
            )?,
            polls: counters(
                "sluice_session_polls_total",
                "Polls answered, by whether they had records",
                &["outcome"],
            )?,
            poll_wait: Histogram::with_opts(
                HistogramOpts::new(
                    "sluice_session_poll_wait_seconds",
                    "How long answered polls waited for records",
                )
                .buckets(vec![0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 30.0, 120.0]),
            )?,
            records: IntCounter::new("sluice_session_records_total", "Records put into answers")?,
            record_bytes: IntCounter::new(
                "sluice_session_record_bytes_total",
                "Bytes of keys, values and headers put into answers",
            )?,
            commits: counters(
                "sluice_session_commits_total",
                "Commits, by what asked for them and what became of them",
                &["kind", "outcome"],
            )?,
            rebalances: IntCounter::new(
                "sluice_session_rebalances_total",
                "Assignments that sessions took",
            )?,
            failures: counters(
                "sluice_session_failures_total",
                "Sessions that ended without being asked to, by cause",
                &["cause"],
            )?,
            lag: LagReports::new(max_groups)?,
            closer_backlog: IntGauge::new(
                "sluice_closer_backlog",
                "Kafka handles that wait to be closed or are being closed",
            )?,
            closer_abandoned: IntGauge::new(
                "sluice_closer_abandoned",
                "Kafka handles whose closing took too long and was given up, since the start",
            )?,
        };
        for cause in CAUSES {
            metrics.failures.with_label_values(&[cause]);
        }
        registry.register(Box::new(metrics.sessions.clone()))?;
        registry.register(Box::new(metrics.joining.clone()))?;
        registry.register(Box::new(metrics.polls.clone()))?;
        registry.register(Box::new(metrics.poll_wait.clone()))?;
        registry.register(Box::new(metrics.records.clone()))?;
        registry.register(Box::new(metrics.record_bytes.clone()))?;
        registry.register(Box::new(metrics.commits.clone()))?;
        registry.register(Box::new(metrics.rebalances.clone()))?;
        registry.register(Box::new(metrics.failures.clone()))?;
        registry.register(Box::new(metrics.lag.clone()))?;
        registry.register(Box::new(metrics.closer_backlog.clone()))?;
        registry.register(Box::new(metrics.closer_abandoned.clone()))?;
        Ok(metrics)
    }
}
