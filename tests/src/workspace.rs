//! Where this build keeps its files.

use std::env;
use std::path::{Path, PathBuf};

/// Returns the workspace's root folder.
pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Returns cargo's target folder.
///
/// A running test lies in it, which also finds a folder given by `--target-dir` or by a config
/// file; cargo marks its root with a `CACHEDIR.TAG`.
pub(crate) fn target_dir() -> PathBuf {
    let running = env::current_exe().ok();
    let marked = running
        .iter()
        .flat_map(|exe| exe.ancestors())
        .find(|folder| folder.join("CACHEDIR.TAG").is_file())
        .map(Path::to_path_buf);
    marked
        .or_else(|| env::var_os("CARGO_TARGET_DIR").map(|dir| root().join(dir)))
        .unwrap_or_else(|| root().join("target"))
}

/// Returns the cargo profile that this process was built with.
pub(crate) fn profile() -> String {
    // target[/triple]/<profile>/deps/<test> or target[/triple]/<profile>/<binary>
    let exe = env::current_exe().unwrap_or_default();
    let folder = exe
        .ancestors()
        .skip(1)
        .find(|folder| {
            !folder
                .file_name()
                .is_some_and(|name| name == "deps" || name == "examples")
        })
        .and_then(Path::file_name)
        .map(|name| name.to_string_lossy().into_owned());
    match folder.as_deref() {
        None | Some("debug") => "dev".to_owned(),
        Some(other) => other.to_owned(),
    }
}

/// Returns the name of the running test binary without cargo's hash.
pub(crate) fn binary_name() -> String {
    let exe = env::current_exe().unwrap_or_default();
    let stem = exe
        .file_stem()
        .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    match stem.rsplit_once('-') {
        Some((name, hash)) if hash.len() == 16 => name.to_owned(),
        _ => stem,
    }
}
