//! The network between nodes: each link of it can be broken on its own.
//!
//! A *link* leads from one node to another and carries the connections that the first opens, so
//! each pair has two. Nodes know each other by the addresses of their [`Network`], which tells
//! senders apart by the name that they show with each request.
//!
//! ```text
//!   node 0 ──┐                    ┌─ link 0 → 2 ─┐
//!            ├── front of node 2 ─┤              ├── internal port of node 2
//!   node 1 ──┘                    └─ link 1 → 2 ─┘
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::Error;
use crate::fault::{self, Direction, Flow, Weather};
use crate::ports::Port;

/// The header by which a node tells its name, before a slash.
const SENDER: &[u8] = b"sluice-sender: ";

/// Most bytes in which that is looked for.
const HEAD: usize = 8 * 1024;

/// Between two looks at a head that has not arrived wholly.
const AGAIN: Duration = Duration::from_millis(2);

/// All links between some nodes.
#[derive(Debug)]
pub struct Network {
    fronts: Vec<Front>,
}

/// Where one node is reached by the others.
#[derive(Debug)]
struct Front {
    address: SocketAddr,
    accepts: watch::Sender<bool>,
    listening: watch::Receiver<bool>,
    /// By the number of the sender. The node's own is that of senders unknown.
    links: Arc<Vec<watch::Sender<Weather>>>,
    _port: Port,
}

impl Network {
    /// Connects nodes of these names, which listen at `host:port`.
    ///
    /// # Errors
    /// When no port or thread can be had.
    pub async fn between(nodes: &[(String, String)]) -> Result<Self, Error> {
        let names: Vec<String> = nodes.iter().map(|(name, _)| name.clone()).collect();
        let mut fronts = Vec::new();
        for (number, (_, listens)) in nodes.iter().enumerate() {
            fronts.push(Front::start(number, listens, names.clone()).await?);
        }
        Ok(Self { fronts })
    }

    /// Returns where the others reach a node.
    pub fn address(&self, node: usize) -> String {
        self.fronts[node].address.to_string()
    }

    /// Loses all that is sent on the connections that `from` opens to `to`, and on new ones.
    pub fn cut(&self, from: usize, to: usize) {
        self.link(from, to, |weather| {
            weather.set(Direction::Both, Flow::Swallow);
        });
    }

    /// Loses the answers that `to` gives to what `from` asks, but not what it asks.
    pub fn cut_answers(&self, from: usize, to: usize) {
        self.link(from, to, |weather| {
            weather.set(Direction::ToClient, Flow::Swallow);
        });
    }

    /// Lets all that is sent between `from` and `to`, as the first asks the second, arrive later.
    pub fn delay(&self, from: usize, to: usize, by: Duration) {
        self.link(from, to, |weather| {
            weather.set(Direction::Both, Flow::Delay(by));
        });
    }

    /// Cuts a node off from all others, both ways.
    pub fn isolate(&self, node: usize) {
        self.deafen(node);
        self.mute(node);
    }

    /// Nothing that others ask a node arrives; what it asks them does.
    pub fn deafen(&self, node: usize) {
        for other in self.others(node) {
            self.cut(other, node);
        }
    }

    /// Nothing that a node asks arrives; what it is asked does.
    pub fn mute(&self, node: usize) {
        for other in self.others(node) {
            self.cut(node, other);
        }
    }

    /// Cuts two groups of nodes off from each other.
    pub fn part(&self, some: &[usize], rest: &[usize]) {
        for one in some {
            for other in rest {
                self.cut(*one, *other);
                self.cut(*other, *one);
            }
        }
    }

    /// Refuses connections to a node, as its machine does when its process is gone; on return
    /// that is so, and those that were open are reset.
    pub async fn refuse(&self, node: usize) {
        let front = &self.fronts[node];
        front.accepts.send_replace(false);
        front.listens(false).await;
        for link in front.links.iter() {
            link.send_modify(Weather::cut);
        }
    }

