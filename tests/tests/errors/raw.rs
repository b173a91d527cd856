//! HTTP by hand, for requests that no HTTP library would send.

use serde_json::Value;
use sluice_tests::Node;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::DEADLINE;

/// Opens a connection to the client port.
pub(crate) async fn connect(node: &Node) -> TcpStream {
    let url = node.url();
    let address = url.trim_start_matches("http://");
    TcpStream::connect(address).await.expect("the node listens")
}

/// An answer, head and body apart.
pub(crate) struct RawAnswer {
    /// The head's lines with their ends; empty if there was no answer.
    pub(crate) head: String,
    body: String,
}

impl RawAnswer {
    /// Checks that it is the problem with this status and code.
    #[track_caller]
    pub(crate) fn expect_problem(&self, status: u16, code: &str) {
        let Self { head, body } = self;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        let kind = "content-type: application/problem+json\r\n";
        assert!(head.contains(kind), "{head}");
        let problem: Value = serde_json::from_str(body).expect("a problem is JSON");
        assert_eq!(problem["code"], code);
    }
}

/// Reads one answer of HTTP/1.1, or what there is of it when the connection ends.
pub(crate) async fn read_answer(connection: &mut TcpStream) -> RawAnswer {
    let answer = read_until(connection, is_whole).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let ended = if head.is_empty() { "" } else { "\r\n" };
    RawAnswer {
        head: format!("{head}{ended}"),
        body: body.to_owned(),
    }
}

fn is_whole(answer: &str) -> bool {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    length.is_some_and(|length| length.parse() == Ok(body.len()))
}

/// Reads the head of one answer, or what there is of it when the connection ends.
pub(crate) async fn read_head(connection: &mut TcpStream) -> String {
    read_until(connection, |answer| answer.contains("\r\n\r\n")).await
}

async fn read_until(connection: &mut TcpStream, enough: impl Fn(&str) -> bool) -> String {
    let mut answer = Vec::new();
    let reading = async {
        let mut buffer = [0; 4096];
        loop {
            match connection.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(count) => answer.extend_from_slice(&buffer[..count]),
            }
            if enough(&String::from_utf8_lossy(&answer)) {
                return;
            }
        }
    };
    timeout(DEADLINE, reading).await.expect("an answer in time");
    String::from_utf8_lossy(&answer).into_owned()
}
