//! `sluice status`: the cluster's nodes, for people.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use serde::Deserialize;

/// Some of the cluster is not as it should be.
const EXIT_UNWELL: u8 = 1;

/// Nobody says how the cluster is: `EX_UNAVAILABLE` of sysexits.
const EXIT_UNAVAILABLE: u8 = 69;

/// The node itself waits a second for its leader.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where an admin port is if nobody says otherwise.
const ADMIN: &str = "http://127.0.0.1:9091";

/// What `sluice status` can be told.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 if the cluster has a leader and no node of it is dead that has not left in order, \
1 otherwise, 69 if the admin port cannot be asked.")]
pub(crate) struct Args {
    /// The admin port of any node
    #[arg(long, value_name = "URL", default_value = ADMIN)]
    url: String,
    /// Prints the answer of GET /api/cluster as it is
    #[arg(long)]
    json: bool,
}

/// The answer of `GET /api/cluster`, as far as it is shown. What later releases add is passed over.
#[derive(Debug, Deserialize)]
struct Cluster {
    id: Option<String>,
    leader: Option<String>,
    term: u64,
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    name: String,
    address: String,
    state: String,
    role: Option<String>,
    sessions: u64,
    version: String,
    applied: Option<u64>,
    lease_ms: Option<u64>,
    #[serde(default)]
    left: bool,
}

/// Shows the cluster, and says by the exit status how it is.
pub(crate) async fn run(args: &Args) -> ExitCode {
    let url = args.url.trim_end_matches('/');
    let asked = ask(url).await.and_then(|text| {
        let cluster: Cluster = serde_json::from_str(&text)
            .map_err(|error| format!("the answer is not that of an admin port: {error}"))?;
        Ok((text, cluster))
    });
    match asked {
        Ok((text, cluster)) => {
            if args.json {
                println!("{text}");
            } else {
                print!("{}", cluster.shown());
            }
            ExitCode::from(if cluster.is_well() { 0 } else { EXIT_UNWELL })
        }
        Err(why) => {
            eprintln!("{url} cannot be asked how the cluster is: {why}");
            ExitCode::from(EXIT_UNAVAILABLE)
        }
    }
}

async fn ask(url: &str) -> Result<String, String> {
    let client = reqwest::Client::builder()
        .timeout(PATIENCE)
        // A node is asked directly whatever the environment says of proxies.
        .no_proxy()
        .build()
        .map_err(|error| innermost(&error))?;
    let answer = client.get(format!("{url}/api/cluster")).send().await;
    let answer = answer.map_err(|error| innermost(&error))?;
    let status = answer.status();
    let text = answer.text().await.map_err(|error| innermost(&error))?;
    if !status.is_success() {
        return Err(format!(
            "it answers {status}; is this the admin port (admin.bind) of a node?"
        ));
    }
    Ok(text)
}

/// The outer errors say again what was asked, and not what went wrong.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.last().unwrap_or(error).to_string()
}

impl Cluster {
    /// Whether all is as it should be.
    fn is_well(&self) -> bool {
        self.leader.is_some() && self.nodes.iter().all(|node| node.shown_state() != "dead")
    }

    fn shown(&self) -> String {
        let mut shown = match (&self.id, &self.leader) {
            (Some(id), Some(leader)) => {
                format!("cluster {id}, led by {leader} in term {}\n\n", self.term)
            }
            (Some(id), None) => format!(
                "cluster {id}, without a leader: nothing is decided\n\
                 the table is what this node knew last: nodes shown as alive may be gone\n\n"
            ),
            (None, Some(leader)) => format!("{leader} alone, without a cluster.data_dir\n\n"),
            (None, None) => "not in a cluster yet\n\n".to_owned(),
        };
        let newest = self.nodes.iter().filter_map(|node| node.applied).max();
        let rows = self.nodes.iter().map(|node| node.row(newest));
        let rows: Vec<[String; COLUMNS]> = [HEADINGS.map(str::to_owned)]
            .into_iter()
            .chain(rows)
            .collect();
        let widths: [usize; COLUMNS] = std::array::from_fn(|column| {
            let lengths = rows.iter().map(|row| row[column].chars().count());
            lengths.max().unwrap_or(0)
        });
        for row in &rows {
            let mut line = String::new();
            for ((cell, width), column) in row.iter().zip(widths).zip(0..) {
                let _ = match NUMBERS.contains(&column) {
                    true => write!(line, "{cell:>width$}  "),
                    false => write!(line, "{cell:<width$}  "),
                };
            }
            shown.push_str(line.trim_end());
            shown.push('\n');
        }
        shown
    }
}

