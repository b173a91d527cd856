//! The life of a request, the same for every route: id, span, limits, handler, answer.

use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;

use actix_web::body::BoxBody;
use actix_web::dev::Payload;
use actix_web::http::header::{HeaderMap, HeaderValue};
use actix_web::http::{ConnectionType, Method};
use actix_web::{HttpRequest, HttpResponse};
use futures::FutureExt;
use tokio::time::Instant;
use tracing::{Instrument, Span, field};
use uuid::Uuid;

use super::accept::{Encoding, takes_json};
use super::call::{Call, REQUEST_ID};
use super::error::{Code, Origin, Problem};
use super::forwarding;
use super::peers;
use super::reply::Reply;
use super::state::State;
use super::unserved::Unserved;
use super::{Produces, Route};
use crate::ownership::Hop;
use crate::peer::SERVED;

const MAX_REQUEST_ID: usize = 128;

/// The routes of one path, or none for a path that is not there.
#[derive(Clone)]
pub(super) struct Endpoint {
    state: Arc<State>,
    routes: Rc<[&'static Route]>,
    entrance: Entrance,
}

/// Whose requests come in here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entrance {
    /// Clients, and operators.
    Clients,
    /// Nodes that send on what clients have asked them.
    Peers,
}

impl Endpoint {
    pub(super) fn new(
        state: &Arc<State>,
        routes: Rc<[&'static Route]>,
        entrance: Entrance,
    ) -> Self {
        Self {
            state: Arc::clone(state),
            routes,
            entrance,
        }
    }

    /// Serves a request of this path, whatever happens.
    pub(super) async fn serve(self, http: HttpRequest, payload: Payload) -> HttpResponse<BoxBody> {
        let state = Arc::clone(&self.state);
        let request_id = request_id(http.headers());
        let template = self.routes.first().map_or("unmatched", |route| route.path);
        let span = span(&state, &http, template, &request_id);
        let mut response = match self.entrance {
            Entrance::Clients => {
                let serving = self.serve_client(http, payload, &request_id, template);
                serving.instrument(span).await
            }
            Entrance::Peers => {
                let serving = self.serve_peer(http, payload, &request_id);
                serving.instrument(span).await
            }
        };
        response.headers_mut().insert(REQUEST_ID, request_id);
        if state.draining.is_on() {
            response
                .head_mut()
                .set_connection_type(ConnectionType::Close);
        }
        response
    }

    async fn serve_client(
        self,
        http: HttpRequest,
        payload: Payload,
        request_id: &HeaderValue,
        template: &'static str,
    ) -> HttpResponse<BoxBody> {
        let encoding = Encoding::negotiate(http.headers());
        let head = http.method() == Method::HEAD;
        let metrics = self.state.http_metrics.begin(http.method(), template);
        let answering = async move {
            let (route, call) = self.call(http, payload, request_id, Hop::first())?;
            forwarding::serve(call, route).await.map_err(refusal)
        };
        let reply = caught(answering).await.unwrap_or_else(|refused| *refused);
        metrics.finish(reply.status(), reply.code);
        // A HEAD has no body to compress, and its length is that of the plain one.
        let encoding = if head { Encoding::Identity } else { encoding };
        reply.into_response(encoding).await
    }

    async fn serve_peer(
        self,
        http: HttpRequest,
        payload: Payload,
        request_id: &HeaderValue,
    ) -> HttpResponse<BoxBody> {
        let state = Arc::clone(&self.state);
        if let Err(refused) = peers::check(&state, http.headers()) {
            return *refused;
        }
        let received = Instant::now();
        let answering = async move {
            let (route, call) = self.call(http, payload, request_id, Hop::forwarded())?;
            match (route.run)(call).await {
                Ok(reply) if reply.may_begin() => Ok(Ok(reply)),
                // Another node is to give it: the sender waits until it knows which.
                Ok(_) => Ok(Err(None)),
                Err(Unserved::Problem(problem)) if problem.code == Code::ShuttingDown => {
                    // Its sessions go on elsewhere, which the sender can wait for.
                    Ok(Err(None))
                }
                Err(Unserved::Problem(problem)) => Err(refusal(problem)),
                Err(Unserved::Misdirected(epoch)) => Ok(Err(epoch)),
                Err(Unserved::Elsewhere(owner)) => Ok(Err(owner.epoch)),
            }
        };
        let mut response = match caught(answering).await {
            Ok(Ok(reply)) => reply.into_forwarded(&state.fates),
            Ok(Err(epoch)) => peers::misdirected(epoch),
            Err(refused) => refused.into_forwarded(&state.fates),
        };
        if let Ok(served) = received.elapsed().as_micros().to_string().parse() {
            response.headers_mut().insert(SERVED, served);
        }
        response
    }

    fn call(
        &self,
        http: HttpRequest,
        payload: Payload,
        request_id: &HeaderValue,
        hop: Hop,
    ) -> Result<(&'static Route, Call), Box<Reply>> {
        let route = self.route(&http)?;
        let (state, id) = (Arc::clone(&self.state), request_id.clone());
        let call = Call::new(state, http, payload, id, Instant::now(), hop);
        Ok((route, call))
    }

    fn route(&self, http: &HttpRequest) -> Result<&'static Route, Box<Reply>> {
        if self.routes.is_empty() {
            return Err(Box::new(Reply::problem(&Problem::new(
                Code::RouteNotFound,
                "There is no such path here; /openapi.json lists those that there are.",
            ))));
        }
        let method = http.method();
        let wanted = if method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        let Some(route) = self.routes.iter().find(|route| route.method == *wanted) else {
            let allowed = allowed(&self.routes);
            let problem = Problem::new(
                Code::MethodNotAllowed,
                format!("This path takes {allowed} only."),
            );
            return Err(Box::new(Reply::problem(&problem).allow(&allowed)));
        };
        if route.produces == Produces::Json && !takes_json(http.headers()) {
            return Err(Box::new(Reply::problem(&Problem::new(
                Code::NotAcceptable,
                "The answer is application/json, which the request does not accept.",
            ))));
        }
        Ok(*route)
    }
}

