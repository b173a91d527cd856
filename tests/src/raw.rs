//! HTTP by hand, for clients that leave in the middle of it.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::Client;

/// One TCP connection to a node, on which a request is sent and perhaps not answered.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    /// Connects to where `client` does.
    ///
    /// # Panics
    /// When nobody listens there.
    pub async fn open(client: &Client) -> Self {
        Self::connect(client, None).await
    }

    /// As [`open`](Self::open), but takes only a few kilobytes before somebody reads: most of a
    /// long answer stays with the node.
    ///
    /// # Panics
    /// When nobody listens there.
    pub async fn open_narrow(client: &Client) -> Self {
        Self::connect(client, Some(4096)).await
    }

    async fn connect(client: &Client, buffer: Option<u32>) -> Self {
        let address = client.base().trim_start_matches("http://");
        let address: SocketAddr = address.parse().expect("nodes of tests have addresses");
        let socket = TcpSocket::new_v4().expect("a socket can be had");
        if let Some(bytes) = buffer {
            let set = socket.set_recv_buffer_size(bytes);
            set.expect("the size of a buffer can be chosen before connecting");
        }
        let stream = socket.connect(address).await.expect("the node listens");
        Self {
            stream,
            received: Vec::new(),
        }
    }

    /// Sends a POST with a JSON body, whole.
    ///
    /// # Panics
    /// When the node has closed the connection.
    pub async fn post(&mut self, path: &str, body: &Value) {
        let body = body.to_string();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: node\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let sent = self.stream.write_all(request.as_bytes()).await;
        sent.expect("the node takes the request");
    }

    /// Reads this many bytes of the answer, head included, or fewer if it is shorter. Returns
    /// whether that many were there.
    pub async fn read(&mut self, bytes: usize) -> bool {
        while self.received.len() < bytes && self.body().is_none() {
            if !self.read_some().await {
                break;
            }
        }
        self.received.len() >= bytes
    }

    /// Reads the whole answer and returns its body.
    ///
    /// # Panics
    /// When the connection ends before, or the body is not JSON.
    pub async fn answer(&mut self) -> Value {
        loop {
            if let Some(body) = self.body() {
                return serde_json::from_slice(body).expect("an answer is JSON");
            }
            assert!(self.read_some().await, "the connection ended too early");
        }
    }

    /// Closes the connection in order, read or not.
    pub fn close(self) {}

    /// Breaks the connection, as a client that dies or a network that gives up.
    pub fn reset(self) {
        // Closing with a zero linger time sends RST.
        let _ = self.stream.set_zero_linger();
    }

    async fn read_some(&mut self) -> bool {
        let read = self.stream.read_buf(&mut self.received).await;
        read.is_ok_and(|count| count > 0)
    }

    /// The body, once all of it is there.
    fn body(&self) -> Option<&[u8]> {
        let end = self.received.windows(4).position(|at| at == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&self.received[..end]).to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .expect("answers tell their length")
            .trim();
        let length: usize = length.parse().expect("a length is a number");
        self.received[end + 4..].get(..length)
    }
}
