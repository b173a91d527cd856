//! `sluice registry`: the sessions of a cluster into a file, and a new cluster out of it.

mod file;
mod shape;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use sluice_raft::{Exported, Member, StartError, VolumeError};
use sluice_types::{Clock, SystemClock};

use crate::config::{Config, Flags};
use crate::recover;

/// The command line, the configuration or the file is not what is needed.
const EXIT_USAGE: u8 = 64;

/// The volume, or the file, cannot be used: `EX_IOERR` of sysexits.
const EXIT_VOLUME: u8 = 74;

/// What `sluice registry` can do.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Writes the sessions on the volume of a node that does not run, a line of JSON each
    Export(Export),
    /// Makes a new cluster of one node, with exported sessions, on an empty volume
    Import(Import),
}

/// What an export can be told.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 if all is written, 64 if the configuration is wrong, 74 if the volume or the file \
cannot be used. The volume stays as it is.")]
pub(crate) struct Export {
    /// The configuration file of the node; with --data-dir none is read
    #[arg(long, value_name = "FILE", env = "SLUICE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// The node's volume, instead of cluster.data_dir
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where to write, a file that is not there yet, instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What an import can be told.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
The cluster that the file is of must not run any more: both would serve the same sessions.

Exit status: 0 if the volume is that of a new cluster now, 64 if the configuration or the file is \
wrong, 74 if the volume cannot be used.")]
pub(crate) struct Import {
    /// The configuration file of the node
    #[arg(long, value_name = "FILE", env = "SLUICE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// The node's volume, instead of cluster.data_dir
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// What an export has written; - is standard input
    file: PathBuf,
}

impl Import {
    /// What of the configuration they replace.
    pub(crate) fn flags(&self) -> Flags {
        Flags {
            data_dir: self.data_dir.clone(),
            ..Flags::default()
        }
    }
}

/// Writes the sessions of a volume.
pub(crate) async fn export(args: &Export, data_dir: Option<&Path>) -> ExitCode {
    let Some(data_dir) = data_dir else {
        eprintln!("there is no volume to read: give --data-dir, or set cluster.data_dir");
        return ExitCode::from(EXIT_USAGE);
    };
    match exported(args, data_dir).await {
        Ok(exported) => {
            let ended = exported.sessions.iter().filter(|s| s.is_deleting()).count();
            eprintln!("sessions exported: {}", exported.sessions.len() - ended);
            if ended > 0 {
                eprintln!("left out, since they were being deleted: {ended}");
            }
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("nothing is exported: {why}");
            ExitCode::from(EXIT_VOLUME)
        }
    }
}

async fn exported(args: &Export, data_dir: &Path) -> Result<Exported, String> {
    let exported = sluice_raft::export(data_dir.to_owned()).await;
    let exported = exported.map_err(|error| told(&error))?;
    let text = file::write(&exported, SystemClock.now());
    let text = text.map_err(|error| error.to_string())?;
    match &args.output {
        None => {
            let mut out = io::stdout().lock();
            let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
            written.map_err(|error| format!("standard output: {error}"))?;
        }
        Some(path) => {
            let written = File::create_new(path).and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            });
            written.map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    Ok(exported)
}

/// Makes a new cluster, with the sessions of a file.
pub(crate) async fn import(args: &Import, config: &Config) -> ExitCode {
    let (data_dir, address) = match recover::place(config) {
        Ok(place) => place,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let sessions = match given(&args.file) {
        Ok(sessions) => sessions,
        Err(why) => {
            eprintln!("nothing is imported: {}: {why}", args.file.display());
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let member = Member {
        name: config.cluster.name.to_string(),
        address: address.to_string(),
    };
    match sluice_raft::import(data_dir.to_owned(), member, sessions).await {
        Ok(imported) => {
            println!(
                "\
This volume is that of a new cluster.

  cluster     {}
  sessions    {}

Start {} now: it serves them. Then start others, each with an empty cluster.data_dir and with
{address} among its cluster.peers: they join as new members.",
                imported.cluster, imported.sessions, config.cluster.name,
            );
            ExitCode::SUCCESS
        }
        Err(StartError::NotEmpty(dir)) => {
            eprintln!(
                "nothing is imported: {} is not empty. A registry begins a new cluster, on a volume \
                 that holds nothing",
                dir.display()
            );
            ExitCode::from(EXIT_VOLUME)
        }
        Err(error) => {
            eprintln!(
                "the import has failed: {}. Empty the volume before it is used again",
                told(&error)
            );
            ExitCode::from(EXIT_VOLUME)
        }
    }
}

fn given(path: &Path) -> Result<Vec<sluice_raft::Session>, String> {
    let text = match path.as_os_str() == "-" {
        true => io::read_to_string(io::stdin()),
        false => std::fs::read_to_string(path),
    };
    let text = text.map_err(|error| error.to_string())?;
    file::read(&text).map_err(|mistake| mistake.to_string())
}

fn told(error: &StartError) -> String {
    match error {
        StartError::Volume(VolumeError::Locked(_)) => format!("{error}, end the node first"),
        _ => error.to_string(),
    }
}