/// Does the work; a panic is an internal error.
async fn caught<T>(work: impl Future<Output = Result<T, Box<Reply>>>) -> Result<T, Box<Reply>> {
    AssertUnwindSafe(work)
        .catch_unwind()
        .await
        .unwrap_or_else(|panic| {
            let cause = format!("a handler panicked: {}", message(&*panic));
            Err(refusal(Problem::internal(cause)))
        })
}

fn refusal(problem: Problem) -> Box<Reply> {
    log(&problem);
    Box::new(Reply::problem(&problem))
}

fn allowed(routes: &[&'static Route]) -> String {
    let mut methods: Vec<&str> = Vec::new();
    for route in routes {
        methods.push(route.method.as_str());
        if route.method == Method::GET {
            methods.push("HEAD");
        }
    }
    methods.join(", ")
}

/// The client's own id where it is short visible text, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(REQUEST_ID).filter(|id| {
        (1..=MAX_REQUEST_ID).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
    });
    given.cloned().unwrap_or_else(|| {
        HeaderValue::from_str(&Uuid::new_v4().to_string())
            .unwrap_or_else(|_| HeaderValue::from_static("unknown"))
    })
}

fn span(state: &State, http: &HttpRequest, template: &str, request_id: &HeaderValue) -> Span {
    let span = tracing::info_span!(
        "request",
        request_id = request_id.to_str().unwrap_or_default(),
        node = state.node.as_str(),
        method = http.method().as_str(),
        route = template,
        trace_id = field::Empty,
        parent_id = field::Empty,
        consumer_id = field::Empty,
        group = field::Empty,
        epoch = field::Empty,
    );
    if let Some((trace, parent)) = traceparent(http.headers()) {
        span.record("trace_id", trace);
        span.record("parent_id", parent);
    }
    span
}

/// Trace and parent ids of a W3C `traceparent`, if it is a right one.
fn traceparent(headers: &HeaderMap) -> Option<(&str, &str)> {
    let value = headers.get("traceparent")?.to_str().ok()?;
    let mut parts = value.split('-');
    let (version, trace) = (parts.next()?, parts.next()?);
    let (parent, flags) = (parts.next()?, parts.next()?);
    let hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let whole = parts.next().is_none() || version != "00";
    let named = |id: &str| id.bytes().any(|b| b != b'0');
    let right = hex(version, 2) && version != "ff" && hex(trace, 32) && hex(parent, 16);
    (right && hex(flags, 2) && whole && named(trace) && named(parent)).then_some((trace, parent))
}

/// Says what went wrong where a client cannot mend it: once, here.
fn log(problem: &Problem) {
    let meaning = problem.code.meaning();
    let cause = problem.cause.as_deref().unwrap_or(&problem.detail);
    match (problem.code, meaning.origin) {
        (Code::Internal | Code::SessionFailed, _) => {
            tracing::error!(code = meaning.code, cause, "request failed");
        }
        (_, Origin::Node | Origin::Kafka | Origin::SchemaRegistry) => {
            tracing::warn!(code = meaning.code, cause, "request not served");
        }
        (_, Origin::Client) => {
            tracing::debug!(code = meaning.code, cause, "request refused");
        }
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use actix_web::App;
    use actix_web::http::header::HeaderName;
    use actix_web::test::{TestRequest, call_service, init_service, read_body_json};
    use actix_web::web;

    use super::*;

    static PANICS: Route = Route {
        method: Method::GET,
        path: "/panics",
        produces: Produces::Json,
        errors: &[],
        run: |_| Box::pin(async { panic!("a bug with details") }),
    };

    #[actix_web::test]
    async fn a_panic_is_500_and_the_worker_goes_on() {
        let endpoint = Endpoint::new(&State::for_tests(), Rc::new([&PANICS]), Entrance::Clients);
        let handler = move |http: HttpRequest, payload: web::Payload| {
            endpoint.clone().serve(http, payload.into_inner())
        };
        let app = init_service(App::new().route("/panics", web::to(handler))).await;
        for _ in 0..2 {
            let request = TestRequest::get().uri("/panics").to_request();
            let answer = call_service(&app, request).await;
            assert_eq!(answer.status(), 500);
            assert!(answer.headers().contains_key("x-request-id"));
            let body: serde_json::Value = read_body_json(answer).await;
            assert_eq!(body["code"], "internal");
            assert!(!body.to_string().contains("details"));
        }
    }

    fn with(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_str(value).unwrap(),
        );
        headers
    }

    #[test]
    fn a_request_id_is_echoed_if_it_is_short_visible_text() {
        let echoed = |id: &str| request_id(&with("x-request-id", id)) == id;
        assert!(echoed("abc-1"));
        assert!(echoed(&"x".repeat(128)));
        assert!(!echoed(&"x".repeat(129)));
        assert!(!echoed("a b"));
        assert!(!echoed("é"));
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }

    #[test]
    fn a_traceparent_is_taken_only_if_it_is_right() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let headers = with("traceparent", good);
        let ids = traceparent(&headers).unwrap();
        assert_eq!(
            ids,
            ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
        );
        for bad in [
            "",
            "00-0-0-0",
            &good.replace("4bf92f", "xbf92f"),
            &good.replacen("00", "ff", 1),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        ] {
            assert!(traceparent(&with("traceparent", bad)).is_none(), "{bad}");
        }
    }
}
