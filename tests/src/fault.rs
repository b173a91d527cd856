//! A network that can be broken: a TCP proxy between any two processes.
//!
//! | fault | what the two sides see |
//! |---|---|
//! | [`Proxy::cut`] | all connections are reset once; new ones work |
//! | [`Proxy::refuse`] | connections are reset and new ones refused, as by a dead process |
//! | [`Proxy::stall`] | silence; what was sent arrives after healing, as TCP does it over a break |
//! | [`Proxy::swallow`] | silence; what was sent is lost, and healing resets the connection |
//! | [`Proxy::delay`] | everything arrives later, in order |
//!
//! The last three work one way or both. Faults stay until [`Proxy::heal`].

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::Error;
use crate::ports::Port;

/// Which way a fault works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client, which connects, to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
    /// Both ways.
    Both,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Pass,
    Delay(Duration),
    Stall,
    Swallow,
}

/// What becomes of connections.
#[derive(Debug, Clone)]
pub(crate) struct Weather {
    upstream: String,
    accepts: bool,
    /// Counted up to reset the connections that are open.
    cuts: u64,
    to_server: Flow,
    to_client: Flow,
}

impl Weather {
    /// Nothing is wrong on the way to the server at `upstream`.
    pub(crate) fn fair(upstream: &str) -> Self {
        Self {
            upstream: upstream.to_owned(),
            accepts: true,
            cuts: 0,
            to_server: Flow::Pass,
            to_client: Flow::Pass,
        }
    }

    /// Resets the connections that are open.
    pub(crate) fn cut(&mut self) {
        self.cuts += 1;
    }

    pub(crate) fn set(&mut self, direction: Direction, flow: Flow) {
        if direction != Direction::ToClient {
            self.to_server = flow;
        }
        if direction != Direction::ToServer {
            self.to_client = flow;
        }
    }

    fn flow(&self, direction: Direction) -> Flow {
        match direction {
            Direction::ToClient => self.to_client,
            Direction::ToServer | Direction::Both => self.to_server,
        }
    }

    fn loses(&self) -> bool {
        self.to_server == Flow::Swallow || self.to_client == Flow::Swallow
    }

    /// A handshake needs both ways.
    fn connects(&self) -> bool {
        let passes = |flow| !matches!(flow, Flow::Stall | Flow::Swallow);
        passes(self.to_server) && passes(self.to_client)
    }
}

/// A TCP proxy with a port of its own, which it keeps whatever its fault.
///
/// It runs on its own thread: a test that blocks does not stop the traffic.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    listening: watch::Receiver<bool>,
    connections: watch::Receiver<usize>,
    _port: Port,
}

impl Proxy {
    /// Starts a proxy to the server at `upstream` (`host:port`), which need not run yet.
    ///
    /// # Errors
    /// When no port or thread can be had.
    pub async fn to(upstream: &str) -> Result<Self, Error> {
        Self::at(Port::reserve()?, upstream).await
    }

    /// As [`to`](Self::to), at a port chosen before.
    ///
    /// # Errors
    /// When it cannot listen there.
    pub async fn at(port: Port, upstream: &str) -> Result<Self, Error> {
        let address = SocketAddr::from(([127, 0, 0, 1], port.number()));
        let (weather, seen) = watch::channel(Weather::fair(upstream));
        let (listens, listening) = watch::channel(false);
        let (counter, connections) = watch::channel(0);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::io("start a proxy"))?;
        thread::Builder::new()
            .name(format!("proxy-{}", port.number()))
            .spawn(move || runtime.block_on(serve(address, seen, listens, counter)))
            .map_err(Error::io("start a proxy"))?;
        let proxy = Self {
            address,
            weather,
            listening,
            connections,
            _port: port,
        };
        proxy.listening(true).await;
        Ok(proxy)
    }

    /// Returns where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns how many connections are open just now.
    pub fn connections(&self) -> usize {
        *self.connections.borrow()
    }

    /// Leads connections made from now on to another server.
    pub fn redirect(&self, upstream: &str) {
        self.change(|weather| upstream.clone_into(&mut weather.upstream));
    }

    /// Resets all connections that are open. New ones work, if no other fault is on.
    pub fn cut(&self) {
        self.change(Weather::cut);
    }

    /// Resets all connections and refuses new ones; on return that is so.
    pub async fn refuse(&self) {
        self.change(|weather| {
            weather.accepts = false;
            weather.cut();
        });
        self.listening(false).await;
    }

    /// Holds back everything that is sent `direction`; it arrives after healing.
    pub fn stall(&self, direction: Direction) {
        self.flow(direction, Flow::Stall);
    }

    /// Loses everything that is sent `direction`. Connections that lost something are reset on
    /// healing, for a gap in a TCP stream is nothing that can be seen in real life.
    pub fn swallow(&self, direction: Direction) {
        self.flow(direction, Flow::Swallow);
    }

    /// Lets everything that is sent `direction` arrive later by `by`.
    pub fn delay(&self, direction: Direction, by: Duration) {
        self.flow(direction, Flow::Delay(by));
    }

    /// Ends all faults; on return new connections are accepted again.
    pub async fn heal(&self) {
        self.change(|weather| {
            weather.accepts = true;
            weather.set(Direction::Both, Flow::Pass);
        });
        self.listening(true).await;
    }

    fn flow(&self, direction: Direction, flow: Flow) {
        self.change(|weather| weather.set(direction, flow));
    }

    fn change(&self, change: impl FnOnce(&mut Weather)) {
        self.weather.send_modify(change);
    }

    async fn listening(&self, expected: bool) {
        self.listening
            .clone()
            .wait_for(|listening| *listening == expected)
            .await
            .expect("the proxy can listen at its reserved port");
    }
}

