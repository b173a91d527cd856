//! The one place that builds a node and wires its parts.

mod running;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::{App as ActixApp, HttpServer, web};
use sluice_actors::{
    Deadline, Newest, ProducerConfig, Producers, SchemaRegistryConfig, SchemaRegistryCredentials,
    Sessions,
};
use sluice_raft::guard::Gauges;
use sluice_raft::{NodeAddress, VolumeError};
use sluice_types::{Clock, SystemClock};
use socket2::SockRef;

use crate::api::{self, Draining, Port, Readiness, State};
use crate::cluster::{Introduction, Membership, Seat};
use crate::config::{Config, Credentials as RegistryCredentials};
use crate::metrics::HttpMetrics;
use crate::nodes::Nodes;
use crate::ownership::{Ownership, RegistryAuthority};
use crate::peer::{Badge, Credentials, Fates, Frames, Peers, Strangers};
use crate::receipts::Ledger;
use crate::sight::Sight;
use crate::threads;

pub use running::Running;

/// How long a client may leave sent bytes unacknowledged before its connection is given up.
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);

/// How long a connection may take to close.
const CLOSING: Duration = Duration::from_secs(2);

/// How long closing a Kafka handle may take before it is given up.
const CLOSE_HANDLE: Duration = Duration::from_secs(5);

