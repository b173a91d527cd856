//! The native side as a process of its own: this binary, started again with a task.

use std::env;
use std::process::Stdio;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{self, ChildStdin, ChildStdout, Command};

use super::native::{self, DrainTask, HoldTask};
use super::writer::{self, WriteTask};

/// The argument before a task; not for people, hence not among the options.
const MARK: &str = "native-task";

/// What a native side does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Task {
    /// Reads a topic to its end.
    Drain(DrainTask),
    /// Keeps consumers and does nothing with them.
    Hold(HoldTask),
    /// Writes records for some time.
    Write(WriteTask),
}

/// Does the task that this process was started for, if it is a native side. A benchmark's `main`
/// begins with it, and ends if it returns true.
pub async fn run_task() -> bool {
    let mut arguments = env::args().skip(1);
    if arguments.next().as_deref() != Some(MARK) {
        return false;
    }
    let task = arguments.next().unwrap_or_default();
    match serde_json::from_str(&task).expect("a native side is started by a benchmark") {
        Task::Drain(task) => tell(&native::drain(&task)),
        Task::Hold(task) => native::hold(&task, tell).await,
        Task::Write(task) => tell(&writer::write(&task).await),
    }
    true
}

fn tell(outcome: &impl Serialize) {
    let line = serde_json::to_string(outcome).expect("what a native side tells is JSON");
    println!("{line}");
}

/// A native side that runs. Dropping it kills it, and it ends by itself if this process is gone.
#[derive(Debug)]
pub struct Child {
    process: process::Child,
    told: Lines<BufReader<ChildStdout>>,
    /// Its end tells a child that holds consumers to end.
    _stdin: Option<ChildStdin>,
}

impl Child {
    /// Starts a process for `task`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(task: &Task) -> Self {
        let this = env::current_exe().expect("a running program has a path");
        let task = serde_json::to_string(task).expect("a task is JSON");
        let mut process = Command::new(this)
            .args([MARK, &task])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("this program can be started once more");
        let stdout = process.stdout.take().expect("it is a pipe");
        Self {
            told: BufReader::new(stdout).lines(),
            _stdin: process.stdin.take(),
            process,
        }
    }

    /// Returns its process id.
    ///
    /// # Panics
    /// When it has ended.
    pub fn pid(&self) -> u32 {
        self.process.id().expect("the native side runs")
    }

    /// Waits for what the process tells next.
    ///
    /// # Panics
    /// When it ends without a word; what went wrong is in its own output.
    pub async fn told<T: DeserializeOwned>(&mut self) -> T {
        let line = self.told.next_line().await.expect("a pipe can be read");
        let line = line.expect("the native side tells what it has done");
        serde_json::from_str(&line).expect("the native side tells JSON")
    }
}
