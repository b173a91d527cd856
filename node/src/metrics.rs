//! The metrics of the HTTP API.

use actix_web::http::{Method, StatusCode};
use prometheus::{
    Error, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry,
};
use tokio::time::Instant;

/// Seconds; polls wait for up to five minutes.
const LATENCIES: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];

/// Counts requests by route template, never by path.
#[derive(Clone, Debug)]
pub(crate) struct HttpMetrics {
    requests: IntCounterVec,
    durations: HistogramVec,
    aborted: IntCounterVec,
    in_flight: IntGauge,
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
        };
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.durations.clone()))?;
        registry.register(Box::new(metrics.aborted.clone()))?;
        registry.register(Box::new(metrics.in_flight.clone()))?;
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
