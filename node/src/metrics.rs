//! The metrics of the HTTP API, and of what the node sees of Kafka.

use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use prometheus::{
    Error, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry,
};
use tokio::time::Instant;

use crate::peer::{Answered, PeerError, SERVED};

/// Seconds; polls wait for up to five minutes.
const LATENCIES: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];

/// Seconds; what another node adds is a fraction of a millisecond while all is well.
const HOPS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 5.0,
];

/// What can come of sending a request on.
const OUTCOMES: [&str; 7] = [
    "answered",
    "misdirected",
    "unreachable",
    "lost",
    "timed_out",
    "no_room",
    "refused",
];

/// The codes of the answers with 500. Each is counted from 0, or Prometheus would see no increase in
/// the first.
const FAULTS: [&str; 2] = ["internal", "session_failed"];

/// Registers whether Kafka is reached: not, until somebody has looked.
pub(crate) fn kafka_reached(registry: &Registry) -> Result<IntGauge, Error> {
    let reached = IntGauge::new(
        "sluice_kafka_reached",
        "1 while a broker of Kafka answers this node, which asks every two seconds",
    )?;
    registry.register(Box::new(reached.clone()))?;
    Ok(reached)
}

/// Counts requests by route template, never by path.
#[derive(Clone, Debug)]
pub(crate) struct HttpMetrics {
    requests: IntCounterVec,
    faults: IntCounterVec,
    durations: HistogramVec,
    aborted: IntCounterVec,
    in_flight: IntGauge,
    hops: IntCounterVec,
    hop_added: Histogram,
}

/// One request being served. Dropped unfinished, its client has gone.
#[derive(Debug)]
pub(crate) struct InFlight {
    metrics: HttpMetrics,
    method: &'static str,
    route: &'static str,
    duration: Histogram,
    begun: Instant,
    finished: bool,
}

impl HttpMetrics {
    /// Registers the metrics.
    pub(crate) fn register(registry: &Registry) -> Result<Self, Error> {
        let metrics = Self {
            requests: IntCounterVec::new(
                Opts::new(
                    "sluice_http_requests_total",
                    "Requests answered, by method, route template, status and error code",
                ),
                &["method", "route", "status", "code"],
            )?,
            faults: IntCounterVec::new(
                Opts::new(
                    "sluice_http_internal_errors_total",
                    "Requests answered with 500, by error code",
                ),
                &["code"],
            )?,
            durations: HistogramVec::new(
                HistogramOpts::new(
                    "sluice_http_request_duration_seconds",
                    "Time from a request's head to its answer's, the wait of polls included",
                )
                .buckets(LATENCIES.to_vec()),
                &["method", "route"],
            )?,
            aborted: IntCounterVec::new(
                Opts::new(
                    "sluice_http_requests_aborted_total",
                    "Requests whose client went before the answer",
                ),
                &["method", "route"],
            )?,
            in_flight: IntGauge::new("sluice_http_in_flight_requests", "Requests being served")?,
            hops: IntCounterVec::new(
                Opts::new(
                    "sluice_forward_hops_total",
                    "Requests sent on to another node, by what came of that",
                ),
                &["outcome"],
            )?,
            hop_added: Histogram::with_opts(
                HistogramOpts::new(
                    "sluice_forward_added_seconds",
                    "What sending a request on adds to it: the time of the hop less that which the other node served it",
                )
                .buckets(HOPS.to_vec()),
            )?,
        };
        for outcome in OUTCOMES {
            metrics.hops.with_label_values(&[outcome]);
        }
        for code in FAULTS {
            metrics.faults.with_label_values(&[code]);
        }
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.faults.clone()))?;
        registry.register(Box::new(metrics.durations.clone()))?;
        registry.register(Box::new(metrics.aborted.clone()))?;
        registry.register(Box::new(metrics.in_flight.clone()))?;
        registry.register(Box::new(metrics.hops.clone()))?;
        registry.register(Box::new(metrics.hop_added.clone()))?;
        Ok(metrics)
    }

    /// A request has come.
    pub(crate) fn begin(&self, method: &Method, route: &'static str) -> InFlight {
        self.in_flight.inc();
        let method = bounded(method);
        InFlight {
            metrics: self.clone(),
            method,
            route,
            duration: self.durations.with_label_values(&[method, route]),
            begun: Instant::now(),
            finished: false,
        }
    }
}

