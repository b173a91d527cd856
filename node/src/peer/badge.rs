//! What nodes show each other with every request.

use std::sync::Arc;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use sluice_types::{NodeId, NodeName};

use crate::config::Secret;
use crate::identity::Identity;

const CLUSTER: HeaderName = HeaderName::from_static("sluice-cluster");
const SECRET: HeaderName = HeaderName::from_static("sluice-secret");
const SENDER: HeaderName = HeaderName::from_static("sluice-sender");
const RECEIVER: HeaderName = HeaderName::from_static("sluice-receiver");

/// Why a request on the internal port is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub(crate) enum Refused {
    /// It comes from outside the cluster.
    #[error("it is of another cluster")]
    Cluster,
    /// It does not know the secret.
    #[error("its secret is wrong")]
    Secret,
    /// It is meant for another node, or for an earlier run of this one.
    #[error("it is meant for another node")]
    Receiver,
}

/// What a node knows that strangers do not. Clones are cheap.
#[derive(Clone, Debug)]
pub(crate) struct Credentials(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    cluster: String,
    sender: NodeName,
    /// As they are shown.
    secrets: Vec<Secret>,
}

impl Credentials {
    /// Those of the node `sender`. The first secret is shown, all are accepted: so one can replace
    /// another without a gap.
    pub(crate) fn new(cluster: String, sender: NodeName, secrets: Vec<Secret>) -> Self {
        let shown = |secret: &Secret| Secret::new(hex(secret.reveal()));
        Self(Arc::new(Inner {
            cluster,
            sender,
            secrets: secrets.iter().map(shown).collect(),
        }))
    }

    /// The headers of a request to whichever node is at an address.
    pub(crate) fn show(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let secret = self.0.secrets.first().map_or("", Secret::reveal);
        put(&mut headers, CLUSTER, &self.0.cluster);
        put(&mut headers, SENDER, self.0.sender.as_str());
        put(&mut headers, SECRET, secret);
        headers
    }

    /// Whether a request comes from a node of this cluster, whomever it takes this one for.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let shown = |name| headers.get(name).map(HeaderValue::as_bytes);
        if shown(CLUSTER) != Some(self.0.cluster.as_bytes()) {
            return Err(Refused::Cluster);
        }
        let secret = shown(SECRET).unwrap_or_default();
        let knows = |known: &str| is_same(known.as_bytes(), secret);
        let is_right = match &self.0.secrets[..] {
            [] => secret.is_empty(),
            secrets => secrets.iter().map(Secret::reveal).any(knows),
        };
        is_right.then_some(()).ok_or(Refused::Secret)
    }

    /// Who sent a request, for the log.
    pub(crate) fn sender(headers: &HeaderMap) -> &str {
        let sender = headers.get(SENDER).and_then(|sender| sender.to_str().ok());
        sender.unwrap_or("unknown")
    }
}

/// What a node shows others with the requests of clients. Clones are cheap.
#[derive(Clone, Debug)]
pub(crate) struct Badge {
    credentials: Credentials,
    identity: Identity,
}

impl Badge {
    pub(crate) fn new(credentials: Credentials, identity: Identity) -> Self {
        Self {
            credentials,
            identity,
        }
    }

    /// The headers of a request to `receiver`.
    pub(crate) fn show(&self, receiver: &NodeId) -> HeaderMap {
        let mut headers = self.credentials.show();
        put(&mut headers, RECEIVER, &full(receiver));
        headers
    }

    /// Whether a request comes from a node of this cluster and is meant for this run of this node.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Refused> {
        self.credentials.check(headers)?;
        let own = full(&self.identity.node());
        match headers.get(RECEIVER).map(HeaderValue::as_bytes) {
            Some(receiver) if receiver == own.as_bytes() => Ok(()),
            _ => Err(Refused::Receiver),
        }
    }

    /// Whether a request comes from a node of this cluster, whomever it takes this one for.
    pub(crate) fn check_sender(&self, headers: &HeaderMap) -> Result<(), Refused> {
        self.credentials.check(headers)
    }
}

fn put(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

fn full(node: &NodeId) -> String {
    format!("{}/{}", node.name, node.incarnation.get())
}

/// A secret may have any characters, a header may not.
fn hex(secret: &str) -> String {
    secret.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// Compares without telling by its time how much is right.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let differences = one.iter().zip(other).map(|(a, b)| a ^ b);
    one.len() == other.len() && differences.fold(0, |all, difference| all | difference) == 0
}

#[cfg(test)]
mod tests {
    use sluice_types::Incarnation;

    use super::*;

    fn node(name: &str) -> NodeId {
        NodeId {
            name: name.parse().unwrap(),
            incarnation: Incarnation::random(),
        }
    }

    fn badge(cluster: &str, node: &NodeId, secrets: &[&str]) -> Badge {
        let secrets = secrets.iter().map(|secret| Secret::new(*secret)).collect();
        let credentials = Credentials::new(cluster.to_owned(), node.name.clone(), secrets);
        Badge::new(credentials, Identity::alone(node.clone()))
    }

    #[test]
    fn a_node_of_the_cluster_is_let_in() {
        let (a, b) = (node("a"), node("b"));
        let receiver = badge("sluice", &b, &["key"]);
        let shown = badge("sluice", &a, &["key"]).show(&b);
        assert_eq!(receiver.check(&shown), Ok(()));
        assert_eq!(Credentials::sender(&shown), "a");
        let open = badge("sluice", &a, &[]).show(&b);
        assert_eq!(badge("sluice", &b, &[]).check(&open), Ok(()));
        assert_eq!(receiver.check(&open), Err(Refused::Secret));
    }

    #[test]
    fn a_stranger_is_refused() {
        let (a, b) = (node("a"), node("b"));
        let receiver = badge("sluice", &b, &["key"]);
        for (cluster, secrets, refused) in [
            ("other", &["key"][..], Refused::Cluster),
            ("sluice", &["kex"][..], Refused::Secret),
            ("sluice", &["ke"][..], Refused::Secret),
            ("sluice", &[][..], Refused::Secret),
        ] {
            let shown = badge(cluster, &a, secrets).show(&b);
            assert_eq!(receiver.check(&shown), Err(refused));
        }
        assert_eq!(receiver.check(&HeaderMap::new()), Err(Refused::Cluster));
    }

    #[test]
    fn a_request_to_an_earlier_run_of_a_node_is_refused() {
        let (a, earlier, later) = (node("a"), node("b"), node("b"));
        let shown = badge("sluice", &a, &["key"]).show(&earlier);
        let receiver = badge("sluice", &later, &["key"]);
        assert_eq!(receiver.check(&shown), Err(Refused::Receiver));
    }

    #[test]
    fn two_secrets_are_valid_while_one_replaces_the_other() {
        let (a, b) = (node("a"), node("b"));
        let receiver = badge("sluice", &b, &["new", "old"]);
        for secret in ["new", "old"] {
            let shown = badge("sluice", &a, &[secret]).show(&b);
            assert_eq!(receiver.check(&shown), Ok(()));
        }
    }
}
