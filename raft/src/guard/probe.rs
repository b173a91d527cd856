//! Finding out whether a process is gone: its machine refuses connections then.

use std::io::ErrorKind;
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::NodeAddress;
use crate::liveness::Probe;

/// How long a probe may take. A refusal comes within a round trip.
const PATIENCE: Duration = Duration::from_millis(400);

/// Tries whether somebody listens at an address.
///
/// # To be kept for correctness
/// - [`Probe::Refused`] only if the machine that the address names has said so: a time-out, or a
///   name that is not known, is [`Probe::Unknown`].
#[async_trait]
pub trait Prober: Send + Sync + 'static {
    /// Connects, in less than a second, and hangs up.
    async fn probe(&self, address: &NodeAddress) -> Probe;
}

/// Connects by TCP.
#[derive(Debug, Clone, Copy, Default)]
pub struct TcpProber;

#[async_trait]
impl Prober for TcpProber {
    async fn probe(&self, address: &NodeAddress) -> Probe {
        let probed = timeout(PATIENCE, connect(address.as_str())).await;
        probed.unwrap_or(Probe::Unknown)
    }
}

/// Refused only if each of the addresses that the name has refuses.
async fn connect(address: &str) -> Probe {
    let Ok(addresses) = lookup_host(address).await else {
        return Probe::Unknown;
    };
    let mut told = Probe::Unknown;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(_) => return Probe::Reached,
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => told = Probe::Refused,
            Err(_) => return Probe::Unknown,
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn probe(address: &str) -> Probe {
        TcpProber.probe(&address.parse().unwrap()).await
    }

    #[tokio::test]
    async fn a_listener_is_reached_and_one_that_is_gone_refuses() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert_eq!(probe(&address).await, Probe::Reached);
        drop(listener);
        assert_eq!(probe(&address).await, Probe::Refused);
    }

    #[tokio::test]
    async fn a_name_that_nobody_knows_says_nothing() {
        assert_eq!(probe("no-such-host.invalid:7000").await, Probe::Unknown);
    }
}
