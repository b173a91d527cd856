//! `[schema_registry]`: where the schemas of Avro are.

use std::time::Duration;

use reqwest::Url;
use toml::Value;

use super::secret::{Secret, secret};
use super::section::Section;
use super::value::{duration, integer, list, text};

/// Where the schemas of Avro are.
#[derive(Clone, Debug)]
pub struct SchemaRegistry {
    /// The addresses of the registry; the first one that answers is used until it does not. None:
    /// there is no Avro.
    pub urls: Vec<Url>,
    /// What is shown to it.
    pub credentials: Option<Credentials>,
    /// PEM: who may sign its certificate, instead of those whom the machine trusts.
    pub certificates: Option<Vec<u8>>,
    /// How long one address may take to answer. Default 5 s.
    pub timeout: Duration,
    /// For how long the latest version of a subject is taken to be that. A longer time asks less
    /// and notices a new version later. Default 10 s.
    pub latest_ttl: Duration,
    /// Most schemas, and most subjects, that are remembered. Default 1000.
    pub cache_entries: u64,
}

/// What is shown to the registry.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// A user's name and password.
    Basic(String, Secret),
    /// A bearer token.
    Bearer(Secret),
}

impl SchemaRegistry {
    pub(super) fn check(mut section: Section<'_>) -> Self {
        // Not shown: a password may stand where none should.
        let urls = section.secret(
            "url",
            "one or more of http://host:port/path and https://host:port/path, without user, query and fragment",
            |value| list(value, url),
        );
        let urls = urls.unwrap_or_default();
        let credentials = credentials(&mut section, urls.is_empty());
        let certificates = certificates(&mut section);
        let timeout = section.get("timeout", "a duration from 100ms to 25s", |value| {
            let range = Duration::from_millis(100)..=Duration::from_secs(25);
            duration(value).filter(|timeout| range.contains(timeout))
        });
        let latest_ttl = section.get("latest_ttl", "a duration from 1s to 1h", |value| {
            let range = Duration::from_secs(1)..=Duration::from_secs(3600);
            duration(value).filter(|ttl| range.contains(ttl))
        });
        let cache_entries = section.get("cache_entries", "a number from 10 to 100000", |value| {
            integer(value).filter(|entries| (10..=100_000).contains(entries))
        });
        section.finish();
        Self {
            urls,
            credentials,
            certificates,
            timeout: timeout.unwrap_or(Duration::from_secs(5)),
            latest_ttl: latest_ttl.unwrap_or(Duration::from_secs(10)),
            cache_entries: cache_entries.unwrap_or(1000),
        }
    }
}

fn url(value: &Value) -> Option<Url> {
    let url = Url::parse(value.as_str()?.trim()).ok()?;
    let is_http = matches!(url.scheme(), "http" | "https") && url.has_host();
    // A password in the address would be shown with it.
    let is_bare = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    (is_http && is_bare).then_some(url)
}

fn credentials(section: &mut Section<'_>, goes_nowhere: bool) -> Option<Credentials> {
    let user = section.get(
        "username",
        "a text without a colon and control characters",
        |value| {
            let is_wrong = |letter: char| letter == ':' || letter.is_control();
            text(value).filter(|name| !name.contains(is_wrong))
        },
    );
    let password = secret(section, "password", "password_file");
    let token = secret(section, "token", "token_file");
    if goes_nowhere && (user.is_some() || password.is_some() || token.is_some()) {
        section.mistake("url", "is missing: the credentials are for nobody");
    }
    match (user, password, token) {
        (Some(user), Some(password), None) => Some(Credentials::Basic(user, password)),
        (None, None, Some(token)) => Some(Credentials::Bearer(token)),
        (None, None, None) => None,
        (Some(_), None, None) => {
            section.mistake("password", "is missing: schema_registry.username needs it");
            None
        }
        (None, Some(_), None) => {
            section.mistake("username", "is missing: schema_registry.password needs it");
            None
        }
        (_, _, Some(_)) => {
            let reason = "must not stand beside schema_registry.username and password";
            section.mistake("token", reason);
            None
        }
    }
}

fn certificates(section: &mut Section<'_>) -> Option<Vec<u8>> {
    let path = section.get("ca_file", "the path of a file", text)?;
    let pem = match std::fs::read(&path) {
        Ok(pem) => pem,
        Err(error) => {
            section.mistake("ca_file", format!("{path} cannot be read: {error}"));
            return None;
        }
    };
    if let Err(refused) = sluice_actors::check_certificates(&pem) {
        section.mistake("ca_file", format!("{path} {refused}"));
        return None;
    }
    Some(pem)
}
