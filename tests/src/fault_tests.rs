//! The faults as two ends of a connection see them.

use std::io::ErrorKind;

use tokio::time::timeout;

use super::*;
use crate::eventually;

const SOON: Duration = Duration::from_secs(10);
/// Long enough to notice bytes that should not come, as they come at once if they do.
const SILENCE: Duration = Duration::from_millis(150);

/// A server that sends back what it gets, and a proxy before it.
async fn echo() -> Proxy {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::to(&listener.local_addr().unwrap().to_string())
        .await
        .unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    proxy
}

async fn connect(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(proxy.address()).await.unwrap()
}

async fn say(stream: &mut TcpStream, word: &str) {
    stream.write_all(word.as_bytes()).await.unwrap();
}

async fn hears(stream: &mut TcpStream, word: &str) {
    let mut heard = vec![0; word.len()];
    timeout(SOON, stream.read_exact(&mut heard))
        .await
        .expect("an echo")
        .unwrap();
    assert_eq!(String::from_utf8(heard).unwrap(), word);
}

async fn hears_nothing(stream: &mut TcpStream) {
    let mut byte = [0];
    let heard = timeout(SILENCE, stream.peek(&mut byte)).await;
    assert!(heard.is_err(), "{heard:?}");
}

async fn is_reset(stream: &mut TcpStream) {
    let mut byte = [0];
    let heard = timeout(SOON, stream.read(&mut byte)).await.expect("an end");
    assert_eq!(heard.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn cut_resets_open_connections_and_takes_new_ones() {
    let proxy = echo().await;
    let mut old = connect(&proxy).await;
    say(&mut old, "a").await;
    hears(&mut old, "a").await;
    proxy.cut();
    is_reset(&mut old).await;
    let mut new = connect(&proxy).await;
    say(&mut new, "b").await;
    hears(&mut new, "b").await;
}

#[tokio::test]
async fn refuse_refuses_until_healed() {
    let proxy = echo().await;
    let mut old = connect(&proxy).await;
    say(&mut old, "a").await;
    hears(&mut old, "a").await;
    proxy.refuse().await;
    is_reset(&mut old).await;
    let refused = TcpStream::connect(proxy.address()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    proxy.heal().await;
    let mut new = connect(&proxy).await;
    say(&mut new, "b").await;
    hears(&mut new, "b").await;
}

#[tokio::test]
async fn a_stalled_direction_delivers_after_healing_and_the_other_goes_on() {
    let proxy = echo().await;
    let mut stream = connect(&proxy).await;
    say(&mut stream, "a").await;
    hears(&mut stream, "a").await;
    proxy.stall(Direction::ToClient);
    say(&mut stream, "b").await;
    hears_nothing(&mut stream).await;
    proxy.heal().await;
    hears(&mut stream, "b").await;
}

#[tokio::test]
async fn a_new_connection_through_a_stall_waits_for_its_end() {
    let proxy = echo().await;
    proxy.stall(Direction::Both);
    let mut stream = connect(&proxy).await;
    say(&mut stream, "a").await;
    hears_nothing(&mut stream).await;
    proxy.heal().await;
    hears(&mut stream, "a").await;
}

#[tokio::test]
async fn a_connection_that_lost_bytes_is_reset_on_healing() {
    let proxy = echo().await;
    let mut stream = connect(&proxy).await;
    say(&mut stream, "a").await;
    hears(&mut stream, "a").await;
    proxy.swallow(Direction::ToServer);
    say(&mut stream, "b").await;
    hears_nothing(&mut stream).await;
    proxy.heal().await;
    is_reset(&mut stream).await;
}

#[tokio::test]
async fn a_delay_keeps_the_order_and_the_pace() {
    let proxy = echo().await;
    let mut stream = connect(&proxy).await;
    let by = Duration::from_millis(200);
    proxy.delay(Direction::ToServer, by);
    let start = Instant::now();
    for word in ["one", "two", "three"] {
        say(&mut stream, word).await;
        tokio::task::yield_now().await;
    }
    hears(&mut stream, "onetwothree").await;
    assert!(start.elapsed() >= by, "{:?}", start.elapsed());
    assert!(start.elapsed() < by * 20, "{:?}", start.elapsed());
}

#[tokio::test]
async fn an_end_in_order_is_passed_on_and_the_connection_forgotten() {
    let proxy = echo().await;
    let mut stream = connect(&proxy).await;
    say(&mut stream, "a").await;
    stream.shutdown().await.unwrap();
    hears(&mut stream, "a").await;
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    eventually(SOON, "the connection is forgotten", async || {
        proxy.connections() == 0
    })
    .await;
}

#[tokio::test]
async fn an_unreachable_server_resets_the_client() {
    let nobody = Port::reserve().unwrap();
    let proxy = Proxy::to(&nobody.address()).await.unwrap();
    // The reset may come before the system calls the connection made.
    match TcpStream::connect(proxy.address()).await {
        Ok(mut stream) => is_reset(&mut stream).await,
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}
