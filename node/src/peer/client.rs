//! Requests to other nodes.

use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use bytes::Bytes;
use sluice_actors::{AnswerBudget, HeldBytes};
use sluice_types::Epoch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use uuid::Uuid;

use super::words::Words;
use super::{ANSWER, Badge, EPOCH, ROOM, SAY_EVERY, Saying, Word};
use crate::ownership::Owner;

/// How long a connection to another node may take to open. A node that runs answers in a
/// thousandth of that.
const CONNECT: Duration = Duration::from_secs(1);
/// How long a connection may be idle before the other machine is asked whether it is there, and how
/// often it may leave that unanswered, a second each.
const KEEPALIVE: (Duration, u32) = (Duration::from_secs(2), 3);
/// How long what was sent may stay unacknowledged: a link that is cut without a word is then found
/// out by the kernel, and not only when a request's time is over.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);
/// How long an answer stays with its owner because there is no room for it here: less than the
/// owner waits for its taker, [`SILENCE`](super::SILENCE).
const ROOM_WITHIN: Duration = Duration::from_secs(2);

/// Reaches other nodes. Clones share connections.
#[derive(Clone, Debug)]
pub(crate) struct Peers {
    http: reqwest::Client,
    badge: Badge,
    answers: AnswerBudget,
    words: Words,
}

/// A request to be sent on.
#[derive(Debug)]
pub(crate) struct Forward<'a> {
    pub(crate) method: Method,
    /// Path and query, as the client sent them.
    pub(crate) path: &'a str,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Whether no more than one record is asked for, which there is room for always.
    pub(crate) is_sparing: bool,
    /// No answer is awaited beyond this.
    pub(crate) until: Instant,
}

/// What another node says to a request.
#[derive(Debug)]
pub(crate) enum Answered {
    /// Its answer, whole.
    Reply {
        status: StatusCode,
        headers: HeaderMap,
        body: Bytes,
        /// To be told when the client has the answer.
        fate: Option<Box<RemoteFate>>,
    },
    /// The session is not there.
    Misdirected {
        /// Its present ownership, if that node could say it.
        epoch: Option<Epoch>,
    },
}

/// Why there is no answer of another node.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeerError {
    /// Nothing was sent: the request has had no effect.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// The connection broke: the request may have had its effect.
    #[error("did not answer: {0}")]
    Lost(String),
    /// The time was up.
    #[error("did not answer in time")]
    TimedOut,
    /// There was no room for the answer for too long: it stays with the other node.
    #[error("answered more than there is room for")]
    NoRoom,
    /// The node does not take this one for a member of its cluster.
    #[error("refuses this node")]
    Refused,
}

/// An HTTP client to other nodes.
pub(super) fn client() -> Result<reqwest::Client, reqwest::Error> {
    let builder = reqwest::Client::builder();
    #[cfg(target_os = "linux")]
    let builder = builder.tcp_user_timeout(UNACKNOWLEDGED);
    builder
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .tcp_keepalive(KEEPALIVE.0)
        .tcp_keepalive_interval(Duration::from_secs(1))
        .tcp_keepalive_retries(KEEPALIVE.1)
        // A node is reached directly whatever the environment says of proxies.
        .no_proxy()
        // Nodes speak no TLS to each other, and a machine may trust nobody.
        .tls_certs_only([])
        .redirect(reqwest::redirect::Policy::none())
        .build()
}

impl Peers {
    /// Requests that show this badge, and whose answers are counted in this budget. Must be called
    /// within a tokio runtime.
    ///
    /// # Errors
    /// The HTTP client cannot be made.
    pub(crate) fn new(badge: Badge, answers: AnswerBudget) -> Result<Self, reqwest::Error> {
        let http = client()?;
        let words = Words::new(http.clone(), badge.clone());
        Ok(Self {
            http,
            badge,
            answers,
            words,
        })
    }

    /// Sends a request on and takes the answer whole. A dropped future closes the connection, and
    /// the other node drops the request.
    pub(crate) async fn forward(
        &self,
        owner: &Owner,
        request: Forward<'_>,
    ) -> Result<Answered, PeerError> {
        let until = request.until;
        timeout_at(until, self.forward_without_end(owner, request))
            .await
            .unwrap_or(Err(PeerError::TimedOut))
    }

