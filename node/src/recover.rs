//! `sluice recover`: a cluster begins anew from one node, after a majority was lost.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use sluice_raft::{Member, NodeAddress, Recovered, StartError, VolumeError};
use sluice_types::{Clock, SystemClock};

use crate::app;
use crate::config::{Config, Flags, HostPort};

/// The command line is not what is needed.
const EXIT_USAGE: u8 = 64;

/// The volume cannot be used: `EX_IOERR` of sysexits.
const EXIT_VOLUME: u8 = 74;

/// What `sluice recover` can be told.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Without --i-have-lost-a-majority it only says what it would do.

Exit status: 0 if the volume is that of a new cluster now, 64 if nothing was asked for or the \
configuration is wrong, 74 if the volume cannot be used; then nothing has changed.")]
pub(crate) struct Args {
    /// The configuration file of the node
    #[arg(long, value_name = "FILE", env = "SLUICE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// The node's volume, instead of cluster.data_dir
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Confirms that most of the cluster's volumes are lost for good
    #[arg(long)]
    i_have_lost_a_majority: bool,
}

impl Args {
    /// What of the configuration they replace.
    pub(crate) fn flags(&self) -> Flags {
        Flags {
            data_dir: self.data_dir.clone(),
            ..Flags::default()
        }
    }
}

/// Says what it does, does it if that is confirmed, and says what it has done.
pub(crate) async fn run(args: &Args, config: &Config) -> ExitCode {
    let (data_dir, address) = match place(config) {
        Ok(place) => place,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    print!("{}", plan(config, data_dir, &address));
    if !args.i_have_lost_a_majority {
        println!("\nNothing has been done. To do it, add --i-have-lost-a-majority.");
        return ExitCode::from(EXIT_USAGE);
    }
    match recover(config, data_dir, &address).await {
        Ok(recovered) => {
            print!("{}", done(config, &address, &recovered));
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!();
            eprintln!("nothing has been done: {why}");
            ExitCode::from(EXIT_VOLUME)
        }
    }
}

/// The volume that a cluster is to begin on, and where others find its node.
///
/// # Errors
/// What of the configuration is missing, as a sentence.
pub(crate) fn place(config: &Config) -> Result<(&Path, NodeAddress), String> {
    let Some(data_dir) = &config.cluster.data_dir else {
        return Err("there is no volume: give --data-dir, or set cluster.data_dir".to_owned());
    };
    let bind = config.cluster.bind;
    if bind.is_some_and(|bind| bind.port() == 0) && config.cluster.advertise.is_none() {
        return Err(
            "others could not find the node: set cluster.advertise, or a port in cluster.bind"
                .to_owned(),
        );
    }
    let address = app::advertised(config, bind).map_err(|error| error.to_string())?;
    let peers = &config.cluster.peers;
    let is_named = |peer: &HostPort| peer.to_string() == address.as_str();
    // Nodes with empty volumes cannot tell such a start from the very first one.
    if !peers.is_empty() && !peers.iter().any(is_named) {
        return Err(format!(
            "{address} is not among cluster.peers: nodes with empty volumes would not find this \
             one there, and would form a cluster of their own. Name it there, on all nodes, first"
        ));
    }
    Ok((data_dir, address))
}

async fn recover(
    config: &Config,
    data_dir: &Path,
    address: &NodeAddress,
) -> Result<Recovered, String> {
    // A wrong path must not become a new and empty volume.
    let mut content = std::fs::read_dir(data_dir)
        .map_err(|error| format!("{} cannot be read: {error}", data_dir.display()))?;
    if content.next().is_none() {
        return Err(format!("{} is empty", data_dir.display()));
    }
    let member = Member {
        name: config.cluster.name.to_string(),
        address: address.to_string(),
    };
    let recovered = sluice_raft::recover(data_dir.to_owned(), member, SystemClock.now()).await;
    recovered.map_err(|error| match error {
        StartError::Volume(VolumeError::Locked(_)) => {
            format!("{error}, end the node first")
        }
        _ => error.to_string(),
    })
}

fn plan(config: &Config, data_dir: &Path, address: &NodeAddress) -> String {
    format!(
        "\
This makes a new cluster out of one node of a cluster that has lost its majority:

  volume   {}
  node     {}, found by others at {address}

It begins with what this volume holds. What only other volumes held is lost: sessions, seeks
and assignments that this node had not heard of yet. Committed offsets are Kafka's, and stay.
All sessions get a new epoch, so that what former nodes claim to own holds no longer.
Former nodes are refused if they come back with their volumes: stop them for good.

If a majority of the nodes can still be started, start it instead: the cluster then goes on by
itself, and nothing is lost. If not, do this on one node only, on the one that had applied most.
",
        data_dir.display(),
        config.cluster.name,
    )
}

fn done(config: &Config, address: &NodeAddress, recovered: &Recovered) -> String {
    format!(
        "
Done: this volume is that of a new cluster.

  cluster     {}
  generation  {}
  sessions    {}

Start {} now: it serves them. Then start others, each with an empty cluster.data_dir and with
{address} among its cluster.peers: they join as new members.
",
        recovered.cluster, recovered.generation, recovered.sessions, config.cluster.name,
    )
}