impl HttpMetrics {
    /// A request was sent on, and this came of it after so long; of an answer, its headers tell
    /// how much of that was its owner's.
    pub(crate) fn sent_on(&self, answered: &Result<Answered, PeerError>, lasted: Duration) {
        let outcome = match answered {
            Ok(Answered::Reply { headers, .. }) => {
                let served = headers.get(SERVED).and_then(|time| time.to_str().ok());
                // Of an older release it is not known.
                if let Some(served) = served.and_then(|micros| micros.parse().ok()) {
                    let added = lasted.saturating_sub(Duration::from_micros(served));
                    self.hop_added.observe(added.as_secs_f64());
                }
                "answered"
            }
            Ok(Answered::Misdirected { .. }) => "misdirected",
            Err(PeerError::Unreachable(_)) => "unreachable",
            Err(PeerError::Lost(_)) => "lost",
            Err(PeerError::TimedOut) => "timed_out",
            Err(PeerError::NoRoom) => "no_room",
            Err(PeerError::Refused) => "refused",
        };
        self.hops.with_label_values(&[outcome]).inc();
    }
}

impl InFlight {
    /// Its answer is there.
    pub(crate) fn finish(mut self, status: StatusCode, code: Option<&'static str>) {
        self.finished = true;
        self.duration.observe(self.begun.elapsed().as_secs_f64());
        let labels = [
            self.method,
            self.route,
            status.as_str(),
            code.unwrap_or("ok"),
        ];
        self.metrics.requests.with_label_values(&labels).inc();
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            let code = code.unwrap_or("internal");
            self.metrics.faults.with_label_values(&[code]).inc();
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
        if !self.finished {
            let labels = [self.method, self.route];
            self.metrics.aborted.with_label_values(&labels).inc();
        }
    }
}

/// Clients may send any word as a method; a label may not be any word.
fn bounded(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::error::Code;

    fn faults(registry: &Registry) -> Vec<(String, f64)> {
        let families = registry.gather();
        let name = "sluice_http_internal_errors_total";
        let family = families.iter().find(|family| family.name() == name);
        let counts = family.into_iter().flat_map(|family| family.get_metric());
        let count = |metric: &prometheus::proto::Metric| {
            let code = metric.get_label()[0].value().to_owned();
            (code, metric.get_counter().get_value())
        };
        counts.map(count).collect()
    }

    #[test]
    fn answers_with_500_are_counted_from_0() {
        let registry = Registry::new();
        let metrics = HttpMetrics::register(&registry).unwrap();
        let codes = Code::ALL.iter().map(|code| code.meaning());
        let codes = codes.filter(|meaning| meaning.status == StatusCode::INTERNAL_SERVER_ERROR);
        let mut expected: Vec<_> = codes
            .map(|meaning| (meaning.code.to_owned(), 0.0))
            .collect();
        expected.sort_by(|one, other| one.0.cmp(&other.0));
        assert_eq!(faults(&registry), expected);

        let answer = |status, code| metrics.begin(&Method::GET, "/livez").finish(status, code);
        answer(StatusCode::INTERNAL_SERVER_ERROR, Some("internal"));
        answer(StatusCode::INTERNAL_SERVER_ERROR, None);
        answer(StatusCode::SERVICE_UNAVAILABLE, Some("shutting_down"));
        answer(StatusCode::OK, None);
        expected[0].1 = 2.0;
        assert_eq!(faults(&registry), expected);
    }
}
