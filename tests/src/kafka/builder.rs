//! What kind of Kafka a test wants.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::try_join_all;
use tokio::task::spawn_blocking;

use super::broker::{Broker, Place};
use super::jars::Jars;
use super::kafka::Kafka;
use super::settings::{Common, Listeners, Proxied};
use crate::Error;
use crate::fault::Proxy;
use crate::ports::Port;

/// Describes a Kafka before it is started. Made by [`Kafka::builder`].
#[derive(Debug, Clone)]
#[must_use = "nothing runs before start()"]
pub struct KafkaBuilder {
    brokers: usize,
    port: Option<u16>,
    initial_rebalance_delay: Duration,
    proxied: bool,
    sasl: bool,
    properties: BTreeMap<String, String>,
}

impl KafkaBuilder {
    pub(crate) fn new() -> Self {
        Self {
            brokers: 1,
            port: None,
            initial_rebalance_delay: Duration::ZERO,
            proxied: false,
            sasl: false,
            properties: BTreeMap::new(),
        }
    }

    /// Sets the number of brokers (1). Three keep three copies of everything and go on without
    /// one of them.
    pub fn brokers(mut self, brokers: usize) -> Self {
        self.brokers = brokers;
        self
    }

    /// Sets the port of the first broker, instead of a free one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Sets `group.initial.rebalance.delay.ms` (0). Kafka's own default, and production's, is 3 s.
    pub fn initial_rebalance_delay(mut self, delay: Duration) -> Self {
        self.initial_rebalance_delay = delay;
        self
    }

    /// Puts a [`Proxy`] before each broker, to which
    /// [`proxied_bootstrap`](Kafka::proxied_bootstrap) leads clients and where all brokers' own
    /// advertised addresses keep them. The harness itself goes straight to the brokers.
    pub fn through_proxy(mut self) -> Self {
        self.proxied = true;
        self
    }

    /// Adds a listener that asks for user and password (`SASL_PLAINTEXT`, mechanism `PLAIN`) and
    /// refuses everybody what is not granted by [`Kafka::allow`]: `admin` (`admin-secret`) may do
    /// everything, `alice` (`alice-secret`) nothing yet. Its address is
    /// [`sasl_bootstrap`](Kafka::sasl_bootstrap).
    pub fn sasl(mut self) -> Self {
        self.sasl = true;
        self
    }

    /// Sets a broker property, over whatever the harness sets.
    pub fn property(mut self, key: &str, value: impl ToString) -> Self {
        self.properties.insert(key.to_owned(), value.to_string());
        self
    }

    /// Starts it and returns once it serves: 4 s on a quiet machine, 8 for three brokers.
    ///
    /// # Panics
    /// As [`try_start`](Self::try_start) errs, with that one sentence.
    pub async fn start(self) -> Kafka {
        match self.try_start().await {
            Ok(kafka) => kafka,
            Err(error) => panic!("{error}"),
        }
    }

    /// Starts it and returns once it serves.
    ///
    /// # Errors
    /// When Java or Maven is missing, a port is taken, or a broker does not come up.
    pub async fn try_start(self) -> Result<Kafka, Error> {
        let ports: Vec<Ports> = (0..self.brokers)
            .map(|index| Ports::reserve(self.port.filter(|_| index == 0), self.sasl, self.proxied))
            .collect::<Result<_, _>>()?;
        let voters: Vec<String> = (1..)
            .zip(&ports)
            .map(|(id, ports): (usize, _)| format!("{id}@{}", ports.controller.address()))
            .collect();
        let common = Common {
            voters: voters.join(","),
            brokers: self.brokers,
            initial_rebalance_delay_ms: self.initial_rebalance_delay.as_millis(),
            acls: self.sasl,
            extra: self.properties.clone(),
        };
        let heap_mib = if self.brokers == 1 { 256 } else { 160 };
        let jars = blocking(Jars::provide).await?;
        let mut places = Vec::new();
        for (id, ports) in (1..).zip(ports) {
            places.push(ports.place(id, heap_mib).await?);
        }
        let prepared = places.into_iter().map(|place| {
            let (common, jars) = (common.clone(), jars.clone());
            blocking(move || {
                let broker = Broker::prepare(place, &common, jars)?;
                broker.launch()?;
                Ok(broker)
            })
        });
        let brokers = try_join_all(prepared).await?;
        try_join_all(brokers.iter().map(Broker::listening)).await?;
        let kafka = Kafka::of(brokers);
        kafka.serving().await?;
        Ok(kafka)
    }
}

/// The reserved ports of one broker.
struct Ports {
    plain: Port,
    controller: Port,
    sasl: Option<Port>,
    /// The broker's side and the proxy's side.
    proxied: Option<(Port, Port)>,
}

impl Ports {
    fn reserve(plain: Option<u16>, sasl: bool, proxied: bool) -> Result<Self, Error> {
        Ok(Self {
            plain: plain.map_or_else(Port::reserve, Port::fixed)?,
            controller: Port::reserve()?,
            sasl: sasl.then(Port::reserve).transpose()?,
            proxied: if proxied {
                Some((Port::reserve()?, Port::reserve()?))
            } else {
                None
            },
        })
    }

    async fn place(self, id: usize, heap_mib: u32) -> Result<Place, Error> {
        let listeners = Listeners {
            plain: self.plain.number(),
            controller: self.controller.number(),
            sasl: self.sasl.as_ref().map(Port::number),
            proxied: self.proxied.as_ref().map(|(inner, outer)| Proxied {
                listens: inner.number(),
                advertises: outer.number(),
            }),
        };
        let mut ports = vec![self.plain, self.controller];
        ports.extend(self.sasl);
        let proxy = match self.proxied {
            None => None,
            Some((inner, outer)) => {
                let proxy = Proxy::at(outer, &inner.address()).await?;
                ports.push(inner);
                Some(proxy)
            }
        };
        Ok(Place {
            id,
            listeners,
            ports,
            proxy,
            heap_mib,
        })
    }
}

/// Runs blocking work off the runtime's own threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => panic!("the runtime ended: {error}"),
        },
    }
}
