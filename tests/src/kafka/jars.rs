//! Apache Kafka's jars, fetched once by Maven, and what is run of them.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::{Error, maven, process};

const POM: &str = include_str!("../../pom.xml");

/// What is needed to run Kafka's programs.
#[derive(Debug, Clone)]
pub(crate) struct Jars {
    java: OsString,
    folder: PathBuf,
}

impl Jars {
    /// Finds Java, and fetches the jars if no earlier run has. Blocks; at its longest (Maven's
    /// first run) for minutes.
    pub(crate) fn provide() -> Result<Self, Error> {
        static PROVIDED: OnceLock<Jars> = OnceLock::new();
        if let Some(jars) = PROVIDED.get() {
            return Ok(jars.clone());
        }
        let java = maven::java()?;
        let folder = fetched()?;
        Ok(PROVIDED.get_or_init(|| Self { java, folder }).clone())
    }

    pub(crate) fn java(&self) -> &OsStr {
        &self.java
    }

    /// Returns the arguments that run class `main` in a JVM that starts quickly: with one
    /// compiler tier and the serial collector a broker is up in a third of the time.
    pub(crate) fn arguments(&self, heap_mib: u32, main: &str) -> Vec<OsString> {
        let mut class_path = self.folder.clone().into_os_string();
        class_path.push("/*");
        vec![
            format!("-Xmx{heap_mib}m").into(),
            "-XX:+UseSerialGC".into(),
            "-XX:TieredStopAtLevel=1".into(),
            "-Djava.awt.headless=true".into(),
            "-cp".into(),
            class_path,
            main.into(),
        ]
    }

    /// Runs one of Kafka's command-line programs to its end. Blocks for a second or two.
    pub(crate) fn run(&self, main: &str, arguments: &[&OsStr]) -> Result<String, Error> {
        let mut command = Command::new(&self.java);
        command.args(self.arguments(128, main)).args(arguments);
        let (status, output) =
            process::output(&mut command).map_err(Error::io(format!("run {main}")))?;
        if status.success() {
            return Ok(output);
        }
        Err(Error::Program {
            program: main.to_owned(),
            status: status.to_string(),
            output,
        })
    }
}

/// Returns the folder with the jars of this very `pom.xml`.
fn fetched() -> Result<PathBuf, Error> {
    maven::fetched("kafka", POM, |scratch, into| {
        let pom = scratch.join("pom.xml");
        fs::write(&pom, POM).map_err(Error::io(format!("write {}", pom.display())))?;
        maven::run([
            OsString::from("-f"),
            pom.into_os_string(),
            "dependency:copy-dependencies".into(),
            "-DincludeScope=runtime".into(),
            format!("-DoutputDirectory={}", into.display()).into(),
        ])
    })
}
