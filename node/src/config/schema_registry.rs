//! `[schema_registry]`: where the schemas of Avro are.

use std::time::Duration;

use reqwest::Url;
use toml::Value;

use super::key::{Heading, Key, Preset};
use super::secret::{Secret, secret};
use super::section::Section;
use super::value::{duration_within, list, number_within, text};

pub(super) const SCHEMA_REGISTRY: Heading = Heading {
    name: "schema_registry",
    about: "Where the schemas of Avro are: a registry that speaks Confluent's \
            API. The same on all nodes.",
    keys: &[
        &URL,
        &USERNAME,
        &PASSWORD,
        &PASSWORD_FILE,
        &TOKEN,
        &TOKEN_FILE,
        &CA_FILE,
        &TIMEOUT,
        &LATEST_TTL,
        &CACHE_ENTRIES,
    ],
};

const URL: Key = Key {
    name: "url",
    default: Preset::Nothing(r#""https://registry:8081""#),
    allowed: "one or more of http://host:port/path and https://host:port/path, without user, query and fragment",
    about: "Its address, or several, with the path under which `subjects` and `schemas` are \
            (`/apis/ccompat/v7` of Apicurio). The one that answered last is asked first. Without \
            it there is no Avro: 422 `schema_registry_not_configured`.",
};
const USERNAME: Key = Key {
    name: "username",
    default: Preset::Nothing(r#""sluice""#),
    allowed: "a text without a colon and control characters",
    about: "The user of basic authentication; needs a password.",
};
const PASSWORD: Key = Key {
    name: "password",
    default: Preset::Instead,
    allowed: A_SECRET,
    about: "The user's password. Secrets are read at the start, shown to the registry only, and \
            never logged.",
};
const PASSWORD_FILE: Key = Key {
    name: "password_file",
    default: Preset::Nothing(r#""/etc/sluice/registry-password""#),
    allowed: A_FILE,
    about: "The file that has the password instead.",
};
const TOKEN: Key = Key {
    name: "token",
    default: Preset::Instead,
    allowed: A_SECRET,
    about: "A bearer token instead of user and password.",
};
const TOKEN_FILE: Key = Key {
    name: "token_file",
    default: Preset::Nothing(r#""/etc/sluice/registry-token""#),
    allowed: A_FILE,
    about: "The file that has the token instead.",
};
const CA_FILE: Key = Key {
    name: "ca_file",
    default: Preset::Depends(
        "those whom the machine trusts",
        r#""/etc/sluice/registry-ca.pem""#,
    ),
    allowed: A_FILE,
    about: "PEM: who may sign the registry's certificate, and nobody else then.",
};
const TIMEOUT: Key = Key {
    name: "timeout",
    default: Preset::Is(r#""5s""#),
    allowed: "a duration from 100ms to 25s",
    about: "How long one address may take to answer.",
};
const LATEST_TTL: Key = Key {
    name: "latest_ttl",
    default: Preset::Is(r#""10s""#),
    allowed: "a duration from 1s to 1h",
    about: "For how long the latest version of a subject is taken to be that. Longer asks less and \
            notices a new version later. Schemas by id never change and are kept.",
};
const CACHE_ENTRIES: Key = Key {
    name: "cache_entries",
    default: Preset::Is("1000"),
    allowed: "a number from 10 to 100000",
    about: "Most schemas, and most subjects, that are kept.",
};

const A_SECRET: &str = "a text that is not empty";
const A_FILE: &str = "the path of a file";

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
    /// How long one address may take to answer.
    pub timeout: Duration,
    /// For how long the latest version of a subject is taken to be that. A longer time asks less
    /// and notices a new version later.
    pub latest_ttl: Duration,
    /// Most schemas, and most subjects, that are remembered.
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
        let urls = section.secret(&URL, |value| list(value, url));
        let urls = urls.unwrap_or_default();
        let credentials = credentials(&mut section, urls.is_empty());
        let certificates = certificates(&mut section);
        let timeout = section.value(&TIMEOUT, |value| duration_within(value, 100..=25_000));
        let latest_ttl = section.value(&LATEST_TTL, |value| {
            duration_within(value, 1_000..=3_600_000)
        });
        let cache_entries =
            section.value(&CACHE_ENTRIES, |value| number_within(value, 10..=100_000));
        section.finish();
        Self {
            urls,
            credentials,
            certificates,
            timeout,
            latest_ttl,
            cache_entries,
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
    let user = section.get(&USERNAME, |value| {
        let is_wrong = |letter: char| letter == ':' || letter.is_control();
        text(value).filter(|name| !name.contains(is_wrong))
    });
    let password = secret(section, &PASSWORD, &PASSWORD_FILE);
    let token = secret(section, &TOKEN, &TOKEN_FILE);
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
    let path = section.get(&CA_FILE, text)?;
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
