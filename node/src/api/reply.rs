//! An answer, until it is written to a connection.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{
    ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, VARY,
};
use bytes::Bytes;
use serde::Serialize;
use sluice_actors::{Answer, AnswerFate, HeldBytes, Listing};

use super::accept::Encoding;
use super::compress::{SMALL, compress};
use super::error::{Code, Problem};
use super::handover::Handover;
use crate::ownership;
use crate::peer::{ANSWER, CODE, Fates, RemoteFate};

/// Of another node's answer, these headers are for the client.
const PASSED_ON: [HeaderName; 3] = [CONTENT_TYPE, RETRY_AFTER, ALLOW];

const JSON: &str = "application/json";
const PROBLEM_JSON: &str = "application/problem+json";

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Reply {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
    fate: Option<Fate>,
    encoded: bool,
    /// The code, where it is an error.
    pub(super) code: Option<&'static str>,
}

/// Whose answer it is that the client's connection takes.
#[derive(Debug)]
enum Fate {
    Here(AnswerFate),
    There(Box<RemoteFate>),
    /// Nobody's: it only counts until it is gone.
    Indifferent(HeldBytes),
}

impl Fate {
    fn delivered(self) {
        match self {
            Self::Here(fate) => fate.delivered(),
            Self::There(fate) => fate.delivered(),
            Self::Indifferent(held) => drop(held),
        }
    }
}

impl Reply {
    /// A body with its type.
    pub(super) fn new(content_type: &str, body: impl Into<Bytes>) -> Self {
        let content_type = HeaderValue::from_str(content_type)
            .unwrap_or_else(|_| HeaderValue::from_static("application/octet-stream"));
        Self {
            status: StatusCode::OK,
            headers: vec![(CONTENT_TYPE, content_type)],
            body: body.into(),
            fate: None,
            encoded: false,
            code: None,
        }
    }

    /// A JSON document.
    pub(super) fn json(document: &impl Serialize) -> Result<Self, Problem> {
        let body = serde_json::to_vec(document)
            .map_err(|error| Problem::internal(format!("an answer cannot be written: {error}")))?;
        Ok(Self::new(JSON, body))
    }

    /// The same with 202: it is not done yet.
    pub(super) fn accepted(document: &impl Serialize) -> Result<Self, Problem> {
        Ok(Self {
            status: StatusCode::ACCEPTED,
            ..Self::json(document)?
        })
    }

    /// The same with 503: it says what is not well, and is no problem document.
    pub(super) fn unavailable(mut self) -> Self {
        self.status = StatusCode::SERVICE_UNAVAILABLE;
        if let Some(after) = Code::KafkaUnavailable.meaning().retry_after {
            self.retry_after(after);
        }
        self
    }

    /// The answer of a poll.
    pub(super) fn answer(answer: Answer) -> Self {
        Self {
            fate: Some(Fate::Here(answer.fate)),
            ..Self::new(JSON, answer.body)
        }
    }

    /// The newest records of a topic.
    pub(super) fn listing(listing: Listing) -> Self {
        Self {
            fate: Some(Fate::Indifferent(listing.held)),
            ..Self::new(JSON, listing.body)
        }
    }

    /// The answer of another node; of its headers those that are for the client.
    pub(super) fn passed_on(
        status: StatusCode,
        headers: &HeaderMap,
        body: Bytes,
        fate: Option<Box<RemoteFate>>,
    ) -> Self {
        let told = headers.get(CODE).and_then(|code| code.to_str().ok());
        let mut codes = Code::ALL.iter().map(|code| code.meaning().code);
        let for_client = PASSED_ON.into_iter().filter_map(|name| {
            let value = headers.get(&name)?.clone();
            Some((name, value))
        });
        Self {
            status,
            headers: for_client.collect(),
            body,
            fate: fate.map(Fate::There),
            encoded: false,
            code: told.and_then(|told| codes.find(|code| *code == told)),
        }
    }

    /// 204.
    pub(super) fn no_content() -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            headers: Vec::new(),
            body: Bytes::new(),
            fate: None,
            encoded: false,
            code: None,
        }
    }

    /// An error.
    pub(super) fn problem(problem: &Problem) -> Self {
        let meaning = problem.code.meaning();
        let mut reply = Self::new(PROBLEM_JSON, problem.body().to_string());
        reply.status = meaning.status;
        reply.code = Some(meaning.code);
        if let Some(after) = meaning.retry_after {
            reply.retry_after(after);
        }
        reply
    }

    /// Says when another try is worth it.
    fn retry_after(&mut self, after: Duration) {
        self.headers
            .push((RETRY_AFTER, HeaderValue::from(after.as_secs())));
    }

    /// Says which methods there are.
    pub(super) fn allow(mut self, methods: &str) -> Self {
        if let Ok(methods) = HeaderValue::from_str(methods) {
            self.headers.push((ALLOW, methods));
        }
        self
    }

    /// Adds a header.
    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.encoded |= name == CONTENT_ENCODING;
        self.headers.push((name, value));
        self
    }

    /// The status.
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// Whether its first byte may be written: an answer of a session that is another node's to
    /// serve by now may not. To be asked right before that.
    pub(super) fn may_begin(&self) -> bool {
        match &self.fate {
            Some(Fate::Here(fate)) => fate.may_begin(),
            // Its owner has looked, before it gave the answer away.
            Some(Fate::There(_) | Fate::Indifferent(_)) | None => true,
        }
    }

    /// Turns it into what the node gets that sent the request here: plain, and with a name for
    /// the answer, whose fate that node tells.
    pub(super) fn into_forwarded(self, fates: &Fates) -> HttpResponse<BoxBody> {
        let mut response = HttpResponse::build(self.status);
        for (name, value) in self.headers {
            response.append_header((name, value));
        }
        if let Some(code) = self.code {
            response.insert_header((CODE, code));
        }
        match self.fate {
            Some(Fate::Here(fate)) => {
                let token = fates.keep(fate);
                response.insert_header((ANSWER, token.to_string()));
                response.body(Handover::new(self.body, fates.taken(token)))
            }
            Some(Fate::There(_) | Fate::Indifferent(_)) | None => response.body(self.body),
        }
    }

    /// Turns it into what actix writes.
    pub(super) async fn into_response(mut self, encoding: Encoding) -> HttpResponse<BoxBody> {
        self.compress(encoding).await;
        if !self.may_begin() {
            // It could, before it was compressed.
            self = Self::problem(&ownership::Error::OwnerUnavailable.into());
        }
        let mut response = HttpResponse::build(self.status);
        for (name, value) in self.headers {
            response.append_header((name, value));
        }
        match self.fate {
            Some(fate) => response.body(Handover::new(self.body, move || fate.delivered())),
            None => response.body(self.body),
        }
    }

    async fn compress(&mut self, encoding: Encoding) {
        if self.body.len() <= SMALL || self.encoded {
            return;
        }
        self.headers
            .push((VARY, HeaderValue::from_static("accept-encoding")));
        let compressed = compress(&self.body, encoding).await;
        if let Some((name, compressed)) = encoding.name().zip(compressed) {
            self.headers
                .push((CONTENT_ENCODING, HeaderValue::from_static(name)));
            self.body = compressed;
        }
    }
}
