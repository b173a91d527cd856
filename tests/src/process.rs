//! A child process that cannot outlive the test process.
//!
//! Destructors do not run for statics, nor when a test process is killed, so the child is held
//! on a leash: a pipe whose other end only this process has. A shell starts a watcher that reads
//! the pipe and then becomes the child itself:
//!
//! ```text
//! test process ──pipe──▶ watcher (sh) ── kill -KILL ──▶ its parent, the child
//! ```
//!
//! The pipe ends when the test process ends, for whatever reason. The watcher is a child of what
//! it kills, so it can tell that its target still is the one it was started for: a dead one's
//! number may belong to somebody else.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::{Error, wait};

/// `$1`: a folder to remove when the test process is gone, or nothing. A line on the pipe lets
/// the watcher go without doing anything. To write beyond a [limit](Process::limit_files) is an
/// error for the child, as on a full disk, and not its end.
const LEASH: &str = r#"
data=$1; shift
trap '' XFSZ
exec 3<&0 </dev/null
(
  read -r _ <&3 && exit 0
  read -r _ _ _ parent _ </proc/self/stat
  [ "$parent" = "$$" ] && kill -KILL "$$"
  [ -z "$data" ] || rm -rf -- "$data"
) >/dev/null 2>&1 &
exec 3<&-
exec "$@"
"#;

/// A running or ended child process with its output in a log file.
#[derive(Debug)]
pub(crate) struct Process {
    what: String,
    child: Child,
    /// Not left to the child, whose `wait` would close it and so set off the watcher.
    leash: Option<ChildStdin>,
    status: Option<ExitStatus>,
    log: PathBuf,
}

impl Process {
    /// Starts `program` with `arguments`; `adjust` adds environment and the like. What it prints
    /// is appended to `log`. `data` is removed if this process ends without stopping the child.
    pub(crate) fn spawn<A: AsRef<OsStr>>(
        what: &str,
        program: &OsStr,
        arguments: impl IntoIterator<Item = A>,
        log: &Path,
        data: Option<&Path>,
        adjust: impl FnOnce(&mut Command),
    ) -> Result<Self, Error> {
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .map_err(Error::io(format!("open {}", log.display())))?;
        let errors = output
            .try_clone()
            .map_err(Error::io(format!("open {}", log.display())))?;
        let mut command = Command::new("sh");
        command
            .args(["-c", LEASH, "sh"])
            .arg(data.unwrap_or(Path::new("")))
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            // Ctrl-C in a terminal goes to this process alone, which decides what it means.
            .process_group(0);
        adjust(&mut command);
        let mut child = command
            .spawn()
            .map_err(Error::io(format!("start {what}")))?;
        Ok(Self {
            what: what.to_owned(),
            leash: child.stdin.take(),
            child,
            status: None,
            log: log.to_owned(),
        })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns how the process ended, or `None` while it runs.
    pub(crate) fn status(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().ok().flatten();
            if self.status.is_some() {
                self.unleash();
            }
        }
        self.status
    }

    /// Sends a signal; one to an ended process is lost, as it is for anybody.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if self.status().is_none() {
            let number = i32::try_from(self.child.id()).expect("process ids fit an i32");
            // It may end at this very moment, but it is not reaped: the number is still its own.
            let _ = signal::kill(Pid::from_raw(number), signal);
        }
    }

    /// Kills the process and waits for its end, a matter of milliseconds also for a frozen one.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        if self.status.is_none() {
            self.status = self.child.wait().ok();
        }
        self.unleash();
    }

    /// Lets the process write no file beyond this many bytes, its log neither: to it, the disk is
    /// full.
    ///
    /// # Errors
    /// When `prlimit`, of util-linux, cannot do that.
    pub(crate) fn limit_files(&self, bytes: u64) -> Result<(), Error> {
        let mut prlimit = Command::new("prlimit");
        prlimit.args(["--pid", &self.id().to_string()]);
        prlimit.arg(format!("--fsize={bytes}"));
        let (status, output) = output(&mut prlimit).map_err(Error::io("run prlimit"))?;
        if status.success() {
            return Ok(());
        }
        Err(Error::Program {
            program: "prlimit".to_owned(),
            status: status.to_string(),
            output,
        })
    }

    /// Returns the error that tells what this process did wrong, with the end of its log.
    pub(crate) fn failure(&self, what: impl std::fmt::Display) -> Error {
        Error::Process {
            what: format!("{}: {what}", self.what),
            tail: tail(&self.log, 25),
            log: self.log.clone(),
        }
    }

    fn unleash(&mut self) {
        if let Some(mut leash) = self.leash.take() {
            let _ = leash.write_all(b"\n");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits for the end of a process that others may signal meanwhile.
pub(crate) async fn wait_exit(
    deadline: Duration,
    mut status: impl FnMut() -> Option<ExitStatus>,
) -> Option<ExitStatus> {
    wait::within(deadline, async || status()).await
}

/// Reads a log; the bytes that are not UTF-8 are shown as such.
pub(crate) fn read_log(log: &Path) -> String {
    fs::read(log).map_or_else(
        |error| format!("(cannot be read: {error})"),
        |bytes| String::from_utf8_lossy(&bytes).into_owned(),
    )
}

/// Returns the last lines of a log.
pub(crate) fn tail(log: &Path, lines: usize) -> String {
    let text = read_log(log);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Runs a program to its end and returns what it printed on both channels.
pub(crate) fn output(command: &mut Command) -> io::Result<(ExitStatus, String)> {
    let output = command.stdin(Stdio::null()).output()?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok((output.status, text))
}
