//! What kind of node a test wants, and the binary it is made of.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

use crate::run_dir::RunDir;
use crate::{Error, Kafka, Node, node_process, workspace};

/// Describes a node before it is started. Made by [`Node::builder`].
#[derive(Debug, Clone)]
#[must_use = "nothing runs before start()"]
pub struct NodeBuilder {
    arguments: Vec<OsString>,
    environment: BTreeMap<String, String>,
    config: Option<String>,
    binary: Option<PathBuf>,
}

impl NodeBuilder {
    pub(crate) fn new() -> Self {
        let environment = [
            ("SLUICE_HTTP__BIND", "127.0.0.1:0"),
            ("SLUICE_ADMIN__BIND", "127.0.0.1:0"),
        ];
        Self {
            arguments: vec!["serve".into()],
            environment: environment
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            config: None,
            binary: None,
        }
    }

    /// Leads the node to this Kafka.
    pub fn kafka(self, kafka: &Kafka) -> Self {
        self.bootstrap(kafka.bootstrap())
    }

    /// Leads the node to the Kafka at `host:port[,…]`, as through a proxy.
    pub fn bootstrap(self, bootstrap: &str) -> Self {
        self.env("SLUICE_KAFKA__BOOTSTRAP_SERVERS", bootstrap)
    }

    /// Sets an environment variable, over whatever the harness sets.
    pub fn env(mut self, key: &str, value: impl ToString) -> Self {
        self.environment.insert(key.to_owned(), value.to_string());
        self
    }

    /// Gives the node this TOML as its config file (`--config`).
    pub fn config(mut self, toml: &str) -> Self {
        self.config = Some(toml.to_owned());
        self
    }

    /// Adds an argument after the subcommand.
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Runs another subcommand than `serve`; arguments added before it are dropped.
    pub fn subcommand(mut self, name: &str) -> Self {
        self.arguments = vec![name.into()];
        self
    }

    /// Starts the node and returns once it listens.
    ///
    /// # Panics
    /// As [`try_start`](Self::try_start) errs.
    pub async fn start(self) -> Node {
        match self.try_start().await {
            Ok(node) => node,
            Err(error) => panic!("{error}"),
        }
    }

    /// Starts the node and returns once it listens.
    ///
    /// # Errors
    /// When the binary cannot be built, ends, or does not tell that it listens; the error holds
    /// the end of its log.
    pub async fn try_start(self) -> Result<Node, Error> {
        let node = self.launch().await?;
        node.listening().await?;
        Ok(node)
    }

    /// Runs the binary to its end, as for a configuration that it refuses, and returns how it
    /// ended and what it printed.
    ///
    /// # Errors
    /// When it has not ended at the deadline.
    pub async fn run(self, deadline: Duration) -> Result<(ExitStatus, String), Error> {
        let node = self.launch().await?;
        let status = node.wait_exit(deadline).await?;
        Ok((status, node.log()))
    }

    /// Runs this binary instead of the one built from here, as for nodes of two versions.
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Self {
        self.binary = Some(path.into());
        self
    }

    async fn launch(self) -> Result<Node, Error> {
        let binary = match self.binary {
            Some(path) => path,
            None => binary().await?.to_owned(),
        };
        let run = RunDir::create("node")?;
        let mut arguments = self.arguments;
        if let Some(config) = &self.config {
            let file = run.path().join("sluice.toml");
            fs::write(&file, config).map_err(Error::io("write the node's config"))?;
            arguments.extend(["--config".into(), file.into_os_string()]);
        }
        Node::launch(binary, arguments, self.environment, run)
    }
}

/// Returns the binary under test: built once a process, with the profile of the tests; or the one
/// that `SLUICE_TEST_NODE` names.
async fn binary() -> Result<&'static Path, Error> {
    static BINARY: OnceCell<PathBuf> = OnceCell::const_new();
    let built = BINARY.get_or_try_init(async || match env::var_os("SLUICE_TEST_NODE") {
        Some(path) if !path.is_empty() => Ok(PathBuf::from(path)),
        // Processes that build at once wait for each other: cargo locks its folder.
        _ => spawn_blocking(build)
            .await
            .expect("building does not panic"),
    });
    Ok(built.await?)
}

fn build() -> Result<PathBuf, Error> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "-p", "sluice-node", "--bin", "sluice"])
        .args(["--message-format=json-render-diagnostics", "--profile"])
        .arg(workspace::profile())
        .arg("--target-dir")
        .arg(workspace::target_dir())
        .current_dir(workspace::root())
        .stdin(Stdio::null())
        .output()
        .map_err(Error::io("run cargo"))?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let executable = node_process::json_lines(&printed)
        .filter(|message| message["reason"] == "compiler-artifact")
        .filter(|message| message["target"]["name"] == "sluice")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    match executable {
        Some(path) if output.status.success() => Ok(path),
        _ => Err(Error::Program {
            program: "cargo build -p sluice-node".to_owned(),
            status: output.status.to_string(),
            output: String::from_utf8_lossy(&output.stderr).into_owned(),
        }),
    }
}
