//! A network in this process, whose links can be cut.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep, sleep_until};

use super::{Transport, TransportError};
use crate::Consensus;
use crate::liveness::Probe;

/// The links between members, by their addresses. Clones are the same network.
#[derive(Clone, Default)]
pub(crate) struct Network(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    members: HashMap<String, Weak<Consensus>>,
    /// From, to: what is sent is lost.
    cut: HashSet<(String, String)>,
    delay: Duration,
}

impl Network {
    /// The transport of the member at this address.
    pub(crate) fn of(&self, address: &str) -> Arc<dyn Transport> {
        Arc::new(Link {
            network: self.clone(),
            from: address.to_owned(),
        })
    }

    /// The member at the address is this one from now on.
    pub(crate) fn put(&self, address: &str, member: &Arc<Consensus>) {
        let member = Arc::downgrade(member);
        self.state().members.insert(address.to_owned(), member);
    }

    /// Connections to the address are refused from now on.
    pub(crate) fn remove(&self, address: &str) {
        self.state().members.remove(address);
    }

    /// What goes from the one to the other is lost from now on.
    pub(crate) fn cut_one_way(&self, from: &str, to: &str) {
        let link = (from.to_owned(), to.to_owned());
        self.state().cut.insert(link);
    }

    /// The two sides do not hear of each other any more.
    pub(crate) fn split(&self, one: &[&str], other: &[&str]) {
        for a in one {
            for b in other {
                self.cut_one_way(a, b);
                self.cut_one_way(b, a);
            }
        }
    }

    /// Nothing is lost any more.
    pub(crate) fn heal(&self) {
        self.state().cut.clear();
    }

    /// What an attempt to connect tells: what is lost says nothing.
    pub(crate) fn probe(&self, from: &str, to: &str) -> Probe {
        if self.is_cut(from, to) || self.is_cut(to, from) {
            return Probe::Unknown;
        }
        let member = self.state().members.get(to).cloned();
        match member.and_then(|member| member.upgrade()) {
            Some(_) => Probe::Reached,
            None => Probe::Refused,
        }
    }

    /// Everything takes this long from now on, one way.
    pub(crate) fn delay(&self, delay: Duration) {
        self.state().delay = delay;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn is_cut(&self, from: &str, to: &str) -> bool {
        let link = (from.to_owned(), to.to_owned());
        self.state().cut.contains(&link)
    }

    async fn travel(&self) {
        let delay = self.state().delay;
        if !delay.is_zero() {
            sleep(delay).await;
        }
    }
}

struct Link {
    network: Network,
    from: String,
}

impl Link {
    /// Nobody says that something is lost: it is waited for.
    async fn lost(&self, deadline: Instant) -> Result<Vec<u8>, TransportError> {
        sleep_until(deadline).await;
        Err(TransportError::NoAnswer("time is up".to_owned()))
    }
}

#[async_trait]
impl Transport for Link {
    async fn call(
        &self,
        address: &str,
        frame: Vec<u8>,
        deadline: Instant,
    ) -> Result<Vec<u8>, TransportError> {
        if self.network.is_cut(&self.from, address) {
            return self.lost(deadline).await;
        }
        self.network.travel().await;
        let member = self.network.state().members.get(address).cloned();
        let Some(member) = member.and_then(|member| member.upgrade()) else {
            return Err(TransportError::NotReached("refused".to_owned()));
        };
        // A task of its own: what has arrived goes on when the asker gives up.
        let answer = tokio::spawn(async move { member.handle(&frame).await });
        let Ok(answer) = answer.await else {
            return Err(TransportError::NoAnswer("the member broke down".to_owned()));
        };
        self.network.travel().await;
        if self.network.is_cut(address, &self.from) {
            return self.lost(deadline).await;
        }
        Ok(answer)
    }
}