const COLUMNS: usize = 9;
const HEADINGS: [&str; COLUMNS] = [
    "NODE", "STATE", "ROLE", "SESSIONS", "VERSION", "APPLIED", "BEHIND", "LEASE", "ADDRESS",
];
/// The columns of numbers, which stand on the right.
const NUMBERS: [usize; 4] = [3, 5, 6, 7];
/// What is not known.
const UNKNOWN: &str = "-";

impl Node {
    /// Who was stopped in order is dead to the registry, and missed by nobody.
    fn shown_state(&self) -> &str {
        if self.left { "left" } else { &self.state }
    }

    /// What stands of it in the table; `newest` is how far the foremost node is.
    fn row(&self, newest: Option<u64>) -> [String; COLUMNS] {
        let number =
            |known: Option<u64>| known.map_or_else(|| UNKNOWN.to_owned(), |n| n.to_string());
        let behind = newest.zip(self.applied);
        let lease = match self.lease_ms {
            None => UNKNOWN.to_owned(),
            Some(0) => "none".to_owned(),
            Some(millis) => format!("{}.{} s", millis / 1000, millis % 1000 / 100),
        };
        [
            self.name.clone(),
            self.shown_state().to_owned(),
            self.role.clone().unwrap_or_else(|| UNKNOWN.to_owned()),
            self.sessions.to_string(),
            self.version.clone(),
            number(self.applied),
            number(behind.map(|(newest, applied)| newest.saturating_sub(applied))),
            lease,
            self.address.clone(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cluster(value: serde_json::Value) -> Cluster {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_table_stands_in_columns() {
        let cluster = cluster(json!({"id": "6e1c", "leader": "n0", "term": 3, "nodes": [
            {"name": "n0", "address": "n0.sluice:7070", "state": "alive", "role": "leader",
             "sessions": 1041, "version": "0.1.0", "applied": 1200, "lease_ms": 2891},
            {"name": "node-11", "address": "n11.sluice:7070", "state": "draining", "role": "voter",
             "sessions": 2, "version": "0.1.0", "applied": 995, "lease_ms": 0},
            {"name": "n2", "address": "n2.sluice:7070", "state": "dead", "role": null,
             "sessions": 0, "version": "0.1.0", "applied": null, "lease_ms": null},
        ]}));
        let expected = "\
cluster 6e1c, led by n0 in term 3

NODE     STATE     ROLE    SESSIONS  VERSION  APPLIED  BEHIND  LEASE  ADDRESS
n0       alive     leader      1041  0.1.0       1200       0  2.8 s  n0.sluice:7070
node-11  draining  voter          2  0.1.0        995     205   none  n11.sluice:7070
n2       dead      -              0  0.1.0          -       -      -  n2.sluice:7070
";
        assert_eq!(cluster.shown(), expected);
        assert!(!cluster.is_well());
    }

    #[test]
    fn without_a_leader_the_table_is_said_to_be_old() {
        let cluster = cluster(json!({"id": "6e1c", "leader": null, "term": 3, "nodes": []}));
        let expected = "\
cluster 6e1c, without a leader: nothing is decided
the table is what this node knew last: nodes shown as alive may be gone

NODE";
        assert!(cluster.shown().starts_with(expected), "{}", cluster.shown());
    }

    #[test]
    fn a_node_that_was_stopped_in_order_has_left_and_all_is_well() {
        let of = |left: bool| {
            cluster(json!({"id": "6e1c", "leader": "n0", "term": 3, "nodes": [
                {"name": "n1", "address": "localhost:1", "state": "dead", "role": "learner",
                 "sessions": 0, "version": "0.1.0", "applied": null, "lease_ms": null,
                 "left": left},
            ]}))
        };
        let (gone, failed) = (of(true), of(false));
        assert!(
            gone.shown().contains("n1    left   learner"),
            "{}",
            gone.shown()
        );
        assert!(gone.is_well());
        assert!(
            failed.shown().contains("n1    dead   learner"),
            "{}",
            failed.shown()
        );
        assert!(!failed.is_well());
    }

    #[test]
    fn a_cluster_is_well_that_has_a_leader_and_no_dead_node() {
        let of = |leader: Option<&str>, state: &str| {
            cluster(json!({"id": null, "leader": leader, "term": 0, "nodes": [
                {"name": "n0", "address": "localhost:1", "state": state, "role": null,
                 "sessions": 0, "version": "0.1.0", "applied": null, "lease_ms": null},
            ]}))
        };
        assert!(of(Some("n0"), "alive").is_well());
        assert!(of(Some("n0"), "draining").is_well());
        assert!(!of(Some("n0"), "dead").is_well());
        assert!(!of(None, "alive").is_well());
    }
}
