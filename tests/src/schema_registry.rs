//! A real schema registry for tests: Apicurio Registry, which speaks Confluent's API.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;
use reqwest::{Certificate, Client};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

use crate::ports::Port;
use crate::process::{self, Process};
use crate::run_dir::RunDir;
use crate::{Error, maven, wait};

const ARTIFACT: &str = "io.apicurio:apicurio-registry-app:3.0.9:tar.gz:all";
const JAR: &str = "apicurio-registry-app-3.0.9-runner.jar";
/// Where Confluent's API is.
const PATH: &str = "/apis/ccompat/v7";
/// Files of one that speaks TLS.
const KEY_STORE: &str = "keys.p12";
const CERTIFICATE: &str = "certificate.pem";
const PASSWORD: &str = "of-a-test";
/// Time for it to serve: 15 s on a quiet machine, several times that on a loaded one.
const START: Duration = Duration::from_secs(180);

/// A running schema registry, a JVM process that keeps its schemas in memory. Dropping it kills
/// it.
///
/// ```no_run
/// # async fn example() {
/// use serde_json::json;
/// use sluice_tests::{SchemaRegistry, unique};
///
/// let registry = SchemaRegistry::shared().await;
/// let id = registry.register(&unique("orders-value"), &json!("string")).await;
/// # }
/// ```
#[derive(Debug)]
pub struct SchemaRegistry {
    /// Before `run`: dropped in order, the process must end before its folder goes.
    process: Mutex<Process>,
    http: Client,
    scheme: Scheme,
    port: Port,
    run: RunDir,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

impl SchemaRegistry {
    /// Returns the one registry of this test process, started by the first test that asks. It
    /// ends with the process. Take [`unique`](crate::unique) names in it.
    ///
    /// # Panics
    /// When it cannot be started, with one sentence that says what to do.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<SchemaRegistry> = OnceCell::const_new();
        let start = async || Self::try_start(Scheme::Http).await;
        match SHARED.get_or_try_init(start).await {
            Ok(registry) => registry,
            Err(error) => panic!("{error}"),
        }
    }

    /// Starts a registry of the test's own, to kill or freeze.
    ///
    /// # Panics
    /// When it cannot be started, with one sentence that says what to do.
    pub async fn start() -> Self {
        match Self::try_start(Scheme::Http).await {
            Ok(registry) => registry,
            Err(error) => panic!("{error}"),
        }
    }

    /// Starts a registry that speaks TLS only, with a [`certificate`](Self::certificate) that
    /// nobody else has signed.
    ///
    /// # Panics
    /// When it cannot be started, with one sentence that says what to do.
    pub async fn start_with_tls() -> Self {
        match Self::try_start(Scheme::Https).await {
            Ok(registry) => registry,
            Err(error) => panic!("{error}"),
        }
    }

    async fn try_start(scheme: Scheme) -> Result<Self, Error> {
        let provided = spawn_blocking(|| Ok((maven::java()?, fetched()?))).await;
        let (java, folder): (OsString, _) = provided.expect("fetching does not panic")?;
        let (port, run) = (Port::reserve()?, RunDir::create("registry")?);
        let mut environment = vec![("QUARKUS_HTTP_HOST", "127.0.0.1".to_owned())];
        let number = port.number().to_string();
        let mut http = Client::builder()
            .no_proxy()
            // Tests share it, and a connection ends with the test that has made it.
            .pool_max_idle_per_host(0);
        match scheme {
            Scheme::Http => environment.push(("QUARKUS_HTTP_PORT", number)),
            Scheme::Https => {
                let store = run.path().join(KEY_STORE);
                let pem = certify(&java, run.path())?;
                let pem = Certificate::from_pem(&pem).expect("keytool writes PEM");
                http = http.tls_certs_only([pem]);
                environment.extend([
                    ("QUARKUS_HTTP_SSL_PORT", number),
                    ("QUARKUS_HTTP_INSECURE_REQUESTS", "disabled".to_owned()),
                    (
                        "QUARKUS_HTTP_SSL_CERTIFICATE_KEY_STORE_FILE",
                        store.display().to_string(),
                    ),
                    (
                        "QUARKUS_HTTP_SSL_CERTIFICATE_KEY_STORE_PASSWORD",
                        PASSWORD.to_owned(),
                    ),
                ]);
            }
        }
        let arguments = [
            "-Xmx256m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-jar",
        ];
        let jar = folder.join(JAR).into_os_string();
        let process = Process::spawn(
            "the schema registry",
            &java,
            arguments.map(OsString::from).into_iter().chain([jar]),
            &run.path().join("registry.log"),
            None,
            |command| {
                command.current_dir(run.path()).envs(environment);
            },
        )?;
        let registry = Self {
            process: Mutex::new(process),
            http: http.build().expect("a client needs nothing"),
            scheme,
            port,
            run,
        };
        registry.serving().await?;
        Ok(registry)
    }

