//! All brokers of one Kafka, and how clients reach them.

use std::env;
use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use futures::future::try_join_all;
use rdkafka::ClientConfig;
use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::FutureProducer;
use tokio::sync::OnceCell;

use super::broker::Broker;
use super::builder::{KafkaBuilder, blocking};
use super::settings::USERS;
use crate::{Error, wait};

/// How long one request of the harness to Kafka may take.
pub(crate) const REQUEST: Duration = Duration::from_secs(20);

/// Time for listening brokers to find each other and serve.
const SERVE: Duration = Duration::from_secs(60);

/// A running Apache Kafka: one broker or several, each a JVM process.
///
/// What asks Kafka something returns an [`Error`] that tells what was asked, for `unwrap()` in a
/// test. Dropping it kills the brokers and removes their data; their logs stay when the test
/// fails, at a path that is printed.
///
/// ```no_run
/// # async fn example() -> Result<(), sluice_tests::Error> {
/// use sluice_tests::{Kafka, kafka::Record, unique};
///
/// let kafka = Kafka::shared().await;
/// let topic = unique("orders");
/// kafka.create_topic(&topic, 3).await?;
/// kafka.produce(&topic, [Record::value("hello").key("k").partition(2)]).await?;
/// # Ok(()) }
/// ```
pub struct Kafka {
    bootstrap: String,
    /// Empty when it runs elsewhere.
    brokers: Vec<Broker>,
    admin: OnceLock<AdminClient<DefaultClientContext>>,
    producer: OnceLock<FutureProducer>,
}

