//! How many sessions fit into the threads that the machine allows.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use crate::config::Config;

/// Threads of a Kafka handle besides one a broker.
const THREADS_A_HANDLE: usize = 3;

/// Threads for everything else: HTTP workers, arbiters, closers, the runtime.
const RESERVE: usize = 64;

/// The sessions that this node may run: what the configuration says, lowered where the process
/// may not have that many threads.
pub(crate) fn session_limit(config: &Config) -> NonZeroUsize {
    let asked = config.limits.sessions_per_node;
    let brokers = config.kafka.bootstrap_servers.len();
    let Some(threads) = thread_limit(Path::new("/")) else {
        return asked;
    };
    let allowed = fitting(threads, brokers, asked);
    if allowed < asked {
        tracing::warn!(
            threads,
            asked,
            allowed,
            "the thread limit allows fewer sessions than limits.sessions_per_node"
        );
    }
    allowed
}

fn fitting(threads: usize, brokers: usize, asked: NonZeroUsize) -> NonZeroUsize {
    let fit = threads.saturating_sub(RESERVE) / (brokers + THREADS_A_HANDLE);
    NonZeroUsize::new(fit)
        .unwrap_or(NonZeroUsize::MIN)
        .min(asked)
}

/// The least of the limits on threads, as far as they can be read.
fn thread_limit(root: &Path) -> Option<usize> {
    let proc = root.join("proc/self");
    let cgroups = cgroups(
        root,
        &fs::read_to_string(proc.join("cgroup")).unwrap_or_default(),
    );
    let from_cgroups = cgroups
        .into_iter()
        .filter_map(|path| fs::read_to_string(path.join("pids.max")).ok())
        .filter_map(|text| text.trim().parse().ok());
    let from_limits = fs::read_to_string(proc.join("limits"))
        .ok()
        .and_then(|text| max_processes(&text));
    from_cgroups.chain(from_limits).min()
}

/// The process's cgroups and all above them, in both versions' layouts.
fn cgroups(root: &Path, memberships: &str) -> Vec<PathBuf> {
    let mount = root.join("sys/fs/cgroup");
    let mut found = vec![mount.clone(), mount.join("pids")];
    for line in memberships.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let base = match controllers {
            "" => mount.clone(),
            names if names.split(',').any(|name| name == "pids") => mount.join("pids"),
            _ => continue,
        };
        let mut at = base;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            at = at.join(part);
            found.push(at.clone());
        }
    }
    found
}

/// The soft limit of `RLIMIT_NPROC`.
fn max_processes(limits: &str) -> Option<usize> {
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max processes"))?;
    line["Max processes".len()..]
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions(threads: usize, brokers: usize) -> usize {
        fitting(threads, brokers, NonZeroUsize::new(500).unwrap()).get()
    }

    #[test]
    fn sessions_fit_into_the_threads() {
        assert_eq!(sessions(1_000_000, 3), 500);
        assert_eq!(sessions(1264, 3), 200);
        assert_eq!(sessions(10, 3), 1);
    }

    #[test]
    fn the_least_limit_counts() {
        let root = tempfile::tempdir().unwrap();
        let proc = root.path().join("proc/self");
        let slice = root.path().join("sys/fs/cgroup/a/b");
        fs::create_dir_all(&proc).unwrap();
        fs::create_dir_all(&slice).unwrap();
        fs::write(proc.join("cgroup"), "0::/a/b\n").unwrap();
        assert_eq!(thread_limit(root.path()), None);
        let limits = "Limit   Soft   Hard   Units\nMax processes    1000    2000    processes\n";
        fs::write(proc.join("limits"), limits).unwrap();
        fs::write(slice.join("pids.max"), "max\n").unwrap();
        assert_eq!(thread_limit(root.path()), Some(1000));
        fs::write(slice.parent().unwrap().join("pids.max"), "300\n").unwrap();
        assert_eq!(thread_limit(root.path()), Some(300));
    }
}
