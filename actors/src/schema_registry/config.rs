//! How the schema registry is reached.

use std::fmt;
use std::time::Duration;

/// How the schema registry is reached, and what is remembered of it. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct SchemaRegistryConfig {
    /// Its addresses: `http://` or `https://`, with the path under which `subjects` and `schemas`
    /// are. The first one that answers is used until it does not. Not empty.
    pub urls: Vec<String>,
    /// What is shown to it.
    pub credentials: Option<SchemaRegistryCredentials>,
    /// PEM: who may sign its certificate, instead of those whom the machine trusts.
    pub certificates: Option<Vec<u8>>,
    /// How long one of its addresses may take to answer.
    pub timeout: Duration,
    /// How long the latest version of a subject is taken to be that.
    pub latest_ttl: Duration,
    /// Most schemas, and most subjects, that are remembered.
    pub cache_entries: u64,
}

/// What is shown to the schema registry.
#[derive(Clone, PartialEq, Eq)]
pub enum SchemaRegistryCredentials {
    /// HTTP's basic authentication.
    Basic {
        /// The user's name.
        user: String,
        /// The password.
        password: String,
    },
    /// A bearer token.
    Bearer(String),
}

impl fmt::Debug for SchemaRegistryCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Basic(secret)",
            Self::Bearer(_) => "Bearer(secret)",
        })
    }
}