impl Kafka {
    /// Returns the one Kafka of this test process, started by the first test that asks. It ends
    /// with the process. Take [`unique`](crate::unique) names in it.
    ///
    /// The environment variable `SLUICE_TEST_KAFKA` (`host:port`) names a running one to use
    /// instead.
    ///
    /// # Panics
    /// When it cannot be started or reached, with one sentence that says what to do.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Kafka> = OnceCell::const_new();
        let started = SHARED
            .get_or_try_init(async || match env::var("SLUICE_TEST_KAFKA") {
                Ok(bootstrap) if !bootstrap.is_empty() => Self::connect(&bootstrap).await,
                _ => Self::builder().try_start().await,
            })
            .await;
        match started {
            Ok(kafka) => {
                // Shown with what a failing test has printed.
                for broker in &kafka.brokers {
                    eprintln!("log of the shared Kafka: {}", broker.log().display());
                }
                kafka
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Starts one broker of the test's own, to kill, freeze or configure.
    ///
    /// # Panics
    /// When it cannot be started, with one sentence that says what to do.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Starts several brokers; three keep three copies of everything.
    ///
    /// # Panics
    /// When they cannot be started, with one sentence that says what to do.
    pub async fn cluster(brokers: usize) -> Self {
        Self::builder().brokers(brokers).start().await
    }

    /// Returns a description of one broker with the harness's usual settings.
    pub fn builder() -> KafkaBuilder {
        KafkaBuilder::new()
    }

    /// Uses a Kafka that runs elsewhere: it cannot be killed or frozen from here.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn connect(bootstrap: &str) -> Result<Self, Error> {
        let kafka = Self::new(bootstrap.to_owned(), Vec::new());
        let what = format!("cannot reach the Kafka at {bootstrap}");
        kafka
            .ask(&what, None, |consumer| {
                consumer.fetch_metadata(None, REQUEST).map(drop)
            })
            .await?;
        Ok(kafka)
    }

    pub(crate) fn of(brokers: Vec<Broker>) -> Self {
        let addresses: Vec<String> = brokers.iter().map(Broker::address).collect();
        Self::new(addresses.join(","), brokers)
    }

    fn new(bootstrap: String, brokers: Vec<Broker>) -> Self {
        Self {
            bootstrap,
            brokers,
            admin: OnceLock::new(),
            producer: OnceLock::new(),
        }
    }

    /// Returns the brokers' own addresses, `host:port` comma separated.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Returns the addresses of the proxies before the brokers.
    ///
    /// # Panics
    /// Unless it was built with [`through_proxy`](KafkaBuilder::through_proxy).
    #[track_caller]
    pub fn proxied_bootstrap(&self) -> String {
        let address = |broker: &Broker| broker.proxy().map(|proxy| proxy.address().to_string());
        self.addresses(address)
            .expect("this Kafka was built with through_proxy()")
    }

    /// Returns the addresses of the listeners that ask for user and password.
    ///
    /// # Panics
    /// Unless it was built with [`sasl`](KafkaBuilder::sasl).
    #[track_caller]
    pub fn sasl_bootstrap(&self) -> String {
        let address = |broker: &Broker| Some(format!("127.0.0.1:{}", broker.listeners().sasl?));
        self.addresses(address)
            .expect("this Kafka was built with sasl()")
    }

    fn addresses(&self, of: impl Fn(&Broker) -> Option<String>) -> Option<String> {
        let all: Option<Vec<String>> = self.brokers.iter().map(of).collect();
        all.filter(|all| !all.is_empty()).map(|all| all.join(","))
    }

    /// Returns librdkafka's settings for a native client: where Kafka is, and quick reconnects.
    pub fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap)
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "500")
            .set("enable.metrics.push", "false")
            .set("topic.metadata.propagation.max.ms", "2000")
            .set("allow.auto.create.topics", "false");
        config
    }

    /// Returns librdkafka's settings for a native client that comes as `user` by the
    /// [`sasl`](KafkaBuilder::sasl) listener, with the right password.
    ///
    /// # Panics
    /// When there is no such user or listener.
    #[track_caller]
    pub fn sasl_config(&self, user: &str) -> ClientConfig {
        let (_, password) = USERS
            .iter()
            .find(|(name, _)| *name == user)
            .expect("the users are admin and alice");
        let mut config = self.client_config();
        config
            .set("bootstrap.servers", self.sasl_bootstrap())
            .set("security.protocol", "sasl_plaintext")
            .set("sasl.mechanism", "PLAIN")
            .set("sasl.username", user)
            .set("sasl.password", *password);
        config
    }

    /// Returns the brokers, in the order of their ids; none if this Kafka runs elsewhere.
    pub fn brokers(&self) -> &[Broker] {
        &self.brokers
    }

    /// Kills all brokers with SIGKILL.
    ///
    /// # Errors
    /// When this Kafka runs elsewhere.
    pub fn kill(&self) -> Result<(), Error> {
        self.own("kill")?.iter().for_each(Broker::kill);
        Ok(())
    }

    /// Stops all brokers with SIGSTOP: connections stay open, nothing is answered.
    ///
    /// # Errors
    /// When this Kafka runs elsewhere.
    pub fn freeze(&self) -> Result<(), Error> {
        self.own("freeze")?.iter().for_each(Broker::freeze);
        Ok(())
    }

    /// Lets frozen brokers go on.
    ///
    /// # Errors
    /// When this Kafka runs elsewhere.
    pub fn thaw(&self) -> Result<(), Error> {
        self.own("thaw")?.iter().for_each(Broker::thaw);
        Ok(())
    }

    /// Starts all brokers again on their ports and data, killing those that run, and returns once
    /// all serve.
    ///
    /// # Errors
    /// When one does not come up, or this Kafka runs elsewhere.
    pub async fn restart(&self) -> Result<(), Error> {
        let brokers = self.own("restart")?;
        try_join_all(brokers.iter().map(Broker::restart)).await?;
        self.serving().await
    }

    /// Waits until every running broker is known to Kafka and every partition has a leader.
    ///
    /// # Errors
    /// When that takes more than a minute.
    pub async fn serving(&self) -> Result<(), Error> {
        let running = self
            .brokers
            .iter()
            .filter(|broker| broker.is_running())
            .count();
        let seen = wait::look_until(SERVE, async || {
            let metadata = self
                .ask("metadata", None, |consumer| {
                    consumer.fetch_metadata(None, Duration::from_secs(5))
                })
                .await
                .map_err(|error| error.to_string())?;
            let headless: Vec<&str> = metadata
                .topics()
                .iter()
                .filter(|topic| topic.partitions().iter().any(|p| p.leader() < 0))
                .map(|topic| topic.name())
                .collect();
            match metadata.brokers().len() {
                found if found < running => Err(format!("{found} of {running} brokers")),
                _ if !headless.is_empty() => Err(format!("no leader: {headless:?}")),
                _ => Ok(()),
            }
        })
        .await;
        seen.map_err(|seen| {
            let what = format!("Kafka does not serve: {seen}");
            match self.brokers.first() {
                Some(broker) => broker.failure(what),
                None => Error::Late {
                    what,
                    deadline: SERVE,
                },
            }
        })
    }

    fn own(&self, what: &'static str) -> Result<&[Broker], Error> {
        if self.brokers.is_empty() {
            return Err(Error::External { what });
        }
        Ok(&self.brokers)
    }

    pub(crate) fn admin(&self) -> &AdminClient<DefaultClientContext> {
        self.admin.get_or_init(|| {
            self.client_config()
                .create()
                .expect("an admin client needs nothing but addresses")
        })
    }

    pub(crate) fn producer(&self) -> &FutureProducer {
        self.producer.get_or_init(|| {
            self.client_config()
                .set("enable.idempotence", "true")
                .set("queue.buffering.max.messages", "100000")
                .set("message.max.bytes", "10000000")
                .create()
                .expect("a producer needs nothing but addresses")
        })
    }

    /// Asks through a native consumer of no group, or of one that it does not join.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        what: &str,
        group: Option<&str>,
        question: impl FnOnce(&BaseConsumer) -> rdkafka::error::KafkaResult<T> + Send + 'static,
    ) -> Result<T, Error> {
        let mut config = self.client_config();
        config
            .set("enable.auto.commit", "false")
            .set("group.id", group.unwrap_or("sluice-tests-never-joined"));
        let failed = Error::kafka(what.to_owned());
        blocking(move || {
            let asking = || question(&config.create::<BaseConsumer>()?);
            asking().map_err(failed)
        })
        .await
    }
}

impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kafka")
            .field("bootstrap", &self.bootstrap)
            .field("brokers", &self.brokers)
            .finish_non_exhaustive()
    }
}
