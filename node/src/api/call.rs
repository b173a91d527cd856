//! One request, as a handler sees it.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::Future;
use std::num::NonZeroU64;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::dev::Payload;
use actix_web::http::Method;
use actix_web::http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use serde_json::Value;
use sluice_actors::{Budget as BytesBudget, Charge, Deadline, Error as KafkaError};
use sluice_types::{ConsumerId, NodeId, TopicName};
use tokio::time::{Instant, timeout_at};
use tracing::Span;

use super::body::{check_type, json, read, read_metered};
use super::error::{Code, Problem, queue_full, timed_out};
use super::openapi::Port;
use super::request::{Faults, Query};
use super::state::State;
use super::unserved::Unserved;
use crate::ownership::{self, Hop};
use crate::peer::{ELAPSED, NEW_ID, ROOM};

/// The deadline of every request but polls.
const DEADLINE: Duration = Duration::from_secs(30);

/// How much longer than its wait a poll may take.
const POLL_GRACE: Duration = Duration::from_secs(5);

/// The header that lowers a deadline, in milliseconds.
pub(super) const TIMEOUT_HEADER: &str = "x-request-timeout-ms";
/// The header that names a request, here and on the node that it is sent on to.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TIMEOUT: HeaderName = HeaderName::from_static(TIMEOUT_HEADER);
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// One request. Clones are the same one, to be served again.
#[derive(Clone)]
pub(crate) struct Call {
    state: Arc<State>,
    http: HttpRequest,
    request_id: HeaderValue,
    received: Instant,
    hop: Hop,
    kept: Rc<Kept>,
}

