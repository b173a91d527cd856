//! `sluice dev`: a node with a broker of its own, for trying things out.

use std::fmt::Write;
use std::net::SocketAddr;
use std::process::ExitCode;

use sluice_actors::EmbeddedBroker;

use crate::app::{App, Options};
use crate::config::{Config, Env, Flags, Mistake, Mistakes};
use crate::shutdown;

/// The embedded broker waits this long for members at each change of a group, whether or not any
/// are missing: with Sluice's own 30 s, a session in a group that another one has just left would
/// be answered before it has partitions.
const SESSION_TIMEOUT: (&str, &str) = ("session.timeout.ms", "4000");

/// What `sluice dev` can be told.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Where clients connect, instead of http.bind [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    http: Option<String>,
    /// Where operators connect, instead of admin.bind
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
}

/// Where clients connect if nobody says otherwise: on this machine, as this is for trying out.
const HTTP: &str = "127.0.0.1:8080";

/// The variable by which somebody says otherwise.
const HTTP_VARIABLE: &str = "SLUICE_HTTP__BIND";

/// What of the environment makes no sense here, and why. `KAFKA_BOOTSTRAP_SERVERS`, which other
/// programs use too, is passed over.
const REFUSED: [(&str, &str); 2] = [
    (
        "SLUICE_KAFKA__BOOTSTRAP_SERVERS",
        "sluice dev has a broker of its own: unset it, or use sluice serve",
    ),
    (
        "SLUICE_CONFIG",
        "sluice dev reads no file: unset it, or use sluice serve",
    ),
];

impl Args {
    /// Checks that the environment asks for nothing that this is not for.
    ///
    /// # Errors
    /// All variables that make no sense here.
    pub fn check(env: &Env) -> Result<(), Mistakes> {
        let mistakes: Vec<Mistake> = REFUSED
            .iter()
            .filter(|(name, _)| env.contains_key(*name))
            .map(|(name, why)| Mistake::new(*name, *why))
            .collect();
        if mistakes.is_empty() {
            Ok(())
        } else {
            Err(Mistakes(mistakes))
        }
    }

    /// The flags of a node that uses this broker, in this environment.
    pub fn flags(&self, broker: &EmbeddedBroker, env: &Env) -> Flags {
        let is_told = self.http.is_some() || env.contains_key(HTTP_VARIABLE);
        let by_default = (!is_told).then(|| HTTP.to_owned());
        Flags {
            http_bind: self.http.clone().or(by_default),
            admin_bind: self.admin.clone(),
            bootstrap_servers: Some(broker.bootstrap_servers().to_owned()),
            data_dir: None,
        }
    }
}

/// Runs a node on the broker until it is told to stop, and says on the terminal where to look.
pub async fn run(mut config: Config, broker: EmbeddedBroker) -> ExitCode {
    let consumer = &mut config.kafka.consumer.0;
    consumer
        .entry(SESSION_TIMEOUT.0.to_owned())
        .or_insert_with(|| SESSION_TIMEOUT.1.to_owned());
    tracing::warn!(
        broker = broker.bootstrap_servers(),
        "the embedded broker is not kafka, and keeps its records in memory only"
    );
    let options = Options {
        embedded_broker: true,
        ..Options::default()
    };
    let running = match App::start(config, options).await {
        Ok(running) => running,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, cause, "the node cannot start");
            return ExitCode::FAILURE;
        }
    };
    print!("{}", greeting(&running.http, running.admin, &broker));
    let code = match shutdown::requested().await {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "signals cannot be received");
            ExitCode::FAILURE
        }
    };
    // Handles take long to close once their broker is gone, and the broker blocks while it ends.
    running.shutdown().await;
    let ended = tokio::task::spawn_blocking(move || drop(broker)).await;
    if let Err(error) = ended {
        tracing::error!(%error, "the embedded broker did not end");
    }
    code
}

/// What a person needs to know to start with.
fn greeting(http: &[SocketAddr], admin: SocketAddr, broker: &EmbeddedBroker) -> String {
    let at = http
        .first()
        .map_or_else(|| "localhost:8080".to_owned(), |at| reachable(*at));
    let topics: Vec<String> = broker
        .topics()
        .iter()
        .map(|(topic, partitions)| format!("{topic} ({partitions} partitions)"))
        .collect();
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write!(
        text,
        r#"
Sluice is up, with an embedded broker and sample records in {topics}.

  API      http://{at}/openapi.json
  Docs     http://{at}/docs
  Ready    http://{at}/readyz
  Admin    http://{admin}/metrics
  Broker   {broker} (native producers on this machine may use it)

This broker is not Apache Kafka: it is one process, and it forgets everything when it stops.
For a real one: sluice serve --kafka HOST:PORT

Try it, in another terminal:

  # a consumer session, from the oldest record on
  curl -s http://{at}/api/consumers/subscribe -H 'Content-Type: application/json' \
    -d '{{"group_id":"demo","topics":["orders"],"consumer_id":"demo-1","auto_offset_reset":"earliest"}}'

  # its next records; again and again, it waits when there are none
  curl -s http://{at}/api/consumers/demo-1/consume -H 'Content-Type: application/json' \
    -d '{{"timeout_ms":5000,"max_records":5}}'

  # commit what has been delivered, and end the session
  curl -s -X POST http://{at}/api/consumers/demo-1/commit
  curl -s -X DELETE http://{at}/api/consumers/demo-1

  # the same without a session
  curl -s http://{at}/consume -H 'Content-Type: application/json' -d '{{"topic":"orders"}}'

Ctrl-C stops it.

"#,
        topics = topics.join(" and "),
        admin = reachable(admin),
        broker = broker.bootstrap_servers(),
    );
    text
}

/// The address as a person on this machine can use it.
fn reachable(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        format!("localhost:{}", address.port())
    } else {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_says_where_clients_connect_unless_a_flag_does() {
        let broker = EmbeddedBroker::start().unwrap();
        let told = |http: Option<&str>, env: &Env| {
            let args = Args {
                http: http.map(str::to_owned),
                admin: None,
            };
            args.flags(&broker, env).http_bind
        };
        let (empty, env) = (
            Env::new(),
            Env::from([(HTTP_VARIABLE.to_owned(), "127.0.0.1:9".to_owned())]),
        );
        assert_eq!(told(None, &empty).as_deref(), Some(HTTP));
        assert_eq!(told(None, &env), None);
        assert_eq!(told(Some("[::1]:7"), &env).as_deref(), Some("[::1]:7"));
    }

    #[test]
    fn what_makes_no_sense_here_is_refused_with_its_name() {
        let env: Env = REFUSED
            .map(|(name, _)| (name.to_owned(), "x".to_owned()))
            .into();
        let refused = Args::check(&env).unwrap_err().to_string();
        for (name, why) in REFUSED {
            assert!(refused.contains(&format!("{name}: {why}")), "{refused}");
        }
        assert_eq!(Args::check(&Env::new()), Ok(()));
    }

    #[test]
    fn the_greeting_names_usable_addresses() {
        let broker = EmbeddedBroker::start().unwrap();
        let http = ["0.0.0.0:8081".parse().unwrap()];
        let text = greeting(&http, "127.0.0.1:9091".parse().unwrap(), &broker);
        assert!(text.contains("http://localhost:8081/docs"), "{text}");
        assert!(text.contains("http://127.0.0.1:9091/metrics"), "{text}");
        assert!(
            text.contains("orders (3 partitions) and events (2 partitions)"),
            "{text}"
        );
        assert!(text.contains("not Apache Kafka"), "{text}");
        assert!(!text.contains("{{"), "{text}");
    }
}
