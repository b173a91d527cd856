//! A small client of Sluice's HTTP API.

use std::ops::Index;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde::Serialize;
use serde_json::Value;

/// No request of a test takes longer; the longest poll of the API takes 300 s.
const LONGEST: Duration = Duration::from_secs(330);

/// Speaks to one address, as a client without any knowledge of nodes does.
///
/// Bodies are anything that serialises, most often `json!({…})`; `()` sends no body at all.
///
/// ```no_run
/// # async fn example(node: &sluice_tests::Node) {
/// use serde_json::json;
///
/// let client = node.client();
/// let subscribed = client
///     .subscribe(json!({"group_id": "g", "topics": ["orders"]}))
///     .await
///     .expect(200);
/// let id = subscribed.text_at("consumer_id");
/// let polled = client.consume(id, json!({"timeout_ms": 1000})).await.expect(200);
/// for record in polled.records() {
///     println!("{}", record["value"]);
/// }
/// client.delete(id).await.expect(204);
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    base: String,
    http: reqwest::Client,
}

impl Client {
    /// Makes a client of `http://host:port`.
    pub fn new(base: impl Into<String>) -> Self {
        Self::with_timeout(base, LONGEST)
    }

    /// Makes a client that gives up a request after `timeout`, its answer's body included.
    pub fn with_timeout(base: impl Into<String>, timeout: Duration) -> Self {
        let http = reqwest::Client::builder()
            // Answers are seen as they were sent, whatever else in the workspace asks of reqwest.
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .timeout(timeout)
            .no_proxy()
            .build()
            .expect("a client without TLS needs nothing");
        let mut base = base.into();
        base.truncate(base.trim_end_matches('/').len());
        Self { base, http }
    }

    /// Returns the address that requests go to.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// `POST /api/consumers/subscribe`.
    pub async fn subscribe(&self, body: impl Serialize) -> Reply {
        self.call(Method::POST, "/api/consumers/subscribe", body)
            .await
    }

    /// `POST /api/consumers/{id}/consume`.
    pub async fn consume(&self, id: &str, body: impl Serialize) -> Reply {
        self.session(Method::POST, id, "/consume", body).await
    }

    /// `POST /api/consumers/{id}/commit`.
    pub async fn commit(&self, id: &str, body: impl Serialize) -> Reply {
        self.session(Method::POST, id, "/commit", body).await
    }

    /// `POST /api/consumers/{id}/seek`.
    pub async fn seek(&self, id: &str, body: impl Serialize) -> Reply {
        self.session(Method::POST, id, "/seek", body).await
    }

    /// `GET /api/consumers/{id}/position`.
    pub async fn position(&self, id: &str) -> Reply {
        self.session(Method::GET, id, "/position", ()).await
    }

    /// `GET /api/consumers/{id}/assignment`.
    pub async fn assignment(&self, id: &str) -> Reply {
        self.session(Method::GET, id, "/assignment", ()).await
    }

    /// `PUT /api/consumers/{id}/assignment`.
    pub async fn assign(&self, id: &str, body: impl Serialize) -> Reply {
        self.session(Method::PUT, id, "/assignment", body).await
    }

    /// `DELETE /api/consumers/{id}`.
    pub async fn delete(&self, id: &str) -> Reply {
        self.session(Method::DELETE, id, "", ()).await
    }

    /// `GET /api/consumers/{id}`.
    pub async fn get(&self, id: &str) -> Reply {
        self.session(Method::GET, id, "", ()).await
    }

    /// `GET /api/consumers`, which only the admin port answers, with a query such as
    /// `&[("limit", "10")]`.
    pub async fn list(&self, query: &[(&str, &str)]) -> Reply {
        let request = self.request(Method::GET, "/api/consumers").query(query);
        self.send(request).await
    }

    /// `POST /api/topics/{topic}/produce` with a query such as `&[("key.format", "string")]`.
    pub async fn produce(
        &self,
        topic: &str,
        query: &[(&str, &str)],
        body: impl Serialize,
    ) -> Reply {
        let path = format!("/api/topics/{topic}/produce");
        let request = self.request(Method::POST, &path).query(query);
        self.send(with_body(request, body)).await
    }

    /// Sends a request with a JSON body to any path, which may have a query.
    pub async fn call(&self, method: Method, path: &str, body: impl Serialize) -> Reply {
        self.send(with_body(self.request(method, path), body)).await
    }

