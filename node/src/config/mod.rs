//! The configuration: one TOML file, every key overridable by environment, a few by flags.
//!
//! Everything is read and checked before anything binds, and every mistake is told at once. The
//! structs here hold only values that are right.
//!
//! ```text
//! file -> environment -> flags     source.rs   raw values by section and key
//!                                  section.rs  takes keys, notes mistakes
//! key.rs                           what a key is: its default, what is allowed, what for
//! reference.rs                     the file with all keys, made of that
//! http.rs admin.rs …               one section each: its keys, and raw -> checked
//! ```

mod admin;
mod cluster;
mod drain;
mod http;
mod kafka;
mod key;
mod limits;
mod metrics;
mod mistake;
mod reference;
mod schema_registry;
mod secret;
mod section;
mod source;
mod value;

use std::path::Path;

use toml::Value;

pub use admin::Admin;
pub use cluster::Cluster;
pub use drain::Drain;
pub use http::Http;
pub use kafka::{Kafka, Properties};
pub use limits::Limits;
pub use metrics::Metrics;
pub use mistake::{Mistake, Mistakes};
pub use schema_registry::{Credentials, SchemaRegistry};
pub use secret::Secret;
pub use source::Env;
pub use value::HostPort;

use key::Heading;
use section::Section;
use source::Source;

/// What a node is told. Made only by [`Config::load`], so every value is right.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect.
    pub http: Http,
    /// Where operators connect.
    pub admin: Admin,
    /// Who this node is.
    pub cluster: Cluster,
    /// How to reach Kafka.
    pub kafka: Kafka,
    /// Where the schemas of Avro are.
    pub schema_registry: SchemaRegistry,
    /// How much the node takes on.
    pub limits: Limits,
    /// How it stops.
    pub drain: Drain,
    /// What is counted apart.
    pub metrics: Metrics,
}

/// Values from the command line; they win over the file and the environment.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `http.bind`.
    pub http_bind: Option<String>,
    /// `admin.bind`.
    pub admin_bind: Option<String>,
    /// `kafka.bootstrap_servers`.
    pub bootstrap_servers: Option<String>,
    /// `cluster.data_dir`.
    pub data_dir: Option<String>,
}

impl Config {
    /// Reads the file at `path`, if there is one, then the environment, then the flags.
    ///
    /// # Errors
    /// All mistakes at once, each with its key, its value and what is allowed.
    pub fn load(path: Option<&Path>, env: &Env, flags: &Flags) -> Result<Self, Mistakes> {
        let text = match path.map(|path| (path, std::fs::read_to_string(path))) {
            None => String::new(),
            Some((_, Ok(text))) => text,
            Some((path, Err(error))) => {
                let reason = format!("the file cannot be read: {error}");
                return Err(Mistakes(vec![Mistake::new(
                    path.display().to_string(),
                    reason,
                )]));
            }
        };
        Self::parse(&text, env, flags)
    }

    /// A file with every key at its default, with what each is for and what is allowed.
    pub fn reference() -> String {
        reference::file(true)
    }

    /// As [`load`](Self::load), from the file's text.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn parse(text: &str, env: &Env, flags: &Flags) -> Result<Self, Mistakes> {
        let mut mistakes = Vec::new();
        let mut source = Source::default();
        source.add_file(text, &mut mistakes);
        source.add_env(env, &mut mistakes);
        let given = [
            ("http", "bind", "--http", &flags.http_bind),
            ("admin", "bind", "--admin", &flags.admin_bind),
            (
                "kafka",
                "bootstrap_servers",
                "--kafka",
                &flags.bootstrap_servers,
            ),
            ("cluster", "data_dir", "--data-dir", &flags.data_dir),
        ];
        for (section, key, flag, value) in given {
            if let Some(value) = value {
                source.set(section, key, flag.to_owned(), Value::String(value.clone()));
            }
        }
        let all = &mut mistakes;
        let config = Self {
            http: Http::check(Section::take(&mut source, &http::HTTP, all)),
            admin: Admin::check(Section::take(&mut source, &admin::ADMIN, all)),
            cluster: Cluster::check(Section::take(&mut source, &cluster::CLUSTER, all), env),
            kafka: Kafka::check(Section::take(&mut source, &kafka::KAFKA, all), env),
            schema_registry: SchemaRegistry::check(Section::take(
                &mut source,
                &schema_registry::SCHEMA_REGISTRY,
                all,
            )),
            limits: Limits::check(Section::take(&mut source, &limits::LIMITS, all)),
            drain: Drain::check(Section::take(&mut source, &drain::DRAIN, all)),
            metrics: Metrics::check(Section::take(&mut source, &metrics::METRICS, all)),
        };
        let known = SECTIONS.map(|heading| heading.name);
        for (name, entries) in source.sections {
            let named = entries.into_values().next().map(|entry| entry.name);
            mistakes.push(Mistake::new(
                named.unwrap_or_else(|| name.clone()),
                format!("{name} is not a section: there are {}", known.join(", ")),
            ));
        }
        if mistakes.is_empty() {
            Ok(config)
        } else {
            Err(Mistakes(mistakes))
        }
    }
}

/// Every section, in the order of the page.
const SECTIONS: [&Heading; 8] = [
    &http::HTTP,
    &admin::ADMIN,
    &cluster::CLUSTER,
    &kafka::KAFKA,
    &schema_registry::SCHEMA_REGISTRY,
    &limits::LIMITS,
    &drain::DRAIN,
    &metrics::METRICS,
];

#[cfg(test)]
mod tests;
