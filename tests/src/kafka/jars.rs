//! Apache Kafka's jars, fetched once by Maven, and the Java that runs them.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::{Error, process, workspace};

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
        let java = java()?;
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

fn java() -> Result<OsString, Error> {
    let java = match env::var_os("JAVA_HOME") {
        Some(home) if !home.is_empty() => Path::new(&home).join("bin/java").into_os_string(),
        _ => OsString::from("java"),
    };
    let shown = java.to_string_lossy().into_owned();
    let (_, output) =
        process::output(Command::new(&java).arg("-version")).map_err(|error| Error::Java {
            found: format!("{shown} cannot be run ({error})"),
        })?;
    match major_version(&output) {
        Some(major) if major >= 17 => Ok(java),
        Some(major) => Err(Error::Java {
            found: format!("{shown} is Java {major}"),
        }),
        None => Err(Error::Java {
            found: format!("{shown} does not tell its version"),
        }),
    }
}

/// Reads the answer of `java -version`: `openjdk version "17.0.15" …`, once `"1.8.0_402"`.
fn major_version(output: &str) -> Option<u32> {
    let (_, rest) = output.split_once("version \"")?;
    let mut numbers = rest.split(|c: char| !c.is_ascii_digit());
    match numbers.next()?.parse().ok()? {
        1 => numbers.next()?.parse().ok(),
        major => Some(major),
    }
}

/// Returns the folder with the jars of this very `pom.xml`.
fn fetched() -> Result<PathBuf, Error> {
    let mut hasher = DefaultHasher::new();
    POM.hash(&mut hasher);
    let cache = workspace::target_dir().join("kafka");
    let folder = cache.join(format!("{:016x}", hasher.finish()));
    if folder.is_dir() {
        return Ok(folder);
    }
    fetch(&cache, &folder)?;
    Ok(folder)
}

fn fetch(cache: &Path, folder: &Path) -> Result<(), Error> {
    let in_cache = || Error::io(format!("write to {}", cache.display()));
    fs::create_dir_all(cache).map_err(in_cache())?;
    // Test binaries may start at once: one fetches, the others wait and find the result.
    let lock = File::create(cache.join("lock")).map_err(in_cache())?;
    lock.lock().map_err(in_cache())?;
    if folder.is_dir() {
        return Ok(());
    }
    eprintln!("fetching Apache Kafka with Maven into {}", folder.display());
    let scratch = cache.join("fetching");
    if scratch.exists() {
        fs::remove_dir_all(&scratch).map_err(in_cache())?;
    }
    fs::create_dir_all(&scratch).map_err(in_cache())?;
    let pom = scratch.join("pom.xml");
    fs::write(&pom, POM).map_err(in_cache())?;
    let jars = scratch.join("jars");
    let mut maven = Command::new("mvn");
    maven
        .args(["-q", "-B", "-f"])
        .arg(&pom)
        .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", jars.display()));
    let (status, output) = process::output(&mut maven).map_err(|error| Error::Maven {
        found: error.to_string(),
    })?;
    if !status.success() {
        return Err(Error::Fetch { output });
    }
    // Only a complete folder ever bears the name that is looked for.
    fs::rename(&jars, folder).map_err(in_cache())?;
    fs::remove_dir_all(&scratch).map_err(in_cache())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_java_is_read_in_both_styles() {
        assert_eq!(
            major_version("openjdk version \"17.0.15\" 2025-04-15\n"),
            Some(17)
        );
        assert_eq!(major_version("java version \"1.8.0_402\"\n"), Some(8));
        assert_eq!(
            major_version("openjdk version \"21\" 2023-09-19\n"),
            Some(21)
        );
        assert_eq!(major_version("bash: java: command not found"), None);
    }
}
