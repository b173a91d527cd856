//! The command line.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use sluice_actors::EmbeddedBroker;

use crate::app::{App, Options};
use crate::config::{Config, Env, Flags, Mistakes};
use crate::failure::Failure;
use crate::{dev, recover, registry, shutdown, status, telemetry};

/// The configuration or the command line is wrong.
const EXIT_USAGE: u8 = 64;

/// The volume failed: `EX_IOERR` of sysexits.
const EXIT_VOLUME: u8 = 74;

/// The cluster uses what this release does not know: `EX_PROTOCOL` of sysexits.
const EXIT_TOO_OLD: u8 = 76;

/// A fault of ours, or of the machine.
const EXIT_INTERNAL: u8 = 70;

/// An HTTP proxy in front of Apache Kafka.
#[derive(Debug, Parser)]
#[command(name = "sluice", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a node
    Serve(Serve),
    /// Runs a node with an embedded broker and sample records, for trying things out
    Dev(dev::Args),
    /// Shows the nodes of the cluster
    Status(status::Args),
    /// Makes a new cluster out of one node, after a majority was lost
    Recover(recover::Args),
    /// Carries the sessions of a cluster that has ended into a new one
    #[command(subcommand)]
    Registry(registry::Command),
    /// Looks at a configuration
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Debug, Args)]
struct Serve {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "SLUICE_CONFIG")]
    config: Option<PathBuf>,
    /// Where clients connect, instead of http.bind
    #[arg(long, value_name = "ADDRESS")]
    http: Option<String>,
    /// Where operators connect, instead of admin.bind
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
    /// Kafka's servers, instead of kafka.bootstrap_servers
    #[arg(long, value_name = "HOST:PORT,…")]
    kafka: Option<String>,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Says what is wrong with a file and the environment, if anything
    Check {
        /// The file
        file: PathBuf,
    },
    /// Prints a file with every key: its default, what is allowed, and what it is for
    Reference,
}

/// Runs the command line to its end.
pub fn run(args: impl IntoIterator<Item = std::ffi::OsString>, env: &Env) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(refused) => {
            // Nothing can be said where even the terminal is gone.
            let _ = refused.print();
            return ExitCode::from(if refused.use_stderr() { EXIT_USAGE } else { 0 });
        }
    };
    match cli.command {
        Command::Serve(serve) => {
            let flags = Flags {
                http_bind: serve.http,
                admin_bind: serve.admin,
                bootstrap_servers: serve.kafka,
                data_dir: None,
            };
            let config = load(serve.config.as_deref(), env, &flags);
            let checked = config.and_then(|config| match config.kafka.check_files() {
                Ok(()) => Ok(config),
                Err(mistakes) => Err(wrong(&mistakes)),
            });
            match checked {
                Ok(config) => block_on(env, self::serve(config)),
                Err(code) => code,
            }
        }
        Command::Dev(args) => dev(&args, env),
        // What these say is for the terminal, not for a log.
        Command::Status(args) => on_runtime(status::run(&args)),
        Command::Recover(args) => match load(args.config.as_deref(), env, &args.flags()) {
            Ok(config) => on_runtime(recover::run(&args, &config)),
            Err(code) => code,
        },
        Command::Registry(command) => registry(&command, env),
        Command::Config(ConfigCommand::Reference) => {
            print!("{}", Config::reference());
            ExitCode::SUCCESS
        }
        Command::Config(ConfigCommand::Check { file }) => {
            match load(Some(&file), env, &Flags::default()) {
                Ok(_) => {
                    println!("{} is right", file.display());
                    ExitCode::SUCCESS
                }
                Err(code) => code,
            }
        }
    }
}

fn dev(args: &dev::Args, env: &Env) -> ExitCode {
    if let Err(mistakes) = dev::Args::check(env) {
        return wrong(&mistakes);
    }
    let broker = match EmbeddedBroker::start() {
        Ok(broker) => broker,
        Err(error) => {
            eprintln!("the embedded broker cannot start: {error}");
            return ExitCode::from(EXIT_INTERNAL);
        }
    };
    match load(None, env, &args.flags(&broker, env)) {
        Ok(config) => block_on(env, dev::run(config, broker)),
        Err(code) => code,
    }
}

fn registry(command: &registry::Command, env: &Env) -> ExitCode {
    match command {
        registry::Command::Export(args) => {
            let data_dir = match &args.data_dir {
                Some(data_dir) => Ok(Some(data_dir.clone())),
                None => load(args.config.as_deref(), env, &Flags::default())
                    .map(|config| config.cluster.data_dir),
            };
            match data_dir {
                Ok(data_dir) => on_runtime(registry::export(args, data_dir.as_deref())),
                Err(code) => code,
            }
        }
        registry::Command::Import(args) => match load(args.config.as_deref(), env, &args.flags()) {
            Ok(config) => on_runtime(registry::import(args, &config)),
            Err(code) => code,
        },
    }
}

fn load(path: Option<&Path>, env: &Env, flags: &Flags) -> Result<Config, ExitCode> {
    Config::load(path, env, flags).map_err(|mistakes| wrong(&mistakes))
}

fn wrong(mistakes: &Mistakes) -> ExitCode {
    eprintln!("the configuration is wrong:\n{mistakes}");
    ExitCode::from(EXIT_USAGE)
}

fn block_on(env: &Env, work: impl Future<Output = ExitCode>) -> ExitCode {
    telemetry::init(env);
    on_runtime(work)
}

fn on_runtime(work: impl Future<Output = ExitCode>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(work);
            // A thread that hangs in librdkafka must not keep the process.
            runtime.shutdown_background();
            code
        }
        Err(error) => {
            eprintln!("the runtime cannot start: {error}");
            ExitCode::from(EXIT_INTERNAL)
        }
    }
}

async fn serve(config: Config) -> ExitCode {
    let name = config.cluster.name.clone();
    tracing::info!(
        node = name.as_str(),
        version = env!("CARGO_PKG_VERSION"),
        "starting"
    );
    let running = match App::start(config, Options::default()).await {
        Ok(running) => running,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, cause, "the node cannot start");
            return ExitCode::from(match error.is_of_volume() {
                true => EXIT_VOLUME,
                false => EXIT_INTERNAL,
            });
        }
    };
    let mut failing = pin!(running.failed());
    tokio::select! {
        signal = shutdown::requested() => match signal {
            Ok(signal) => tracing::info!(signal, "stopping"),
            Err(error) => {
                tracing::error!(%error, "signals cannot be received");
                return ExitCode::from(EXIT_INTERNAL);
            }
        },
        failed = &mut failing => return cannot_go_on(&failed),
    }
    tokio::select! {
        () = running.shutdown() => ExitCode::SUCCESS,
        failed = &mut failing => cannot_go_on(&failed),
    }
}

/// What the node would hand over now could not be kept.
fn cannot_go_on(failed: &Failure) -> ExitCode {
    tracing::error!(error = %failed, "the node cannot go on");
    ExitCode::from(match failed {
        Failure::Volume(_) => EXIT_VOLUME,
        Failure::TooOld => EXIT_TOO_OLD,
    })
}
