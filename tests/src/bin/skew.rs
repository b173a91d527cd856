//! Rolls a cluster from one version of Sluice to another under traffic: no request fails, no
//! record is lost, none is repeated.
//!
//! The nodes run what `SLUICE_TEST_NODE` names, a link: it leads to the old version first and to
//! the new one from then on, so that each node is the new version when it starts again.

#![forbid(unsafe_code)]

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use sluice_tests::{Cluster, Dice, Kafka, Traffic, Verdict};

/// How long a node may take to end.
const DEADLINE: Duration = Duration::from_secs(60);

/// Rolls three nodes from one version of Sluice to another under traffic.
#[derive(Debug, Parser)]
struct Arguments {
    /// The binary that the nodes run first.
    #[arg(long)]
    old: PathBuf,
    /// The binary that they run then.
    #[arg(long)]
    new: PathBuf,
    /// Where to make the link that `SLUICE_TEST_NODE` names.
    #[arg(long, env = "SLUICE_TEST_NODE")]
    link: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match roll(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot link {}: {error}", arguments.link.display());
            ExitCode::FAILURE
        }
    }
}

async fn roll(arguments: &Arguments) -> io::Result<()> {
    lead(&arguments.link, &arguments.old)?;
    let kafka = Kafka::shared().await;
    let cluster = Cluster::builder(kafka.bootstrap());
    let cluster = cluster.env("SLUICE_DRAIN__LINGER", "2s").start().await;
    let mut dice = Dice::cast();
    let traffic = Traffic::builder(&cluster, kafka);
    let traffic = traffic.members(3, 3).partitions(6).start(&mut dice).await;
    traffic.flows().await;
    println!("three nodes of the old version serve");
    lead(&arguments.link, &arguments.new)?;
    for node in 0..cluster.nodes().len() {
        cluster.retire(node).await;
        let status = cluster.ended(node, DEADLINE).await;
        assert_eq!(status, Some(0), "node {node} did not end in order");
        traffic.polls(2).await;
        cluster.restart(node).await;
        traffic.flows().await;
        println!("node {node} is of the new version");
    }
    traffic.finish(&cluster, kafka, &Verdict::unnoticed()).await;
    println!("no request failed, no record was lost or repeated");
    Ok(())
}

/// Makes the link lead to the binary.
fn lead(link: &Path, binary: &Path) -> io::Result<()> {
    let binary = fs::canonicalize(binary)?;
    match fs::remove_file(link) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    symlink(binary, link)
}