/// The address of a node that has no internal port. It is alone, and nobody looks for it there.
const NOWHERE: &str = "localhost:1";

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The node cannot take part in its cluster, because of its volume for instance.
    #[error("the registry cannot start")]
    Registry(#[source] sluice_raft::StartError),
    /// The address that other nodes are to reach this one at is none.
    #[error("other nodes cannot be told where this one is")]
    Advertise(#[source] sluice_raft::InvalidAddress),
    /// The producers' part did not start, because of librdkafka properties for instance.
    #[error("producers cannot start")]
    Producers(#[source] sluice_actors::Error),
    /// The sessions' part did not start, because of a librdkafka property for instance.
    #[error("sessions cannot start")]
    Sessions(#[source] sluice_actors::Error),
    /// The HTTP client to other nodes cannot be made.
    #[error("other nodes cannot be reached")]
    Peers(#[source] reqwest::Error),
    /// A metric has been registered twice.
    #[error("metrics cannot be registered")]
    Metrics(#[source] prometheus::Error),
}

impl StartError {
    /// Whether somebody has to look after the volume. It is not at fault for being in use.
    pub(crate) fn is_of_volume(&self) -> bool {
        use sluice_raft::StartError::{Store, Volume};
        match self {
            Self::Registry(Volume(error)) => !matches!(error, VolumeError::Locked(_)),
            Self::Registry(error) => matches!(error, Store(_)),
            _ => false,
        }
    }
}

/// What differs from a node in production.
#[derive(Clone)]
pub struct Options {
    /// Reads wall time.
    pub clock: Arc<dyn Clock>,
    /// The broker is the embedded one, which cannot do everything.
    pub embedded_broker: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            embedded_broker: false,
        }
    }
}

/// A node.
#[derive(Debug)]
pub struct App;

impl App {
    /// Starts a node. It listens when this returns. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`]; nothing listens then.
    pub async fn start(config: Config, options: Options) -> Result<Running, StartError> {
        let http = listen_all(&config.http.bind)?;
        let admin = listen(config.admin.bind)?;
        let internal = config.cluster.bind.map(listen).transpose()?;
        let http_addresses = local_addresses(&http, &config.http.bind)?;
        let admin_address = local_address(&admin, config.admin.bind)?;

        let metrics = prometheus::Registry::new();
        let http_metrics = HttpMetrics::register(&metrics).map_err(StartError::Metrics)?;
        let internal_address = match (&internal, config.cluster.bind) {
            (Some(listener), Some(asked)) => Some(local_address(listener, asked)?),
            _ => None,
        };
        let capacity = threads::session_limit(&config).get();
        let me = Introduction {
            name: config.cluster.name.clone(),
            address: advertised(&config, internal_address)?,
            capacity: u32::try_from(capacity).unwrap_or(u32::MAX),
        };
        let cluster = &config.cluster;
        let credentials = Credentials::new(
            cluster.id.clone(),
            cluster.name.clone(),
            cluster.secrets.clone(),
        );
        let sight = Sight::register(&metrics).map_err(StartError::Metrics)?;
        let sight = Arc::new(sight);
        let clock = Arc::clone(&options.clock);
        let mut seat = match &cluster.data_dir {
            Some(data_dir) => {
                let frames = Frames::new(credentials.clone()).map_err(StartError::Peers)?;
                Seat::open(
                    cluster,
                    data_dir,
                    me,
                    Arc::new(frames),
                    sight.clone(),
                    clock,
                )
                .await
                .map_err(StartError::Registry)?
            }
            None => Seat::alone(&me, &*clock),
        };
        let membership = seat.membership();
        if let Some(membership) = &membership {
            Gauges::register(&metrics, &membership.guard).map_err(StartError::Metrics)?;
        }
        let (registry, identity) = (seat.registry(), seat.identity());
        let badge = Badge::new(credentials, identity.clone());
        let authority = RegistryAuthority::new(registry.clone(), identity.clone());
        let (sessions, events) = Sessions::start(
            sessions_config(&config, &options),
            Arc::new(authority),
            Arc::clone(&options.clock),
            &metrics,
        )
        .map_err(StartError::Sessions)?;
        let peers = Peers::new(badge.clone(), sessions.answers()).map_err(StartError::Peers)?;
        let producers = Producers::start(&sessions, producer_config(&config), &metrics)
            .map_err(StartError::Producers)?;
        let ownership = Ownership::start(
            identity.clone(),
            registry,
            sessions.clone(),
            events,
            Arc::clone(&options.clock),
        )
        .with_embedded_broker(options.embedded_broker);
        if membership.is_some() {
            ownership.register(&metrics).map_err(StartError::Metrics)?;
        }
        sight.show(ownership.clone());

        let draining = Draining::default();
        let state = Arc::new(State {
            ownership: ownership.clone(),
            sessions: sessions.clone(),
            newest: Newest::new(&sessions),
            producers: producers.clone(),
            ledger: Ledger::new(config.limits.async_result_bytes),
            peers: peers.clone(),
            badge,
            membership,
            nodes: Nodes::new(seat.registry(), seat.membership()),
            identity,
            joined: seat.joined(),
            fates: Fates::default(),
            strangers: Strangers::default(),
            node: config.cluster.name.clone(),
            assignment_strategy: config.kafka.assignment_strategy,
            reserve_bytes: config.cluster.reserve_bytes,
            body_bytes: config.limits.body_bytes,
            produce_records: config.limits.produce_records,
            clock: Arc::clone(&options.clock),
            http_metrics,
            metrics,
            draining: draining.clone(),
            readiness: Readiness::default(),
        });
        let client = |app: &mut web::ServiceConfig, state: &_| {
            api::configure(app, Port::Client, state);
        };
        let operator = |app: &mut web::ServiceConfig, state: &_| {
            api::configure(app, Port::Admin, state);
        };
        let servers = vec![
            serve(http, &config, cores(), &state, client),
            serve(vec![admin], &config, 1, &state, operator),
        ];
        let peer = internal.map(|listener| {
            let listeners = vec![listener];
            serve(listeners, &config, cores(), &state, api::configure_peers)
        });
        let run = |server: io::Result<Server>| {
            let server = server.map_err(|source| StartError::Bind {
                address: admin_address,
                source,
            })?;
            Ok((server.handle(), tokio::spawn(server)))
        };
        let servers: Result<Vec<_>, _> = servers.into_iter().map(run).collect();
        let peer_servers: Result<Vec<_>, _> = peer.into_iter().map(run).collect();
        let servers = (servers?, peer_servers?);
        let contacts = config.cluster.peers.iter().map(ToString::to_string);
        let abandoned = ownership.clone();
        seat.attend(contacts.collect(), move || {
            let ownership = abandoned.clone();
            async move { ownership.abandon(Deadline::after(CLOSE_HANDLE)).await }
        });
        if let Some(Membership { guard, .. }) = seat.membership() {
            let asked = guard.asked_moves();
            ownership.hand_over_to(guard, asked);
        }
        let watcher = sessions.clone();
        let bootstrap = config.kafka.bootstrap_list();
        let watching = async move { sight.watch_kafka(&watcher, &bootstrap).await };
        let watching = tokio::spawn(watching);
        let http: Vec<String> = http_addresses.iter().map(ToString::to_string).collect();
        let internal = internal_address.map(|address| address.to_string());
        tracing::info!(http = http.join(","), admin = %admin_address, internal, "listening");
        Ok(Running {
            http: http_addresses,
            admin: admin_address,
            internal: internal_address,
            sessions,
            ownership,
            producers,
            peers,
            seat,
            watching,
            draining,
            servers,
            drain: config.drain,
        })
    }
}

pub(crate) fn sessions_config(config: &Config, options: &Options) -> sluice_actors::Config {
    sluice_actors::Config {
        bootstrap_servers: config.kafka.bootstrap_list(),
        properties: config.kafka.properties.0.clone(),
        consumer_properties: config.kafka.consumer.0.clone(),
        max_sessions: threads::session_limit(config).get(),
        inflight_answer_bytes: config.limits.inflight_answer_bytes,
        arbiters: cores(),
        close_timeout: CLOSE_HANDLE,
        max_metric_groups: config.metrics.max_groups,
        schema_registry: schema_registry_config(config),
        embedded_broker: options.embedded_broker,
    }
}

fn schema_registry_config(config: &Config) -> Option<SchemaRegistryConfig> {
    let registry = &config.schema_registry;
    if registry.urls.is_empty() {
        return None;
    }
    let credentials = registry.credentials.as_ref().map(|shown| match shown {
        RegistryCredentials::Basic(user, password) => SchemaRegistryCredentials::Basic {
            user: user.clone(),
            password: password.reveal().to_owned(),
        },
        RegistryCredentials::Bearer(token) => {
            SchemaRegistryCredentials::Bearer(token.reveal().to_owned())
        }
    });
    Some(SchemaRegistryConfig {
        urls: registry.urls.iter().map(ToString::to_string).collect(),
        credentials,
        certificates: registry.certificates.clone(),
        timeout: registry.timeout,
        latest_ttl: registry.latest_ttl,
        cache_entries: registry.cache_entries,
    })
}

pub(crate) fn producer_config(config: &Config) -> ProducerConfig {
    ProducerConfig {
        properties: config.kafka.producer.0.clone(),
        buffer_bytes: config.limits.produce_buffer_bytes,
        record_bytes: config.limits.record_bytes,
    }
}

/// Where other nodes find this one.
pub(crate) fn advertised(
    config: &Config,
    bound: Option<SocketAddr>,
) -> Result<NodeAddress, StartError> {
    let name = &config.cluster.name;
    let address = match (&config.cluster.advertise, bound) {
        (Some(advertised), _) => advertised.to_string(),
        (None, Some(bound)) if bound.ip().is_unspecified() => format!("{name}:{}", bound.port()),
        (None, Some(bound)) => bound.to_string(),
        (None, None) => NOWHERE.to_owned(),
    };
    address.parse().map_err(StartError::Advertise)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

fn serve(
    listeners: Vec<TcpListener>,
    config: &Config,
    workers: usize,
    state: &Arc<State>,
    routes: impl Fn(&mut web::ServiceConfig, &Arc<State>) + Clone + Send + 'static,
) -> io::Result<Server> {
    let state = Arc::clone(state);
    let mut server =
        HttpServer::new(move || ActixApp::new().configure(|config| routes(config, &state)))
            .workers(workers)
            .keep_alive(config.http.keep_alive)
            .client_request_timeout(config.http.header_timeout)
            .client_disconnect_timeout(CLOSING)
            // A client that hangs up drops the handler's future, and a poll then takes nothing.
            .h1_allow_half_closed(false)
            .tcp_nodelay(true)
            .shutdown_timeout(CLOSING.as_secs())
            .disable_signals()
            .on_connect(|connection, _| {
                if let Some(stream) = connection.downcast_ref::<actix_web::rt::net::TcpStream>() {
                    // Best effort: it only makes the end of a stalled connection come sooner.
                    let _ = SockRef::from(stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED));
                }
            });
    for listener in listeners {
        server = server.listen(listener)?;
    }
    Ok(server.run())
}

fn listen_all(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, StartError> {
    addresses.iter().map(|address| listen(*address)).collect()
}

fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    let bind = || -> io::Result<TcpListener> {
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            // Both families may be listened on side by side.
            socket.set_only_v6(true)?;
        }
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    bind().map_err(|source| StartError::Bind { address, source })
}

fn local_addresses(
    listeners: &[TcpListener],
    asked: &[SocketAddr],
) -> Result<Vec<SocketAddr>, StartError> {
    let pairs = listeners.iter().zip(asked);
    pairs
        .map(|(listener, asked)| local_address(listener, *asked))
        .collect()
}

fn local_address(listener: &TcpListener, asked: SocketAddr) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|source| StartError::Bind {
        address: asked,
        source,
    })
}
