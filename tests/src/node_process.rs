//! The real `sluice` binary as a process under test.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::process::{self, Process};
use crate::run_dir::RunDir;
use crate::{Client, Error, Kafka, NodeBuilder, wait};

/// Time for a node to listen, on a machine that may be busy with other tests.
const START: Duration = Duration::from_secs(60);

/// A node: the `sluice` binary as a process of its own, with the log in a file and a folder to
/// work in. Dropping it kills it; its files stay when the test fails, at a path that is printed.
///
/// A node tells its addresses by a line of its JSON log with the message `listening` and the
/// fields `http` and `admin`.
///
/// ```no_run
/// # async fn example() {
/// use sluice_tests::{Kafka, Node};
///
/// let kafka = Kafka::shared().await;
/// let node = Node::builder().kafka(kafka).start().await;
/// let health = node.client().call(reqwest::Method::GET, "/health", ()).await;
/// health.expect(200);
/// # }
/// ```
#[derive(Debug)]
pub struct Node {
    /// Before `run`: dropped in order, the process must end before its folder goes.
    state: Mutex<State>,
    binary: PathBuf,
    arguments: Vec<OsString>,
    environment: BTreeMap<String, String>,
    run: RunDir,
}

#[derive(Debug)]
struct State {
    process: Process,
    /// Where this start's part of the log begins.
    log_start: usize,
    addresses: Option<Addresses>,
}

#[derive(Debug, Clone)]
struct Addresses {
    http: String,
    admin: String,
}

impl Node {
    /// Returns a description of a node (`sluice serve`) that listens on free ports of 127.0.0.1
    /// and is configured by its environment alone.
    pub fn builder() -> NodeBuilder {
        NodeBuilder::new()
    }

