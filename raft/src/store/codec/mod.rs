//! Every byte that is kept or sent.
//!
//! ```text
//!   +---------+------+---------------------------+
//!   | version | kind | bincode of the shape      |     shape: a struct that never changes,
//!   +---------+------+---------------------------+            one for each version of a kind
//!      1 byte  1 byte
//! ```
//!
//! bincode is positional: a field added to a shape would be read from bytes that were written
//! without it. So a shape, once shipped, stays as it is, and a change is a new shape under the
//! next version; enums within shapes grow at their end only. The tests hold recorded bytes
//! against what the code writes today.
//!
//! [`records`] has the shapes of what is kept; `net::frame` those of what is only sent.

pub(crate) mod records;
#[cfg(test)]
pub(crate) mod tests;

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::enc::write::SizeWriter;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The version of all formats that this build writes.
pub(crate) const VERSION: u8 = 1;

/// Most bytes of anything but a snapshot.
pub(crate) const MAX_BYTES: usize = 16 << 20;

/// Most bytes that decoding may claim. Integers are claimed at full width, however few bytes they
/// take: this is what [`MAX_BYTES`] of anything can come to. It keeps a damaged length from
/// claiming all memory.
const MAX_CLAIM: usize = 8 * MAX_BYTES;

/// As [`MAX_CLAIM`], for snapshots. Those are checked by a sum before they are decoded.
const MAX_SNAPSHOT_CLAIM: usize = 64 * MAX_CLAIM;

const CONFIG: Configuration<LittleEndian, Varint, Limit<MAX_CLAIM>> =
    bincode::config::standard().with_limit::<MAX_CLAIM>();

const SNAPSHOT_CONFIG: Configuration<LittleEndian, Varint, Limit<MAX_SNAPSHOT_CLAIM>> =
    bincode::config::standard().with_limit::<MAX_SNAPSHOT_CLAIM>();

/// What some bytes are. Append-only: the numbers are in the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// An entry of the log.
    Entry = 1,
    /// A vote.
    Vote = 2,
    /// The id of an entry.
    LogId = 3,
    /// Whose volume it is.
    Identity = 4,
    /// The state of the registry.
    Snapshot = 5,
    /// What one member asks another.
    Request = 6,
    /// What it answers.
    Response = 7,
}

/// A type that is kept or sent as it is, under [`VERSION`].
pub(crate) trait Shape: Serialize + DeserializeOwned {
    /// Tells its bytes from those of other shapes.
    const KIND: Kind;
}

/// Why bytes cannot be made, or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CodecError {
    /// The bytes end before the envelope does.
    #[error("{0:?}: too short to be anything")]
    Short(Kind),
    /// Another version wrote the bytes.
    #[error("{kind:?}: written in version {version}, this is version {VERSION}")]
    Version { kind: Kind, version: u8 },
    /// The bytes are something else.
    #[error("{expected:?}: the bytes are of kind {found}")]
    WrongKind { expected: Kind, found: u8 },
    /// More bytes than are ever written.
    #[error("{kind:?}: {bytes} bytes, at most {MAX_BYTES} are allowed")]
    TooLarge { kind: Kind, bytes: usize },
    /// The bytes do not make sense.
    #[error("{kind:?}: damaged: {reason}")]
    Damaged { kind: Kind, reason: String },
}

/// The bytes of a value.
///
/// # Errors
/// [`CodecError::TooLarge`] beyond [`MAX_BYTES`].
pub(crate) fn encode<S: Shape>(shape: &S) -> Result<Vec<u8>, CodecError> {
    let kind = S::KIND;
    let bytes = encode_any_size(shape)?;
    if bytes.len() > MAX_BYTES {
        let bytes = bytes.len();
        return Err(CodecError::TooLarge { kind, bytes });
    }
    Ok(bytes)
}

/// The value of bytes.
///
/// # Errors
/// Whatever is not exactly what [`encode`] makes is refused.
pub(crate) fn decode<S: Shape>(bytes: &[u8]) -> Result<S, CodecError> {
    let kind = S::KIND;
    if bytes.len() > MAX_BYTES {
        let bytes = bytes.len();
        return Err(CodecError::TooLarge { kind, bytes });
    }
    let body = open(kind, bytes)?;
    read_whole(kind, body, bincode::serde::decode_from_slice(body, CONFIG))
}

/// As [`encode`], without a limit: for snapshots.
pub(crate) fn encode_any_size<S: Shape>(shape: &S) -> Result<Vec<u8>, CodecError> {
    let mut bytes = vec![VERSION, S::KIND as u8];
    bincode::serde::encode_into_std_write(shape, &mut bytes, SNAPSHOT_CONFIG)
        .map_err(|error| damaged(S::KIND, &error))?;
    Ok(bytes)
}

/// As [`decode`], without a limit: for bytes that a sum has shown to be whole.
pub(crate) fn decode_any_size<S: Shape>(bytes: &[u8]) -> Result<S, CodecError> {
    let body = open(S::KIND, bytes)?;
    let read = bincode::serde::decode_from_slice(body, SNAPSHOT_CONFIG);
    read_whole(S::KIND, body, read)
}

/// How many bytes a value takes within a shape; `None` if it cannot be written.
pub(crate) fn length(value: &impl Serialize) -> Option<usize> {
    let mut bytes = SizeWriter::default();
    bincode::serde::encode_into_writer(value, &mut bytes, CONFIG).ok()?;
    Some(bytes.bytes_written)
}

/// Takes the envelope off.
fn open(kind: Kind, bytes: &[u8]) -> Result<&[u8], CodecError> {
    let [version, found, body @ ..] = bytes else {
        return Err(CodecError::Short(kind));
    };
    if *version != VERSION {
        let version = *version;
        return Err(CodecError::Version { kind, version });
    }
    if *found != kind as u8 {
        let (expected, found) = (kind, *found);
        return Err(CodecError::WrongKind { expected, found });
    }
    Ok(body)
}

fn read_whole<S>(
    kind: Kind,
    body: &[u8],
    read: Result<(S, usize), bincode::error::DecodeError>,
) -> Result<S, CodecError> {
    match read {
        Ok((shape, length)) if length == body.len() => Ok(shape),
        Ok((_, length)) => {
            let reason = format!("{} bytes too many", body.len() - length);
            Err(CodecError::Damaged { kind, reason })
        }
        Err(error) => Err(damaged(kind, &error)),
    }
}

fn damaged(kind: Kind, error: &dyn std::fmt::Display) -> CodecError {
    let reason = error.to_string();
    CodecError::Damaged { kind, reason }
}
