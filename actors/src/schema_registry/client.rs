//! HTTP to the schema registry.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::header::ACCEPT;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client as Http, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::config::{SchemaRegistryConfig, SchemaRegistryCredentials};
use super::metrics::RegistryMetrics;
use super::schemas::SchemaError;
use crate::Error;
use crate::avro::SchemaId;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(2);
/// Most bytes of an answer.
const MAX_ANSWER: usize = 8 * 1024 * 1024;
const MEDIA_TYPES: &str = "application/vnd.schemaregistry.v1+json, application/json";

/// How the registry says that it has no such subject, version or schema; other answers with 404
/// come from somebody else.
const NOT_THERE: std::ops::RangeInclusive<u32> = 40_401..=40_403;

/// Asks the registry.
pub(super) struct Client {
    http: Http,
    urls: Vec<Url>,
    /// The address that answered last.
    current: AtomicUsize,
    credentials: Option<SchemaRegistryCredentials>,
    timeout: Duration,
    metrics: RegistryMetrics,
}

/// A schema as the registry tells it.
#[derive(Deserialize)]
pub(super) struct Told {
    /// Not told where it was asked for by its id.
    pub(super) id: Option<u32>,
    pub(super) schema: String,
    /// Avro, if not told.
    #[serde(rename = "schemaType")]
    pub(super) kind: Option<String>,
    #[serde(default)]
    pub(super) references: Option<Vec<Reference>>,
}

/// Where a schema that another one refers to stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
pub(super) struct Reference {
    pub(super) subject: String,
    pub(super) version: u32,
}

#[derive(Deserialize)]
struct Fault {
    error_code: u32,
}

impl Client {
    /// # Errors
    /// [`Error::Internal`]: an address or a certificate cannot be read.
    pub(super) fn new(
        config: &SchemaRegistryConfig,
        metrics: RegistryMetrics,
    ) -> Result<Self, Error> {
        let wrong = |error: String| Error::Internal(format!("schema registry: {error}"));
        let urls = config.urls.iter().map(|url| Url::parse(url));
        let urls: Vec<Url> = urls
            .collect::<Result<_, _>>()
            .map_err(|error| wrong(error.to_string()))?;
        let mut http = Http::builder()
            .connect_timeout(CONNECT)
            .timeout(config.timeout)
            // It is reached directly whatever the environment says of proxies, and the
            // credentials go nowhere else.
            .no_proxy()
            .redirect(Policy::none());
        if let Some(pem) = &config.certificates {
            let certificates = Certificate::from_pem_bundle(pem);
            let certificates = certificates.map_err(|error| wrong(error.to_string()))?;
            http = http.tls_certs_only(certificates);
        } else if urls.iter().all(|url| url.scheme() == "http") {
            // A machine may trust nobody, and need not.
            http = http.tls_certs_only([]);
        }
        Ok(Self {
            http: http.build().map_err(|error| wrong(describe(&error)))?,
            urls,
            current: AtomicUsize::new(0),
            credentials: config.credentials.clone(),
            timeout: config.timeout,
            metrics,
        })
    }

    /// The schema of this id.
    pub(super) async fn by_id(&self, id: SchemaId) -> Result<Told, SchemaError> {
        self.get(&["schemas", "ids", &id.to_string()]).await
    }

    /// The latest version of a subject.
    pub(super) async fn latest(&self, subject: &str) -> Result<Told, SchemaError> {
        self.get(&["subjects", subject, "versions", "latest"]).await
    }

    /// A version of a subject.
    pub(super) async fn version(&self, at: &Reference) -> Result<Told, SchemaError> {
        let version = at.version.to_string();
        self.get(&["subjects", &at.subject, "versions", &version])
            .await
    }

    /// How long a request may take that asks every address.
    pub(super) fn longest(&self) -> Duration {
        self.timeout * u32::try_from(self.urls.len()).unwrap_or(u32::MAX)
    }

    /// Asks the addresses in turn, beginning with the one that answered last.
    async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, SchemaError> {
        let first = self.current.load(Ordering::Relaxed);
        let mut failure = String::new();
        for step in 0..self.urls.len() {
            let at = (first + step) % self.urls.len();
            match self.ask(&self.urls[at], path).await {
                Err(SchemaError::Unavailable(reason)) => {
                    self.count("failed");
                    tracing::debug!(reason, "the schema registry does not answer");
                    failure = reason;
                }
                answered => {
                    self.current.store(at, Ordering::Relaxed);
                    self.count(match &answered {
                        Ok(_) => "ok",
                        Err(_) => "not_found",
                    });
                    return answered;
                }
            }
        }
        Err(SchemaError::Unavailable(failure))
    }

    async fn ask<T: DeserializeOwned>(&self, base: &Url, path: &[&str]) -> Result<T, SchemaError> {
        let unavailable = |reason: String| {
            let place = base.host_str().unwrap_or_default();
            let port = base.port_or_known_default().unwrap_or_default();
            SchemaError::Unavailable(format!("{place}:{port}: {reason}"))
        };
        let mut url = base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let mut request = self.http.get(url).header(ACCEPT, MEDIA_TYPES);
        request = match &self.credentials {
            Some(SchemaRegistryCredentials::Basic { user, password }) => {
                request.basic_auth(user, Some(password))
            }
            Some(SchemaRegistryCredentials::Bearer(token)) => request.bearer_auth(token),
            None => request,
        };
        let answering = async {
            let mut response = request.send().await?;
            let status = response.status();
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await? {
                if body.len() + chunk.len() > MAX_ANSWER {
                    return Ok((status, None));
                }
                body.extend_from_slice(&chunk);
            }
            Ok((status, Some(body)))
        };
        let answered = answering.await;
        let (status, body) =
            answered.map_err(|error: reqwest::Error| unavailable(describe(&error)))?;
        let body = body.ok_or_else(|| unavailable("its answer is too long".to_owned()))?;
        if status == StatusCode::OK {
            return serde_json::from_slice(&body)
                .map_err(|_| unavailable("its answer is not that of a registry".to_owned()));
        }
        let fault = serde_json::from_slice::<Fault>(&body).ok();
        match fault.is_some_and(|fault| NOT_THERE.contains(&fault.error_code)) {
            true => Err(SchemaError::NotFound),
            false => Err(unavailable(format!("it answers with {status}"))),
        }
    }

    fn count(&self, outcome: &str) {
        self.metrics.requests.with_label_values(&[outcome]).inc();
    }
}

/// Whether this is a list of certificates in PEM.
///
/// # Errors
/// What is wrong; it finishes the sentence that begins with what they are.
pub fn check_certificates(pem: &[u8]) -> Result<(), &'static str> {
    match Certificate::from_pem_bundle(pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(()),
        Ok(_) => Err("has no certificate"),
        Err(_) => Err("has no certificates in PEM"),
    }
}

/// The cause: what reqwest says of it would show the address, which may hold more than a host.
fn describe(error: &reqwest::Error) -> String {
    let outermost: &(dyn std::error::Error + 'static) = error;
    let innermost = std::iter::successors(Some(outermost), |error| error.source()).last();
    match innermost {
        Some(cause) if !cause.is::<reqwest::Error>() => cause.to_string(),
        _ if error.is_timeout() => "it does not answer in time".to_owned(),
        _ => "it cannot be asked".to_owned(),
    }
}
