//! A node in this process.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;
use sluice_node::app::{App, Options, Running};
use sluice_node::config::{Config, Env, Flags};

/// A node, and a client of it.
pub(crate) struct Node {
    pub(crate) running: Running,
    client: Client,
}

impl Node {
    /// Starts a node with these further settings.
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        let mut env: Env = [
            ("SLUICE_HTTP__BIND", "127.0.0.1:0"),
            ("SLUICE_ADMIN__BIND", "127.0.0.1:0"),
            ("SLUICE_CLUSTER__NAME", "test-0"),
            // Port 1 refuses: no broker listens there.
            ("SLUICE_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1"),
            ("SLUICE_DRAIN__TIMEOUT", "5s"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        for (name, value) in settings {
            env.insert((*name).to_owned(), (*value).to_owned());
        }
        let config = Config::parse("", &env, &Flags::default()).unwrap();
        let running = App::start(config, Options::default()).await.unwrap();
        let client = Client::builder()
            .no_proxy()
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .timeout(Duration::from_secs(60))
            .build()
            .unwrap();
        Self { running, client }
    }

    /// A request to the client port.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://{}{path}", self.running.http[0]);
        self.client.request(method, url)
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    /// A GET on the admin port.
    pub(crate) fn admin(&self, path: &str) -> RequestBuilder {
        self.client
            .get(format!("http://{}{path}", self.running.admin))
    }
}

/// Checks that an answer is the problem with this status and code, and returns its document.
#[track_caller]
pub(crate) fn problem(
    response: Response,
    status: u16,
    code: &str,
) -> impl Future<Output = Value> + use<> {
    let code = code.to_owned();
    let caller = std::panic::Location::caller();
    async move {
        let got = response.status().as_u16();
        let headers = response.headers().clone();
        let text = response.text().await.unwrap();
        assert_eq!(got, status, "at {caller}: {text}");
        assert_eq!(
            headers["content-type"], "application/problem+json",
            "at {caller}"
        );
        assert!(headers.contains_key("x-request-id"), "at {caller}");
        let body: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(body["code"], code, "at {caller}: {text}");
        assert_eq!(body["status"], status, "at {caller}");
        let retry = matches!(status, 429 | 503);
        assert_eq!(headers.contains_key("retry-after"), retry, "at {caller}");
        body
    }
}
