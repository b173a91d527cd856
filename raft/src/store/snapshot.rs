//! The snapshot: the registry as it was after some entry, in one file.
//!
//! ```text
//!   +----------+-------------+------------------------------+
//!   | "SLSNAP" | crc32 (LE)  | version, kind, SnapshotV1    |    DIR/snapshot, and what members
//!   +----------+-------------+------------------------------+    send each other
//!      6 bytes     4 bytes     under the sum
//! ```
//!
//! A new one is written beside the old, synced, given its name and the directory synced: a crash
//! leaves the one or the other. What is damaged nevertheless is noticed by the sum, and not used.

use std::fs::{self, File};
use std::io::{self, Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::codec::records::SnapshotV1;
use super::codec::{CodecError, decode_any_size, encode_any_size};
use super::failure::{Failing, StoreFailed};
use super::volume::{Guard, VolumeError, sync_dir};
use crate::Registry;
use crate::types::{LogId, SnapshotMeta};

const NAME: &str = "snapshot";
const NEW_NAME: &str = "snapshot.new";
const MAGIC: &[u8; 6] = b"SLSNAP";
const HEADER: usize = MAGIC.len() + size_of::<u32>();

/// Why bytes are not a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Torn {
    /// They do not begin as one does.
    #[error("not a snapshot")]
    NotOne,
    /// They are not those that were written.
    #[error("the snapshot is damaged: its checksum does not match")]
    Checksum,
    /// They are whole, and cannot be read.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// The bytes of a snapshot.
pub(crate) fn to_bytes(meta: &SnapshotMeta, registry: Registry) -> Result<Vec<u8>, CodecError> {
    let meta = meta.into();
    let body = encode_any_size(&SnapshotV1 { meta, registry })?;
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    bytes.extend(MAGIC);
    bytes.extend(crc32fast::hash(&body).to_le_bytes());
    bytes.extend(body);
    Ok(bytes)
}

/// The snapshot of bytes.
///
/// # Errors
/// Whatever is not exactly what [`to_bytes`] has made is refused.
pub(crate) fn from_bytes(bytes: &[u8]) -> Result<(SnapshotMeta, Registry), Torn> {
    let snapshot = decode_any_size::<SnapshotV1>(body(bytes)?)?;
    Ok((snapshot.meta.into(), snapshot.registry))
}

/// What the sum shows to be as it was written.
fn body(bytes: &[u8]) -> Result<&[u8], Torn> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(Torn::NotOne)?;
    let (sum, body) = rest.split_first_chunk().ok_or(Torn::NotOne)?;
    if crc32fast::hash(body) == u32::from_le_bytes(*sum) {
        Ok(body)
    } else {
        Err(Torn::Checksum)
    }
}

/// The snapshot of this member. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Snapshots {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    /// The snapshot in the file; the lock is held while the file changes.
    current: Mutex<Option<SnapshotMeta>>,
    failing: Failing,
    _guard: Arc<Guard>,
}

impl Snapshots {
    /// Finds the snapshot of a directory; `purged` is the last entry that is in no log any more.
    ///
    /// # Errors
    /// [`VolumeError::SnapshotLost`] if what the log lacks is in no snapshot either.
    pub(super) fn open(
        dir: &Path,
        purged: Option<LogId>,
        failing: Failing,
        guard: Arc<Guard>,
    ) -> Result<Self, VolumeError> {
        let path = dir.join(NAME);
        let current = match read(&path).map_err(VolumeError::io(&path))? {
            Some(bytes) => from_bytes(&bytes).map(|(meta, _)| Some(meta)),
            None => Ok(None),
        };
        let reason = match &current {
            Ok(meta) if meta.as_ref().and_then(|meta| meta.last_log_id) >= purged => None,
            Ok(Some(_)) => Some("the snapshot is older than what the log lacks".to_owned()),
            Ok(None) => Some("there is no snapshot".to_owned()),
            Err(torn) => Some(torn.to_string()),
        };
        if let Some(reason) = reason {
            if purged.is_some() {
                return Err(VolumeError::SnapshotLost { path, reason });
            }
            tracing::warn!(path = %path.display(), reason, "snapshot not used, the log has it all");
        }
        let shared = Shared {
            dir: dir.to_owned(),
            current: Mutex::new(current.unwrap_or_default()),
            failing,
            _guard: guard,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// The snapshot that there is, with its bytes. Blocks.
    ///
    /// # Errors
    /// If the file cannot be read, or is not what was written.
    pub(super) fn read(&self) -> Result<Option<(SnapshotMeta, Vec<u8>)>, StoreFailed> {
        let current = self.current();
        let Some(meta) = current.clone() else {
            return Ok(None);
        };
        let failed = |error: &dyn std::fmt::Display| {
            let what = "read of the snapshot";
            self.shared.failing.report(what, error)
        };
        let bytes = read(&self.shared.dir.join(NAME)).map_err(|error| failed(&error))?;
        let bytes = bytes.ok_or_else(|| failed(&"the file is gone"))?;
        // What goes to others, or is built upon, has to be what was written.
        body(&bytes).map_err(|torn| failed(&torn))?;
        Ok(Some((meta, bytes)))
    }

    /// Keeps a snapshot, unless there is a later one. Blocks.
    ///
    /// # Errors
    /// If it cannot be written. The old one is there then, or the new one.
    pub(crate) fn write(&self, meta: &SnapshotMeta, bytes: &[u8]) -> Result<(), StoreFailed> {
        let mut current = self.current();
        if current
            .as_ref()
            .is_some_and(|current| current.last_log_id >= meta.last_log_id)
        {
            return Ok(());
        }
        let written = replace(&self.shared.dir, bytes);
        written.map_err(|error| {
            let what = "write of the snapshot";
            self.shared.failing.report(what, &error)
        })?;
        *current = Some(meta.clone());
        Ok(())
    }

    pub(super) fn failing(&self) -> &Failing {
        &self.shared.failing
    }

    fn current(&self) -> MutexGuard<'_, Option<SnapshotMeta>> {
        let current = self.shared.current.lock();
        current.unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn replace(dir: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = dir.join(NEW_NAME);
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(new, dir.join(NAME))?;
    sync_dir(dir)
}

/// Bytes as openraft passes them on.
pub(super) fn boxed(bytes: Vec<u8>) -> Box<Cursor<Vec<u8>>> {
    Box::new(Cursor::new(bytes))
}