    /// Returns the one node of this test process, at [`Kafka::shared`], started by the first test
    /// that asks. It ends with the process.
    ///
    /// # Panics
    /// When one of the two cannot be started.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Node> = OnceCell::const_new();
        let started = SHARED.get_or_init(async || {
            let kafka = Kafka::shared().await;
            Self::builder().kafka(kafka).start().await
        });
        let node = started.await;
        // Shown with what a failing test has printed.
        eprintln!("log of the shared node: {}", node.log_file().display());
        node
    }

    /// Starts the process without waiting for anything.
    pub(crate) fn launch(
        binary: PathBuf,
        arguments: Vec<OsString>,
        environment: BTreeMap<String, String>,
        run: RunDir,
    ) -> Result<Self, Error> {
        Ok(Self {
            state: Mutex::new(State {
                process: spawn(&binary, &arguments, &environment, run.path())?,
                log_start: 0,
                addresses: None,
            }),
            binary,
            arguments,
            environment,
            run,
        })
    }

    /// Returns the client port's address, `http://host:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addresses().http)
    }

    /// Returns the admin port's address, `http://host:port`.
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.addresses().admin)
    }

    /// Returns a client of the client port.
    pub fn client(&self) -> Client {
        Client::new(self.url())
    }

    /// Returns a client of the admin port.
    pub fn admin(&self) -> Client {
        Client::new(self.admin_url())
    }

    /// Asks the node to end, as an orchestrator does.
    pub fn sigterm(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Kills the node with SIGKILL; on return it is gone.
    pub fn kill(&self) {
        self.state().process.kill();
    }

    /// Stops all its threads with SIGSTOP: connections stay open, nothing is answered.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets a frozen node go on.
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Sends any signal.
    pub fn signal(&self, signal: Signal) {
        self.state().process.signal(signal);
    }

    /// Lets the node, in this run, write no file beyond this many bytes, its log neither: to it,
    /// the disk is full.
    ///
    /// # Errors
    /// When the system does not let this process do that.
    pub fn limit_files(&self, bytes: u64) -> Result<(), Error> {
        self.state().process.limit_files(bytes)
    }

    /// Starts the node again with the same settings and folder, killing it first if it runs. It
    /// listens at new ports unless told otherwise (`SLUICE_HTTP__BIND` with a
    /// [`Port`](crate::ports::Port)).
    ///
    /// # Errors
    /// As [`NodeBuilder::try_start`].
    pub async fn restart(&self) -> Result<(), Error> {
        self.kill();
        {
            let mut state = self.state();
            state.log_start = self.log().len();
            state.addresses = None;
            state.process = spawn(
                &self.binary,
                &self.arguments,
                &self.environment,
                self.run.path(),
            )?;
        }
        self.listening().await
    }

    /// Waits for the end of the process and returns its exit status.
    ///
    /// # Errors
    /// When it still runs at the deadline.
    pub async fn wait_exit(&self, deadline: Duration) -> Result<ExitStatus, Error> {
        process::wait_exit(deadline, || self.state().process.status())
            .await
            .ok_or_else(|| self.failure(format!("it still runs after {deadline:?}")))
    }

    /// Returns whether the process runs (or is frozen).
    pub fn is_running(&self) -> bool {
        self.state().process.status().is_none()
    }

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.state().process.id()
    }

    /// Returns everything that the node has printed, over restarts.
    pub fn log(&self) -> String {
        process::read_log(&self.log_file())
    }

    /// Returns whether the node has printed `text`, on a line of its log as it is.
    pub fn log_contains(&self, text: &str) -> bool {
        self.log().contains(text)
    }

    /// Returns the lines of the log that are JSON.
    pub fn log_lines(&self) -> Vec<Value> {
        json_lines(&self.log()).collect()
    }

    /// Returns the folder in which the node works.
    pub fn folder(&self) -> &Path {
        self.run.path()
    }

    /// Returns the memory that the process really holds (RSS), in bytes; 0 if it has ended.
    pub fn rss_bytes(&self) -> u64 {
        self.proc_status("VmRSS:") * 1024
    }

    /// Returns the number of threads of the process; 0 if it has ended.
    pub fn threads(&self) -> u64 {
        self.proc_status("Threads:")
    }

    /// Returns how many threads of each name the process has now, the most frequent first; empty
    /// if it has ended.
    pub fn threads_by_name(&self) -> Vec<(String, usize)> {
        let mut counts = BTreeMap::<String, usize>::new();
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid()));
        for task in tasks.into_iter().flatten().flatten() {
            // A thread may end between the listing and the look at it.
            if let Ok(name) = fs::read_to_string(task.path().join("comm")) {
                *counts.entry(name.trim().to_owned()).or_default() += 1;
            }
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| Reverse(*count));
        counts
    }

    /// Returns the number of open files and sockets of the process; 0 if it has ended.
    pub fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).map_or(0, Iterator::count)
    }

    fn proc_status(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.unwrap_or(0)
    }

    /// Waits until the node has told its addresses.
    pub(crate) async fn listening(&self) -> Result<(), Error> {
        let listens = wait::within(START, async || {
            if !self.is_running() {
                return Some(None);
            }
            let start = self.state().log_start;
            let log = self.log();
            json_lines(log.get(start..)?)
                .find_map(|line| addresses(&line))
                .map(Some)
        })
        .await;
        match listens {
            Some(Some(addresses)) => {
                self.state().addresses = Some(addresses);
                Ok(())
            }
            Some(None) => Err(self.failure("it ended while starting")),
            None => Err(self.failure(format!("it did not log `listening` within {START:?}"))),
        }
    }

    fn failure(&self, what: impl std::fmt::Display) -> Error {
        self.run.keep();
        self.state().process.failure(what)
    }

    fn addresses(&self) -> Addresses {
        let addresses = self.state().addresses.clone();
        addresses.expect("a started node has told its addresses")
    }

    fn log_file(&self) -> PathBuf {
        log_file(self.run.path())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn log_file(folder: &Path) -> PathBuf {
    folder.join("node.log")
}

fn spawn(
    binary: &Path,
    arguments: &[OsString],
    environment: &BTreeMap<String, String>,
    folder: &Path,
) -> Result<Process, Error> {
    let log = log_file(folder);
    Process::spawn(
        "sluice",
        binary.as_os_str(),
        arguments,
        &log,
        None,
        |command| {
            // What happens to be set where the tests run must not configure the node.
            for (key, _) in env::vars_os() {
                let name = key.to_string_lossy();
                if name.starts_with("SLUICE_") || name == "KAFKA_BOOTSTRAP_SERVERS" {
                    command.env_remove(&key);
                }
            }
            command.envs(environment).current_dir(folder);
        },
    )
}

/// Returns the lines of a text that are JSON.
pub(crate) fn json_lines(log: &str) -> impl Iterator<Item = Value> + '_ {
    log.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
}

/// Reads the line that tells the addresses; fields may stand in the line itself or, as
/// `tracing-subscriber` has it by default, under `fields`. Of several client addresses the first
/// counts.
fn addresses(line: &Value) -> Option<Addresses> {
    let fields = line.get("fields").unwrap_or(line);
    if fields["message"] != "listening" {
        return None;
    }
    let first = |field: &str| {
        let all = fields[field].as_str()?;
        let listed = all.trim_start_matches('[').split([',', ']']).next()?;
        Some(listed.trim().trim_matches('"').to_owned())
    };
    Some(Addresses {
        http: first("http")?,
        admin: first("admin")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_are_read_from_a_flat_and_from_a_nested_line() {
        let flat = r#"{"message":"listening","http":"127.0.0.1:1","admin":"127.0.0.1:2"}"#;
        let nested = r#"{"level":"INFO","fields":{"message":"listening","http":"[127.0.0.1:1, [::1]:3]","admin":"127.0.0.1:2"}}"#;
        for line in [flat, nested] {
            let found = addresses(&serde_json::from_str(line).unwrap()).unwrap();
            assert_eq!(
                (&*found.http, &*found.admin),
                ("127.0.0.1:1", "127.0.0.1:2")
            );
        }
        assert!(addresses(&serde_json::json!({"message": "starting"})).is_none());
    }
}
