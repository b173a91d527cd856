//! What Maven fetches for the tests, once for all of their binaries, and Java, which runs it.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Error, process, workspace};

/// Returns the folder with what `fetch` puts into its second argument, the first being a folder
/// for whatever else it writes. It is called once for each `version`. Blocks; at its longest
/// (Maven's first run) for minutes.
pub(crate) fn fetched(
    what: &str,
    version: &str,
    fetch: impl FnOnce(&Path, &Path) -> Result<(), Error>,
) -> Result<PathBuf, Error> {
    let mut hasher = DefaultHasher::new();
    version.hash(&mut hasher);
    let cache = workspace::target_dir().join(what);
    let folder = cache.join(format!("{:016x}", hasher.finish()));
    if folder.is_dir() {
        return Ok(folder);
    }
    let in_cache = || Error::io(format!("write to {}", cache.display()));
    fs::create_dir_all(&cache).map_err(in_cache())?;
    // Test binaries may start at once: one fetches, the others wait and find the result.
    let lock = File::create(cache.join("lock")).map_err(in_cache())?;
    lock.lock().map_err(in_cache())?;
    if folder.is_dir() {
        return Ok(folder);
    }
    eprintln!("fetching {what} with Maven into {}", folder.display());
    let scratch = cache.join("fetching");
    if scratch.exists() {
        fs::remove_dir_all(&scratch).map_err(in_cache())?;
    }
    let into = scratch.join("fetched");
    fs::create_dir_all(&into).map_err(in_cache())?;
    fetch(&scratch, &into)?;
    // Only a complete folder ever bears the name that is looked for.
    fs::rename(&into, &folder).map_err(in_cache())?;
    fs::remove_dir_all(&scratch).map_err(in_cache())?;
    Ok(folder)
}

/// Runs Maven to its end.
pub(crate) fn run<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Result<(), Error> {
    let mut maven = Command::new("mvn");
    maven.args(["-q", "-B"]).args(arguments);
    let (status, output) = process::output(&mut maven).map_err(|error| Error::Maven {
        found: error.to_string(),
    })?;
    match status.success() {
        true => Ok(()),
        false => Err(Error::Fetch { output }),
    }
}

/// Finds Java.
pub(crate) fn java() -> Result<OsString, Error> {
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
