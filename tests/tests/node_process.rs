//! A node under test as an object, shown on a script in the place of the binary.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::time::Duration;

use sluice_tests::{Node, NodeBuilder, eventually};
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(30);

const LISTENING: &str = r#"
echo "asked for $SLUICE_HTTP__BIND and $SLUICE_X__Y with $*"
echo '{"fields":{"message":"listening","http":"127.0.0.1:1234","admin":"127.0.0.1:1235"}}'
trap 'exit 7' TERM
while :; do sleep 0.05; done
"#;

/// Returns a node made of a shell script, and the folder that holds it.
fn script(body: &str) -> (TempDir, NodeBuilder) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path: PathBuf = folder.path().join("sluice");
    fs::write(&path, format!("#!/bin/sh\n{body}")).expect("it can be written to");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("the script is ours");
    (folder, Node::builder().binary(path))
}

#[tokio::test]
async fn a_node_tells_its_addresses_and_gets_its_environment() {
    let (_folder, node) = script(LISTENING);
    let node = node.env("SLUICE_X__Y", 5).config("[http]").start().await;
    assert_eq!(node.url(), "http://127.0.0.1:1234");
    assert_eq!(node.admin_url(), "http://127.0.0.1:1235");
    assert!(node.log_contains("asked for 127.0.0.1:0 and 5 with serve --config /"));
    assert_eq!(node.log_lines().len(), 1);
    assert!(node.rss_bytes() > 100_000, "{}", node.rss_bytes());
    assert_eq!(node.threads(), 1);
    assert!(node.open_files() >= 3, "{}", node.open_files());
}

#[tokio::test]
async fn sigterm_lets_a_node_end_in_its_own_way() {
    let (_folder, node) = script(LISTENING);
    let node = node.start().await;
    node.sigterm();
    let status = node.wait_exit(DEADLINE).await.unwrap();
    assert_eq!(status.code(), Some(7));
    assert_eq!(node.threads(), 0);
}

#[tokio::test]
async fn a_killed_node_is_gone_at_once_and_starts_again() {
    let (_folder, node) = script(LISTENING);
    let node = node.start().await;
    let first = node.pid();
    node.kill();
    assert!(!node.is_running());
    let status = node.wait_exit(DEADLINE).await.unwrap();
    assert_eq!(status.signal(), Some(9));
    node.restart().await.unwrap();
    assert!(node.is_running());
    assert_ne!(node.pid(), first);
    assert_eq!(node.log_lines().len(), 2, "{}", node.log());
}

#[tokio::test]
async fn a_frozen_node_stands_still_until_it_is_thawed_and_can_be_killed() {
    let (_folder, node) = script(LISTENING);
    let node = node.start().await;
    node.freeze();
    node.sigterm();
    let early = node.wait_exit(Duration::from_millis(300)).await;
    assert!(early.unwrap_err().to_string().contains("it still runs"));
    node.thaw();
    assert_eq!(node.wait_exit(DEADLINE).await.unwrap().code(), Some(7));

    node.restart().await.unwrap();
    node.freeze();
    node.kill();
    assert!(!node.is_running());
}

#[tokio::test]
async fn a_node_that_refuses_its_configuration_is_run_to_its_end() {
    let (_folder, node) = script("echo 'http.bind: too short' >&2; exit 64");
    let (status, log) = node.clone().run(DEADLINE).await.unwrap();
    assert_eq!(status.code(), Some(64));
    assert_eq!(log, "http.bind: too short\n");
    let error = node.try_start().await.unwrap_err().to_string();
    assert!(
        error.starts_with("sluice: it ended while starting"),
        "{error}"
    );
    assert!(error.contains("http.bind: too short"), "{error}");
}

#[tokio::test]
async fn a_dropped_node_is_dead() {
    let (_folder, node) = script(LISTENING);
    let node = node.start().await;
    let (pid, folder) = (node.pid(), node.folder().to_owned());
    drop(node);
    assert!(!folder.exists());
    // The number may linger for the watcher's sake, but nothing runs under it.
    eventually(DEADLINE, "the process is gone", async || {
        !PathBuf::from(format!("/proc/{pid}/exe")).exists()
    })
    .await;
}