    /// Accepts connections to a node again.
    pub async fn accept(&self, node: usize) {
        let front = &self.fronts[node];
        front.accepts.send_replace(true);
        front.listens(true).await;
    }

    /// Mends all links. What refuses goes on refusing.
    pub fn heal(&self) {
        for link in self.fronts.iter().flat_map(|front| front.links.iter()) {
            link.send_modify(|weather| weather.set(Direction::Both, Flow::Pass));
        }
    }

    fn link(&self, from: usize, to: usize, change: impl FnOnce(&mut Weather)) {
        self.fronts[to].links[from].send_modify(change);
    }

    fn others(&self, node: usize) -> impl Iterator<Item = usize> + use<> {
        (0..self.fronts.len()).filter(move |other| *other != node)
    }
}

impl Front {
    async fn start(number: usize, upstream: &str, names: Vec<String>) -> Result<Self, Error> {
        let port = Port::reserve()?;
        let address = SocketAddr::from(([127, 0, 0, 1], port.number()));
        let fair = |_| watch::Sender::new(Weather::fair(upstream));
        let links: Arc<Vec<_>> = Arc::new((0..names.len()).map(fair).collect());
        let accepts = watch::Sender::new(true);
        let (listens, listening) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::io("start a network"))?;
        let seen: Vec<_> = links.iter().map(watch::Sender::subscribe).collect();
        let senders = Senders {
            names,
            unknown: number,
            links: seen,
        };
        let accepting = accepts.subscribe();
        thread::Builder::new()
            .name(format!("front-{}", port.number()))
            .spawn(move || runtime.block_on(serve(address, accepting, listens, senders)))
            .map_err(Error::io("start a network"))?;
        let front = Self {
            address,
            accepts,
            listening,
            links,
            _port: port,
        };
        front.listens(true).await;
        Ok(front)
    }

    async fn listens(&self, expected: bool) {
        self.listening
            .clone()
            .wait_for(|listening| *listening == expected)
            .await
            .expect("the front can listen at its reserved port");
    }
}

/// Which link a connection belongs to.
struct Senders {
    names: Vec<String>,
    unknown: usize,
    links: Vec<watch::Receiver<Weather>>,
}

impl Senders {
    fn link(&self, head: &[u8]) -> watch::Receiver<Weather> {
        let number = sender(head).and_then(|name| self.names.iter().position(|n| n == name));
        self.links[number.unwrap_or(self.unknown)].clone()
    }
}

/// Accepts connections until the [`Network`] is dropped.
async fn serve(
    address: SocketAddr,
    mut accepts: watch::Receiver<bool>,
    listens: watch::Sender<bool>,
    senders: Senders,
) {
    let senders = Arc::new(senders);
    loop {
        if accepts.wait_for(|accepts| *accepts).await.is_err() {
            return;
        }
        let Ok(listener) = TcpListener::bind(address).await else {
            return;
        };
        listens.send_replace(true);
        loop {
            tokio::select! {
                closed = accepts.wait_for(|accepts| !*accepts) => {
                    if closed.is_err() {
                        return;
                    }
                    break;
                }
                accepted = listener.accept() => {
                    if let Ok((client, _)) = accepted {
                        let senders = senders.clone();
                        tokio::spawn(async move {
                            if let Some(head) = head(&client).await {
                                let link = senders.link(&head);
                                fault::forward(client, link).await;
                            }
                        });
                    }
                }
            }
        }
        drop(listener);
        listens.send_replace(false);
    }
}

/// Looks at the head of the first request of a connection, without taking it. `None` if the
/// connection ends before.
async fn head(client: &TcpStream) -> Option<Vec<u8>> {
    let mut head = vec![0; HEAD];
    loop {
        let length = client.peek(&mut head).await.ok()?;
        let so_far = &head[..length];
        let is_whole = so_far.windows(4).any(|end| end == b"\r\n\r\n");
        if is_whole || length == HEAD {
            return Some(so_far.to_vec());
        }
        if length == 0 {
            return None;
        }
        sleep(AGAIN).await;
    }
}