    async fn serving(&self) -> Result<(), Error> {
        let url = format!("{}/subjects", self.url());
        let serves = wait::within(START, async || {
            if self.process().status().is_some() {
                return Some(false);
            }
            let answer = self.http.get(&url).send().await.ok()?;
            answer.status().is_success().then_some(true)
        })
        .await;
        match serves {
            Some(true) => Ok(()),
            Some(false) => Err(self.process().failure("it ended while starting")),
            None => Err(self.process().failure("it does not serve")),
        }
    }

    /// Returns the address of Confluent's API, as nodes take it.
    pub fn url(&self) -> String {
        match self.scheme {
            Scheme::Http => Self::url_at(self.address()),
            Scheme::Https => format!("https://{}{PATH}", self.address()),
        }
    }

    /// Returns the file with its certificate, if it was started with one.
    pub fn certificate(&self) -> PathBuf {
        self.run.path().join(CERTIFICATE)
    }

    /// Returns the address of Confluent's API by way of something that stands before it.
    pub fn url_at(address: SocketAddr) -> String {
        format!("http://{address}{PATH}")
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port.number()))
    }

    /// Registers an Avro schema as the next version of a subject and returns its id.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn register(&self, subject: &str, schema: &Value) -> u32 {
        self.register_with(subject, schema, &[]).await
    }

    /// As [`register`](Self::register), of a schema that refers to the first versions of these
    /// subjects by these names.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn register_with(
        &self,
        subject: &str,
        schema: &Value,
        references: &[(&str, &str)],
    ) -> u32 {
        let reference = |(name, subject): &(&str, &str)| json!({"name": name, "subject": subject, "version": 1});
        let references: Vec<Value> = references.iter().map(reference).collect();
        let body = json!({"schema": schema.to_string(), "references": references});
        self.post(subject, &body).await
    }

    /// Registers a schema that is none of Avro and returns its id.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn register_protobuf(&self, subject: &str) -> u32 {
        let schema = "syntax = \"proto3\"; message Note { string text = 1; }";
        let body = json!({"schema": schema, "schemaType": "PROTOBUF"});
        self.post(subject, &body).await
    }

    async fn post(&self, subject: &str, body: &Value) -> u32 {
        let url = format!("{}/subjects/{subject}/versions", self.url());
        let answer = self.http.post(url).json(body).send().await;
        let answer = answer.expect("the registry answers");
        let answer = answer.text().await.expect("the registry answers whole");
        let told: Value = serde_json::from_str(&answer).unwrap_or_default();
        let id = told["id"].as_u64().and_then(|id| u32::try_from(id).ok());
        id.unwrap_or_else(|| panic!("{body} was refused for {subject}: {answer}"))
    }

    /// Kills it with SIGKILL, and all its schemas with it. Its port stays reserved.
    pub fn kill(&self) {
        self.process().kill();
    }

    /// Stops all its threads with SIGSTOP: connections stay open, nothing is answered.
    pub fn freeze(&self) {
        self.process().signal(Signal::SIGSTOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.process().signal(Signal::SIGCONT);
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a key and a certificate for it in the folder, and returns that.
fn certify(java: &OsStr, folder: &Path) -> Result<Vec<u8>, Error> {
    let keytool = Path::new(java).with_file_name("keytool");
    let store = [
        "-alias",
        "registry",
        "-storepass",
        PASSWORD,
        "-keystore",
        KEY_STORE,
    ];
    let make = ["-genkeypair", "-keyalg", "EC", "-storetype", "PKCS12"];
    let name = ["-dname", "CN=localhost", "-ext", "SAN=ip:127.0.0.1"];
    let export = ["-exportcert", "-rfc", "-file", CERTIFICATE];
    for arguments in [[&make[..], &name].concat(), export.to_vec()] {
        let mut command = Command::new(&keytool);
        command.args(arguments).args(store).current_dir(folder);
        let (status, output) = process::output(&mut command).map_err(Error::io("run keytool"))?;
        if !status.success() {
            return Err(Error::Program {
                program: "keytool".to_owned(),
                status: status.to_string(),
                output,
            });
        }
    }
    fs::read(folder.join(CERTIFICATE)).map_err(Error::io("read the certificate"))
}

/// Returns the folder of this very version.
fn fetched() -> Result<PathBuf, Error> {
    maven::fetched("schema-registry", ARTIFACT, |scratch, into| {
        maven::run([
            "dependency:copy".to_owned(),
            format!("-Dartifact={ARTIFACT}"),
            format!("-DoutputDirectory={}", scratch.display()),
        ])?;
        let mut unpacking = Command::new("sh");
        unpacking.args(["-c", "tar xzf \"$1\"/*.tar.gz -C \"$2\"", "sh"]);
        unpacking.arg(scratch).arg(into);
        let (status, output) = process::output(&mut unpacking).map_err(Error::io("run tar"))?;
        match status.success() {
            true => Ok(()),
            false => Err(Error::Program {
                program: "tar".to_owned(),
                status: status.to_string(),
                output,
            }),
        }
    })
}
