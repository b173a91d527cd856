//! One request, as a handler sees it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::dev::Payload;
use serde_json::Value;
use sluice_actors::Deadline;
use sluice_types::ConsumerId;
use tokio::time::{Instant, timeout_at};
use tracing::Span;

use super::body::read_json;
use super::error::{Code, Problem, timed_out};
use super::openapi::Port;
use super::request::{Faults, Query};
use super::state::State;
use crate::ownership;

/// The deadline of every request but polls.
const DEADLINE: Duration = Duration::from_secs(30);

/// How much longer than its wait a poll may take.
const POLL_GRACE: Duration = Duration::from_secs(5);

/// The header that lowers a deadline, in milliseconds.
pub(super) const TIMEOUT_HEADER: &str = "x-request-timeout-ms";

/// One request.
pub(crate) struct Call {
    state: Arc<State>,
    http: HttpRequest,
    payload: Payload,
    received: Instant,
}

/// The time that a request has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    received: Instant,
    end: Instant,
    on_timeout: fn() -> Problem,
}

impl Call {
    pub(super) fn new(
        state: Arc<State>,
        http: HttpRequest,
        payload: Payload,
        received: Instant,
    ) -> Self {
        Self {
            state,
            http,
            payload,
            received,
        }
    }

    /// What handlers work with.
    pub(super) fn state(&self) -> Arc<State> {
        Arc::clone(&self.state)
    }

    /// The session that the path names.
    ///
    /// # Errors
    /// 404: what is no id is no session either.
    pub(super) fn consumer_id(&self) -> Result<ConsumerId, Problem> {
        let id = self
            .path("id")
            .parse::<ConsumerId>()
            .map_err(|_| Problem::from(ownership::Error::ConsumerNotFound))?;
        Span::current().record("consumer_id", id.as_str());
        Ok(id)
    }

    /// The port that it came to.
    pub(super) fn port(&self) -> Port {
        self.http
            .app_data::<actix_web::web::Data<Port>>()
            .map_or(Port::Client, |port| *port.get_ref())
    }

    /// When the request came.
    pub(super) fn received(&self) -> Instant {
        self.received
    }

    /// A part of the path.
    pub(super) fn path(&self, name: &str) -> &str {
        self.http.match_info().get(name).unwrap_or_default()
    }

    /// The query, for what has one.
    pub(super) fn query(&self) -> (Query, Faults) {
        let mut faults = Faults::default();
        self.check_timeout(&mut faults);
        (Query::parse(self.http.query_string()), faults)
    }

    /// Refuses query parameters; what parses the body adds its faults to these.
    pub(super) fn faults(&self) -> Faults {
        let (query, mut faults) = self.query();
        query.finish(&mut faults);
        faults
    }

    /// Refuses query parameters, for what has no body either.
    pub(super) fn check_empty(&self) -> Result<(), Problem> {
        self.faults().into_result(Some(()))
    }

    /// The body, if there is one.
    pub(super) async fn body(&mut self) -> Result<Option<Value>, Problem> {
        let end = self.budget().end;
        let headers = self.http.headers();
        let body = read_json(&mut self.payload, headers, self.state.body_bytes);
        timeout_at(end, body).await.unwrap_or_else(|_| {
            Err(Problem::new(
                Code::RequestTimeout,
                "The body did not arrive within the request's deadline; send it faster.",
            ))
        })
    }

    /// As [`body`](Self::body), where one is needed.
    pub(super) async fn required_body(&mut self) -> Result<Option<Value>, Problem> {
        match self.body().await? {
            Some(body) => Ok(Some(body)),
            None => super::body::parse(b"").map(Some),
        }
    }

    /// The time for a request that changes nothing.
    pub(super) fn budget(&self) -> Budget {
        self.budget_of(DEADLINE, timed_out)
    }

    /// The time for a request that writes: at its end it is not known what has happened.
    pub(super) fn write_budget(&self) -> Budget {
        self.budget_of(DEADLINE, || {
            Problem::new(
                Code::OutcomeUnknown,
                "The deadline passed before the outcome was known: it may or may not have happened; repeat it, or look.",
            )
        })
    }

    /// The time for a poll, and how long it may wait for records within that.
    pub(super) fn poll_budget(&self, wait: Duration) -> (Budget, Duration) {
        let budget = self.budget_of(wait + POLL_GRACE, timed_out);
        let total = budget.end - self.received;
        let margin = (total / 10).clamp(Duration::from_millis(10), Duration::from_millis(250));
        (budget, wait.min(total.saturating_sub(margin)))
    }

    fn budget_of(&self, most: Duration, on_timeout: fn() -> Problem) -> Budget {
        let asked = self.asked_timeout().and_then(Result::ok).unwrap_or(most);
        Budget {
            received: self.received,
            end: self.received + most.min(asked),
            on_timeout,
        }
    }

    /// What the client's header says; wrong values are faults of the request.
    fn asked_timeout(&self) -> Option<Result<Duration, ()>> {
        let value = self.http.headers().get(TIMEOUT_HEADER)?;
        let millis = value
            .to_str()
            .ok()
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|text| text.parse::<u64>().ok())
            .filter(|millis| *millis > 0);
        // Far beyond any deadline, so that adding it to a time cannot overflow.
        let millis = millis.map(|millis| millis.min(86_400_000));
        Some(millis.map(Duration::from_millis).ok_or(()))
    }

    fn check_timeout(&self, faults: &mut Faults) {
        if self.asked_timeout() == Some(Err(())) {
            faults.add(TIMEOUT_HEADER, "must be a positive integer of milliseconds");
        }
    }
}

impl Budget {
    /// The deadline for those who do the work: a little before the end, so that their own word
    /// for it arrives.
    pub(super) fn deadline(self) -> Deadline {
        let total = self.end - self.received;
        let margin = (total / 20).min(Duration::from_millis(200));
        let end = self.end - margin;
        Deadline::after(end.saturating_duration_since(Instant::now()))
    }

    /// Does the work within the time.
    pub(super) async fn run<T, E: Into<Problem>>(
        self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Problem> {
        match timeout_at(self.end, work).await {
            Ok(done) => done.map_err(Into::into),
            Err(_) => Err((self.on_timeout)()),
        }
    }
}