    async fn forward_without_end(
        &self,
        owner: &Owner,
        request: Forward<'_>,
    ) -> Result<Answered, PeerError> {
        let url = format!("http://{}{}", owner.address, request.path);
        let sending = self.http.request(method(&request.method), url);
        let sending = with_headers(sending, &self.badge.show(&owner.node));
        let sending = with_headers(sending, &request.headers);
        let room = match request.is_sparing {
            true => NonZeroU64::MIN,
            false => self.answers.room(),
        };
        let sending = sending.header(ROOM.as_str(), room.get());
        let response = sending.body(request.body).send().await.map_err(failed)?;
        let status = StatusCode::from_u16(response.status().as_u16())
            .map_err(|_| PeerError::Lost("no status".to_owned()))?;
        let headers = actix_headers(response.headers());
        // From here on the owner is told that its answer is on its way.
        let mut fate = self.fate(owner, &headers);
        if let Some(fate) = &mut fate {
            let bytes = response.content_length().unwrap_or(0);
            fate.held = Some(self.hold(bytes, room).await?);
        }
        let body = response.bytes().await.map_err(failed)?;
        match status {
            StatusCode::MISDIRECTED_REQUEST => Ok(Answered::Misdirected {
                epoch: number(&headers, EPOCH).and_then(Epoch::from_number),
            }),
            StatusCode::UNAUTHORIZED => Err(PeerError::Refused),
            _ => Ok(Answered::Reply {
                status,
                headers,
                body,
                fate,
            }),
        }
    }

    /// Waits until the owners of all answers have been told what became of those.
    pub(crate) async fn said(&self) {
        self.words.said().await;
    }

    /// Makes room for an answer with records before it is taken.
    ///
    /// One of which more was asked for than there is room for by now waits at its owner. One of
    /// which least was asked for does not: it is a single record, without which a session whose
    /// records are large would stand still.
    async fn hold(&self, bytes: u64, asked: NonZeroU64) -> Result<HeldBytes, PeerError> {
        if asked == NonZeroU64::MIN {
            return Ok(self.answers.hold(bytes));
        }
        let admitted = timeout(ROOM_WITHIN, self.answers.admit(bytes)).await;
        admitted.map_err(|_| PeerError::NoRoom)
    }

    fn fate(&self, owner: &Owner, headers: &HeaderMap) -> Option<Box<RemoteFate>> {
        let answer = headers.get(ANSWER)?.to_str().ok()?.parse().ok()?;
        let fate = RemoteFate::new(self.words.clone(), owner.clone(), answer);
        Some(Box::new(fate))
    }
}

pub(super) fn failed(error: reqwest::Error) -> PeerError {
    // Its text would show the address twice and hide the cause.
    let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), describe);
    if error.is_connect() {
        PeerError::Unreachable(cause)
    } else {
        PeerError::Lost(cause)
    }
}

fn describe(error: &(dyn std::error::Error + 'static)) -> String {
    let innermost = std::iter::successors(Some(error), |error| error.source()).last();
    innermost.unwrap_or(error).to_string()
}

fn number(headers: &HeaderMap, name: HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// actix and reqwest know HTTP by different versions of the same crate.
fn method(method: &Method) -> reqwest::Method {
    reqwest::Method::from_bytes(method.as_str().as_bytes()).unwrap_or(reqwest::Method::POST)
}

pub(super) fn with_headers(
    sending: reqwest::RequestBuilder,
    headers: &HeaderMap,
) -> reqwest::RequestBuilder {
    let headers = headers.iter();
    headers.fold(sending, |sending, (name, value)| {
        sending.header(name.as_str(), value.as_bytes())
    })
}

fn actix_headers(headers: &reqwest::header::HeaderMap) -> HeaderMap {
    let pairs = headers.iter().filter_map(|(name, value)| {
        let name = HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
        Some((name, HeaderValue::from_bytes(value.as_bytes()).ok()?))
    });
    pairs.collect()
}

/// The fate of an answer that is another node's. Until it is known, that node is told that the
/// client is still taking the answer.
pub(crate) struct RemoteFate {
    words: Words,
    owner: Owner,
    answer: Uuid,
    progress: JoinHandle<()>,
    word: Word,
    /// What the answer takes of the budget of those on their way.
    held: Option<HeldBytes>,
}

impl RemoteFate {
    fn new(words: Words, owner: Owner, answer: Uuid) -> Self {
        let progress = tokio::spawn({
            let (words, owner) = (words.clone(), owner.clone());
            async move {
                let word = Word::Progress;
                loop {
                    sleep(SAY_EVERY).await;
                    words.say(&owner, Saying { answer, word });
                }
            }
        });
        Self {
            words,
            owner,
            answer,
            progress,
            word: Word::Lost,
            held: None,
        }
    }

    /// The client's connection has taken the answer whole.
    pub(crate) fn delivered(mut self) {
        self.word = Word::Delivered;
    }
}

impl Drop for RemoteFate {
    fn drop(&mut self) {
        self.progress.abort();
        let (answer, word) = (self.answer, self.word);
        self.words.say(&self.owner, Saying { answer, word });
    }
}

impl fmt::Debug for RemoteFate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteFate")
            .field("answer", &self.answer)
            .finish_non_exhaustive()
    }
}