/// What is kept of a request for when it is served again, or sent on.
struct Kept {
    payload: RefCell<Option<Payload>>,
    body: OnceCell<Bytes>,
    new_id: OnceCell<ConsumerId>,
    session: OnceCell<ConsumerId>,
    budget: Cell<Budget>,
    /// The session's owner was asked, and has not answered in time.
    is_owner_silent: Cell<bool>,
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
        request_id: HeaderValue,
        received: Instant,
        hop: Hop,
    ) -> Self {
        let received = match hop.is_forwarded() {
            true => received.checked_sub(elapsed(&http)).unwrap_or(received),
            false => received,
        };
        let budget = Budget {
            received,
            end: received + DEADLINE,
            on_timeout: timed_out,
        };
        Self {
            state,
            http,
            request_id,
            received,
            hop,
            kept: Rc::new(Kept {
                payload: RefCell::new(Some(payload)),
                body: OnceCell::new(),
                new_id: OnceCell::new(),
                session: OnceCell::new(),
                budget: Cell::new(budget),
                is_owner_silent: Cell::new(false),
            }),
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

    /// Notes the session that it is about, where that is not in the path.
    pub(super) fn names(&self, id: &ConsumerId) {
        Span::current().record("consumer_id", id.as_str());
        self.kept.session.get_or_init(|| id.clone());
    }

    /// The session that it is about, as far as that is known.
    pub(super) fn session(&self) -> Option<ConsumerId> {
        let noted = self.kept.session.get().cloned();
        noted.or_else(|| self.path("id").parse().ok())
    }

    /// The topic that the path names.
    ///
    /// # Errors
    /// 404: what is no name is no topic either.
    pub(super) fn topic(&self) -> Result<TopicName, Problem> {
        let name = self.path("topic");
        name.parse().map_err(|_| {
            let mut missing = Problem::from(KafkaError::TopicNotFound(Vec::new()));
            missing
                .extras
                .insert("topics".to_owned(), vec![name].into());
            missing
        })
    }

    /// The id of a session that the client has not named: the same however often it is asked, on
    /// the node that the request is sent on to as well.
    pub(super) fn new_id(&self) -> ConsumerId {
        let given = || self.http.headers().get(NEW_ID)?.to_str().ok()?.parse().ok();
        let given = || given().filter(|_| self.hop.is_forwarded());
        let id = self
            .kept
            .new_id
            .get_or_init(|| given().unwrap_or_else(ConsumerId::random));
        id.clone()
    }

    /// How far it has come.
    pub(super) fn hop(&self) -> &Hop {
        &self.hop
    }

    /// The most bytes of records that whoever sent the request here takes.
    pub(super) fn room(&self) -> NonZeroU64 {
        let told = || self.http.headers().get(ROOM)?.to_str().ok()?.parse().ok();
        let told = told().filter(|_| self.hop.is_forwarded());
        told.unwrap_or(NonZeroU64::MAX)
    }

    /// Notes that a node could not be reached.
    pub(super) fn avoid(&mut self, node: NodeId) {
        self.hop.avoid(node);
    }

    /// The method.
    pub(super) fn method(&self) -> Method {
        self.http.method().clone()
    }

    /// Path and query, as the client sent them.
    pub(super) fn path_and_query(&self) -> String {
        let uri = self.http.uri();
        uri.path_and_query()
            .map_or_else(|| uri.path().to_owned(), ToString::to_string)
    }

    /// The body as far as it has been read.
    pub(super) fn kept_body(&self) -> Bytes {
        self.kept.body.get().cloned().unwrap_or_default()
    }

    /// The headers that the owner of the session has to see too.
    pub(super) fn forwarded_headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, self.request_id.clone());
        for name in [CONTENT_TYPE, TIMEOUT, TRACEPARENT, TRACESTATE] {
            if let Some(value) = self.http.headers().get(&name) {
                headers.insert(name, value.clone());
            }
        }
        let id = self.kept.new_id.get().map(ConsumerId::as_str);
        if let Some(id) = id.and_then(|id| HeaderValue::from_str(id).ok()) {
            headers.insert(NEW_ID, id);
        }
        headers
    }

    /// When the time is up, as the handler has counted it.
    pub(super) fn end(&self) -> Instant {
        self.kept.budget.get().end
    }

    /// What the client is told when the time is up.
    pub(super) fn timed_out(&self) -> Problem {
        (self.kept.budget.get().on_timeout)()
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
    pub(super) async fn body(&self) -> Result<Option<Value>, Problem> {
        let headers = self.http.headers();
        let payload = self.kept.payload.take();
        if let Some(mut payload) = payload {
            let read = read(&mut payload, headers, self.state.body_bytes);
            let body = timeout_at(self.budget().end, read)
                .await
                .unwrap_or_else(|_| Err(too_slow()))?;
            // Empty until now: the payload was taken only once.
            let _ = self.kept.body.set(body);
        }
        json(&self.kept_body(), headers)
    }

    /// As [`body`](Self::body), where one is needed.
    pub(super) async fn required_body(&self) -> Result<Option<Value>, Problem> {
        match self.body().await? {
            Some(body) => Ok(Some(body)),
            None => super::body::parse(b"").map(Some),
        }
    }

    /// The body as it came, not kept for another try; what it takes of the budget is free again
    /// when the charge is dropped.
    pub(super) async fn metered_body(
        &self,
        budget: &BytesBudget,
    ) -> Result<(Bytes, Charge), Problem> {
        let headers = self.http.headers();
        let mut charge = budget.charge();
        let Some(mut payload) = self.kept.payload.take() else {
            return Ok((Bytes::new(), charge));
        };
        let keep = |bytes: usize| charge.grow(bytes as u64).map_err(|_| queue_full());
        let read = read_metered(&mut payload, headers, self.state.body_bytes, keep);
        let body = timeout_at(self.budget().end, read)
            .await
            .unwrap_or_else(|_| Err(too_slow()))?;
        if !body.is_empty() {
            check_type(headers)?;
        }
        Ok((body, charge))
    }

    /// Notes that the session's owner has not answered in time: it is not Kafka that was slow.
    pub(super) fn owner_is_silent(&self) {
        self.kept.is_owner_silent.set(true);
    }

    /// The time for a request that changes nothing.
    pub(super) fn budget(&self) -> Budget {
        self.budget_of(DEADLINE, self.on_timeout())
    }

    /// What a request is told that changes nothing and has taken too long.
    fn on_timeout(&self) -> fn() -> Problem {
        match self.kept.is_owner_silent.get() {
            true => || ownership::Error::OwnerUnavailable.into(),
            false => timed_out,
        }
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
        let budget = self.budget_of(wait + POLL_GRACE, self.on_timeout());
        let total = budget.end - self.received;
        let margin = (total / 10).clamp(Duration::from_millis(10), Duration::from_millis(250));
        (budget, wait.min(total.saturating_sub(margin)))
    }

    /// The time for a call that waits for so long at most.
    pub(super) fn gathering_budget(&self, most: Duration) -> Budget {
        self.budget_of(most + POLL_GRACE, self.on_timeout())
    }

    fn budget_of(&self, most: Duration, on_timeout: fn() -> Problem) -> Budget {
        let asked = self.asked_timeout().and_then(Result::ok).unwrap_or(most);
        let budget = Budget {
            received: self.received,
            end: self.received + most.min(asked),
            on_timeout,
        };
        self.kept.budget.set(budget);
        budget
    }

    /// What the client's header says; wrong values are faults of the request.
    fn asked_timeout(&self) -> Option<Result<Duration, ()>> {
        let value = self.http.headers().get(TIMEOUT_HEADER)?;
        let millis = value
            .to_str()
            .ok()
            .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
            // It only lowers: what is too large for a number changes as little as a large one.
            .map(|text| text.parse::<u64>().unwrap_or(u64::MAX))
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
    pub(super) async fn run<T, E: Into<Unserved>>(
        self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Unserved> {
        match timeout_at(self.end, work).await {
            Ok(done) => done.map_err(Into::into),
            Err(_) => Err((self.on_timeout)().into()),
        }
    }
}

fn too_slow() -> Problem {
    Problem::new(
        Code::RequestTimeout,
        "The body did not arrive within the request's deadline; send it faster.",
    )
}

/// How much of its time a request had used up when another node sent it on.
fn elapsed(http: &HttpRequest) -> Duration {
    let millis = http.headers().get(ELAPSED);
    let millis = millis.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    // No request has more time than this.
    Duration::from_millis(millis.unwrap_or(0).min(600_000))
}
