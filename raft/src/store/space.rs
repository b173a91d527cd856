//! How much room a volume has.

use std::fs;
use std::io;
use std::path::Path;

use nix::sys::statvfs::statvfs;

/// What a volume has to have free however little it holds: far more than is written between two
/// looks at it, so that there is time to do something about it.
const LEAST: u64 = 64 << 20;

/// The room on a volume. When there is none, the member's part in the consensus ends; a node that
/// has little is better served by no new requests beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// What this process can still write, bytes.
    pub free: u64,
    /// What should be free, bytes: as much again as the log has, since it grows by doubling, and as
    /// much again as the snapshot has, since a new one is written beside it; 64 MiB at least.
    pub needed: u64,
}

impl Space {
    /// Whether the volume is nearly full.
    pub fn is_short(&self) -> bool {
        self.free < self.needed
    }

    /// Looks at the volume that holds a directory. May block, as any access to a disk.
    pub(crate) fn of(dir: &Path) -> io::Result<Self> {
        let volume = statvfs(dir)?;
        #[allow(
            clippy::useless_conversion,
            reason = "these are smaller numbers on other systems"
        )]
        let (blocks, size) = (
            u64::from(volume.blocks_available()),
            u64::from(volume.fragment_size()),
        );
        Ok(Self {
            free: blocks.saturating_mul(size),
            needed: held(dir)?.max(LEAST),
        })
    }
}

/// Bytes of the files in the directory.
fn held(dir: &Path) -> io::Result<u64> {
    let mut bytes: u64 = 0;
    for entry in fs::read_dir(dir)? {
        match entry?.metadata() {
            Ok(metadata) if metadata.is_file() => bytes = bytes.saturating_add(metadata.len()),
            Ok(_) => {}
            // A snapshot that has just taken the place of another.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn as_much_has_to_be_free_as_is_held_and_some_in_any_case() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Space::of(dir.path()).unwrap().needed, 64 * MIB);
        for (name, bytes) in [("log.redb", 80 * MIB), ("snapshot", 20 * MIB)] {
            let file = fs::File::create(dir.path().join(name)).unwrap();
            file.set_len(bytes).unwrap();
        }
        let space = Space::of(dir.path()).unwrap();
        assert_eq!(space.needed, 100 * MIB);
        assert!(space.free > 0);
    }

    #[test]
    fn a_volume_is_nearly_full_when_less_is_free_than_needed() {
        let space = |free| Space {
            free,
            needed: 64 * MIB,
        };
        assert!(space(64 * MIB - 1).is_short());
        assert!(!space(64 * MIB).is_short());
    }

    #[test]
    fn a_directory_that_is_none_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let error = Space::of(&dir.path().join("none")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