    /// Begins a request of any kind, to be finished with reqwest's own methods and given to
    /// [`send`](Self::send).
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    /// Sends a request and reads the whole answer.
    pub async fn send(&self, request: RequestBuilder) -> Reply {
        let request = match request.build() {
            Ok(request) => request,
            Err(error) => return Reply::lost("a request".to_owned(), error),
        };
        let asked = format!("{} {}", request.method(), request.url());
        let answered = async {
            let response = self.http.execute(request).await?;
            let status = response.status().as_u16();
            let headers = response.headers().clone();
            let body = response.bytes().await?;
            Ok((status, headers, body))
        };
        match answered.await {
            Err(error) => Reply::lost(asked, error),
            Ok((status, headers, body)) => Reply(Ok(Answer {
                asked,
                status,
                headers,
                json: serde_json::from_slice(&body).unwrap_or_default(),
                text: String::from_utf8_lossy(&body).into_owned(),
            })),
        }
    }

    async fn session(&self, method: Method, id: &str, rest: &str, body: impl Serialize) -> Reply {
        let path = format!("/api/consumers/{id}{rest}");
        self.call(method, &path, body).await
    }
}

fn with_body(request: RequestBuilder, body: impl Serialize) -> RequestBuilder {
    let body = serde_json::to_value(body).expect("a body of a test is JSON");
    if body.is_null() {
        return request;
    }
    request.json(&body)
}

/// What came of a request: an answer of any status, or none.
#[derive(Debug)]
#[must_use = "a reply may be an error"]
pub struct Reply(Result<Answer, Lost>);

/// Why there is no answer: refused, reset, timed out.
#[derive(Debug)]
struct Lost {
    asked: String,
    error: reqwest::Error,
}

impl Reply {
    fn lost(asked: String, error: reqwest::Error) -> Self {
        Self(Err(Lost { asked, error }))
    }

    /// Returns the answer if it has this status.
    ///
    /// # Panics
    /// Otherwise, showing the whole answer, at the caller's line.
    #[track_caller]
    pub fn expect(self, status: u16) -> Answer {
        let answer = self.answer();
        assert!(
            answer.status == status,
            "{} was answered with {} instead of {status}\n{:?}\n{}",
            answer.asked,
            answer.status,
            answer.headers,
            pretty(&answer),
        );
        answer
    }

    /// Returns the problem document of an answer with this status and `code`.
    ///
    /// # Panics
    /// When it is another answer, or not `application/problem+json`, at the caller's line.
    #[track_caller]
    pub fn expect_problem(self, status: u16, code: &str) -> Answer {
        let answer = self.expect(status);
        let kind = answer.header("content-type").unwrap_or_default();
        assert!(
            kind.starts_with("application/problem+json") && answer["code"] == code,
            "{} was answered with {kind} instead of problem {code}\n{}",
            answer.asked,
            pretty(&answer),
        );
        answer
    }

    /// Returns the answer, whatever its status is.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn answer(self) -> Answer {
        match self.0 {
            Ok(answer) => answer,
            Err(Lost { asked, error }) => panic!("{asked} was not answered: {error:?}"),
        }
    }

    /// Returns the answer, or why there is none.
    ///
    /// # Errors
    /// When the connection was refused or broke, or the client's own time was over.
    pub fn into_result(self) -> Result<Answer, reqwest::Error> {
        self.0.map_err(|lost| lost.error)
    }

    /// Returns the status, or `None` without an answer.
    pub fn status(&self) -> Option<u16> {
        self.0.as_ref().ok().map(|answer| answer.status)
    }

    /// Returns the `code` of a problem, or `None` if it is none.
    pub fn code(&self) -> Option<&str> {
        self.0.as_ref().ok()?.json["code"].as_str()
    }
}

/// An answer, read wholly. Indexing goes into its JSON body: `answer["consumer_id"]`.
#[derive(Debug, Clone)]
pub struct Answer {
    asked: String,
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, or `null` if it is empty or not JSON.
    pub json: Value,
    /// The body as text.
    pub text: String,
}

impl Answer {
    /// Returns a header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns a text member of the body.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn text_at(&self, member: &str) -> &str {
        match self.json[member].as_str() {
            Some(text) => text,
            None => panic!("{} has no text {member}:\n{}", self.asked, pretty(self)),
        }
    }

    /// Returns the member `records` of a poll's answer.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn records(&self) -> &[Value] {
        match self.json["records"].as_array() {
            Some(records) => records,
            None => panic!("{} has no records:\n{}", self.asked, pretty(self)),
        }
    }
}

impl Index<&str> for Answer {
    type Output = Value;

    fn index(&self, member: &str) -> &Value {
        &self.json[member]
    }
}

fn pretty(answer: &Answer) -> String {
    if answer.json.is_null() {
        return answer.text.clone();
    }
    format!("{:#}", answer.json)
}