/// Accepts connections until the [`Proxy`] is dropped.
async fn serve(
    address: SocketAddr,
    mut weather: watch::Receiver<Weather>,
    listens: watch::Sender<bool>,
    connections: watch::Sender<usize>,
) {
    let seen_by_connections = weather.clone();
    loop {
        if weather.wait_for(|weather| weather.accepts).await.is_err() {
            return;
        }
        let Ok(listener) = TcpListener::bind(address).await else {
            return;
        };
        listens.send_replace(true);
        loop {
            tokio::select! {
                closed = weather.wait_for(|weather| !weather.accepts) => {
                    if closed.is_err() {
                        return;
                    }
                    break;
                }
                accepted = listener.accept() => {
                    if let Ok((client, _)) = accepted {
                        let connections = connections.clone();
                        let weather = seen_by_connections.clone();
                        tokio::spawn(async move {
                            connections.send_modify(|open| *open += 1);
                            forward(client, weather).await;
                            connections.send_modify(|open| *open -= 1);
                        });
                    }
                }
            }
        }
        drop(listener);
        listens.send_replace(false);
    }
}

/// A connection that has to end with a reset instead of in order.
struct Broken;

/// Serves a connection to its end.
pub(crate) async fn forward(mut client: TcpStream, mut weather: watch::Receiver<Weather>) {
    let cuts = weather.borrow_and_update().cuts;
    let mut cut = weather.clone();
    let is_cut = async { cut.wait_for(|weather| weather.cuts != cuts).await.map(drop) };
    let mut server = None;
    let is_lost = weather.borrow().loses();
    let moved = async {
        let clear = weather.wait_for(Weather::connects).await;
        let upstream = clear.map_err(|_| Broken)?.upstream.clone();
        if is_lost {
            return Err(Broken);
        }
        let connected = TcpStream::connect(upstream).await.map_err(|_| Broken)?;
        let server = server.insert(connected);
        let _ = client.set_nodelay(true);
        let _ = server.set_nodelay(true);
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::try_join!(
            pump(from_client, to_server, Direction::ToServer, weather.clone()),
            pump(from_server, to_client, Direction::ToClient, weather.clone()),
        )?;
        Ok::<_, Broken>(())
    };
    let ended_in_order = tokio::select! {
        moved = moved => moved.is_ok(),
        _ = is_cut => false,
    };
    if !ended_in_order {
        // Closing with a zero linger time sends RST.
        let _ = client.set_zero_linger();
        if let Some(server) = &server {
            let _ = server.set_zero_linger();
        }
    }
}

/// Moves bytes one way until their end: one half reads and dates them, the other writes them when
/// their time has come, so that a delay does not slow the stream down.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    direction: Direction,
    mut weather: watch::Receiver<Weather>,
) -> Result<(), Broken> {
    let (dated, mut due) = mpsc::channel::<(Instant, Vec<u8>)>(256);
    let mut outside = weather.clone();
    let read = async move {
        let mut lost = false;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let before = weather.borrow_and_update().flow(direction);
            if lost && before != Flow::Swallow {
                return Err(Broken);
            }
            tokio::select! {
                changed = weather.changed() => changed.map_err(|_| Broken)?,
                count = from.read(&mut buffer), if before != Flow::Stall => {
                    let count = count.map_err(|_| Broken)?;
                    // Looked at again: what is sent after a fault began must meet the fault.
                    let flow = weather.borrow().flow(direction);
                    let delay = match flow {
                        Flow::Delay(by) => by,
                        Flow::Pass | Flow::Stall => Duration::ZERO,
                        Flow::Swallow => {
                            lost = true;
                            if count == 0 {
                                // The end of the stream is lost as well: wait for better weather.
                                weather.changed().await.map_err(|_| Broken)?;
                            }
                            continue;
                        }
                    };
                    if count == 0 {
                        return Ok(());
                    }
                    let bytes = buffer[..count].to_vec();
                    let sent = dated.send((Instant::now() + delay, bytes)).await;
                    sent.map_err(|_| Broken)?;
                }
            }
        }
    };
    let write = async move {
        let passes = |weather: &Weather| weather.flow(direction) != Flow::Stall;
        while let Some((when, bytes)) = due.recv().await {
            sleep_until(when).await;
            outside.wait_for(passes).await.map_err(|_| Broken)?;
            to.write_all(&bytes).await.map_err(|_| Broken)?;
        }
        outside.wait_for(passes).await.map_err(|_| Broken)?;
        to.shutdown().await.map_err(|_| Broken)
    };
    tokio::try_join!(read, write).map(drop)
}

#[cfg(test)]
#[path = "fault_tests.rs"]
mod tests;
