//! One broker: a JVM process with its ports and data, which it keeps over restarts.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::net::TcpStream;

use super::jars::Jars;
use super::settings::{self, Common, Listeners};
use crate::fault::Proxy;
use crate::ports::Port;
use crate::process::{self, Process};
use crate::run_dir::RunDir;
use crate::{Error, wait};

/// Time for a JVM to listen: 3 s on a quiet machine, several times that on a loaded one.
const START: Duration = Duration::from_secs(90);

/// Any 22 characters of base64; data folders are never shared.
const CLUSTER_ID: &str = "c2x1aWNlLXRlc3Qta2Fma2";

/// One broker (and controller) of a [`Kafka`](super::Kafka), for tests that treat brokers
/// differently. Dropping it kills the process and removes its data.
#[derive(Debug)]
pub struct Broker {
    id: usize,
    /// Before `run`: dropped in order, the process must end before its folder goes.
    process: Mutex<Option<Process>>,
    jars: Jars,
    heap_mib: u32,
    listeners: Listeners,
    proxy: Option<Proxy>,
    run: RunDir,
    _ports: Vec<Port>,
}

/// What [`Broker::prepare`] needs besides what all brokers share.
pub(crate) struct Place {
    pub(crate) id: usize,
    pub(crate) listeners: Listeners,
    pub(crate) ports: Vec<Port>,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) heap_mib: u32,
}

impl Broker {
    /// Writes the settings and formats the data folder. Blocks for a second.
    pub(crate) fn prepare(place: Place, common: &Common, jars: Jars) -> Result<Self, Error> {
        let run = RunDir::create(&format!("kafka{}", place.id))?;
        let broker = Self {
            id: place.id,
            process: Mutex::new(None),
            jars,
            heap_mib: place.heap_mib,
            listeners: place.listeners,
            proxy: place.proxy,
            run,
            _ports: place.ports,
        };
        let properties = broker.file("server.properties");
        let text =
            settings::server_properties(broker.id, &broker.listeners, common, &broker.file("data"));
        fs::write(&properties, text)
            .and_then(|()| fs::write(broker.file("log4j2.properties"), settings::LOG_SETTINGS))
            .map_err(Error::io("write the broker's settings"))?;
        broker.jars.run(
            "kafka.tools.StorageTool",
            &[
                "format".as_ref(),
                "-t".as_ref(),
                CLUSTER_ID.as_ref(),
                "-c".as_ref(),
                properties.as_os_str(),
            ],
        )?;
        Ok(broker)
    }

    /// Returns Kafka's id of this broker, counted from 1.
    pub fn id(&self) -> usize {
        self.id
    }

    /// Returns the `host:port` of the listener that goes straight to this broker.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.listeners.plain)
    }

    /// Returns the proxy in front of this broker, if the builder was told
    /// [`through_proxy`](super::KafkaBuilder::through_proxy).
    pub fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }

    /// Kills the process with SIGKILL. Its ports stay reserved, its data stays.
    pub fn kill(&self) {
        if let Some(process) = self.process().as_mut() {
            process.kill();
        }
    }

    /// Stops the process in Kafka's own way (SIGTERM), which moves leaderships away first.
    ///
    /// # Errors
    /// When it has not ended after a minute.
    pub async fn stop(&self) -> Result<(), Error> {
        self.signal(Signal::SIGTERM);
        let status = || self.process().as_mut().and_then(Process::status);
        match process::wait_exit(Duration::from_secs(60), status).await {
            Some(_) => Ok(()),
            None => Err(self.failure("it does not end after SIGTERM")),
        }
    }

    /// Stops all its threads with SIGSTOP: connections stay open, nothing is answered.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets a frozen process go on.
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Starts the process again, on the same ports and data; kills it first if it runs. Returns
    /// when it listens; [`Kafka::restart`](super::Kafka::restart) also waits until it serves.
    ///
    /// # Errors
    /// When it ends or does not listen; the error holds the end of its log.
    pub async fn restart(&self) -> Result<(), Error> {
        self.kill();
        self.launch()?;
        self.listening().await
    }

    /// Returns whether the process runs (or is frozen).
    pub fn is_running(&self) -> bool {
        self.process()
            .as_mut()
            .is_some_and(|process| process.status().is_none())
    }

    /// Returns the file with everything that the broker has logged.
    pub fn log(&self) -> PathBuf {
        self.file("server.log")
    }

    pub(crate) fn listeners(&self) -> &Listeners {
        &self.listeners
    }

    pub(crate) fn jars(&self) -> &Jars {
        &self.jars
    }

    /// Starts the process without waiting for anything.
    pub(crate) fn launch(&self) -> Result<(), Error> {
        let data = self.file("data");
        let mut arguments = self.jars.arguments(self.heap_mib, "kafka.Kafka");
        let mut log_settings = std::ffi::OsString::from("-Dlog4j2.configurationFile=");
        log_settings.push(self.file("log4j2.properties"));
        arguments.insert(0, log_settings);
        arguments.push(self.file("server.properties").into_os_string());
        let process = Process::spawn(
            &format!("Kafka broker {}", self.id),
            self.jars.java(),
            arguments,
            &self.log(),
            Some(&data),
            |command| {
                command.current_dir(self.run.path());
            },
        )?;
        *self.process() = Some(process);
        Ok(())
    }

    /// Waits until the process accepts connections.
    pub(crate) async fn listening(&self) -> Result<(), Error> {
        let address = SocketAddr::from(([127, 0, 0, 1], self.listeners.plain));
        let listens = wait::within(START, async || {
            if !self.is_running() {
                return Some(false);
            }
            TcpStream::connect(address).await.ok().map(|_| true)
        })
        .await;
        match listens {
            Some(true) => Ok(()),
            Some(false) => Err(self.failure("it ended while starting")),
            None => Err(self.failure(format!("it does not listen at {address}"))),
        }
    }

    /// Returns the error that tells what this broker did wrong, and keeps its files.
    pub(crate) fn failure(&self, what: impl std::fmt::Display) -> Error {
        self.run.keep();
        match self.process().as_ref() {
            Some(process) => process.failure(what),
            None => Error::Process {
                what: format!("Kafka broker {}: {what}", self.id),
                log: self.log(),
                tail: String::new(),
            },
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(process) = self.process().as_mut() {
            process.signal(signal);
        }
    }

    /// Returns the folder of its data.
    pub(crate) fn data(&self) -> PathBuf {
        self.file("data")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.run.path().join(name)
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