/// Returns the name of the node that sent a request with this head.
fn sender(head: &[u8]) -> Option<&str> {
    let at = head
        .windows(SENDER.len())
        .position(|part| part.eq_ignore_ascii_case(SENDER))?;
    let shown = head.get(at + SENDER.len()..)?;
    let end = shown.iter().position(|byte| matches!(byte, b'/' | b'\r'))?;
    std::str::from_utf8(&shown[..end]).ok()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);
    const SILENCE: Duration = Duration::from_millis(200);

    /// A server that sends back what it gets.
    async fn echo() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        address
    }

    async fn three() -> Network {
        let mut nodes = Vec::new();
        for number in 0..3 {
            nodes.push((format!("n-{number}"), echo().await));
        }
        Network::between(&nodes).await.unwrap()
    }

    fn request(from: usize) -> String {
        format!("POST /x HTTP/1.1\r\nsluice-sender: n-{from}/77\r\n\r\n")
    }

    /// Asks as a node does and tells whether an answer comes.
    async fn reaches(network: &Network, from: usize, to: usize) -> bool {
        let Ok(mut stream) = TcpStream::connect(network.address(to)).await else {
            return false;
        };
        let asked = request(from);
        stream.write_all(asked.as_bytes()).await.unwrap();
        let mut answer = vec![0; asked.len()];
        let read = timeout(SILENCE * 5, stream.read_exact(&mut answer)).await;
        matches!(read, Ok(Ok(_))) && answer == asked.as_bytes()
    }

    #[tokio::test]
    async fn a_link_is_cut_for_one_sender_and_one_way_only() {
        let network = three().await;
        assert!(reaches(&network, 0, 2).await);
        network.cut(0, 2);
        assert!(!reaches(&network, 0, 2).await);
        assert!(reaches(&network, 1, 2).await);
        assert!(reaches(&network, 2, 0).await);
        network.heal();
        assert!(reaches(&network, 0, 2).await);
    }

    #[tokio::test]
    async fn an_isolated_node_reaches_nobody_and_nobody_reaches_it() {
        let network = three().await;
        network.isolate(1);
        for (from, to) in [(0, 1), (2, 1), (1, 0), (1, 2)] {
            assert!(!reaches(&network, from, to).await, "{from} -> {to}");
        }
        assert!(reaches(&network, 0, 2).await);
    }

    #[tokio::test]
    async fn an_open_connection_meets_the_fault_too() {
        let network = three().await;
        let mut stream = TcpStream::connect(network.address(2)).await.unwrap();
        stream.write_all(request(0).as_bytes()).await.unwrap();
        let mut answer = vec![0; request(0).len()];
        timeout(SOON, stream.read_exact(&mut answer))
            .await
            .unwrap()
            .unwrap();
        network.cut(0, 2);
        stream.write_all(b"lost").await.unwrap();
        assert!(timeout(SILENCE, stream.read_u8()).await.is_err());
        network.heal();
        // What was lost leaves a gap: the connection is of no use any more.
        assert!(timeout(SOON, stream.read_u8()).await.unwrap().is_err());
    }

    #[tokio::test]
    async fn what_refuses_has_no_connections_and_can_be_had_again() {
        let network = three().await;
        let mut open = TcpStream::connect(network.address(0)).await.unwrap();
        open.write_all(request(1).as_bytes()).await.unwrap();
        let mut answer = vec![0; request(1).len()];
        timeout(SOON, open.read_exact(&mut answer))
            .await
            .unwrap()
            .unwrap();
        network.refuse(0).await;
        assert!(TcpStream::connect(network.address(0)).await.is_err());
        assert!(timeout(SOON, open.read_u8()).await.unwrap().is_err());
        network.accept(0).await;
        assert!(reaches(&network, 1, 0).await);
    }
}
