//! An exported registry as a file: a line of JSON that says what it is, then one a session.

use std::collections::BTreeMap;

use serde::Deserialize;
use sluice_raft::{Exported, Session};
use sluice_types::Timestamp;

use super::shape::{HeadV1, SessionV1};

const FORMAT: &str = "sluice-registry";

/// The version that is written, and the only one that is read.
const VERSION: u32 = 1;

/// Why a file is not an exported registry, or not a whole one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Mistake {
    #[error("line 1 does not say that this is an exported registry: {0}")]
    NotOne(String),
    #[error("the file is of version {0}, and this release reads version {VERSION}")]
    Version(u32),
    #[error("line {line}: {reason}")]
    Line { line: usize, reason: String },
    #[error("the file has {found} sessions and says that it has {said}: a part of it is missing")]
    Count { said: usize, found: usize },
}

/// What every version says of itself.
#[derive(Deserialize)]
struct Kind {
    format: String,
    version: u32,
}

/// The lines of a registry. Sessions that are being deleted are left out: for clients they are no
/// more.
///
/// # Errors
/// If a value cannot be JSON.
pub(super) fn write(exported: &Exported, at: Timestamp) -> Result<String, serde_json::Error> {
    let active: Vec<_> = exported.sessions.iter().filter(|s| s.is_active()).collect();
    let head = HeadV1 {
        format: FORMAT.to_owned(),
        version: VERSION,
        release: env!("CARGO_PKG_VERSION").to_owned(),
        cluster: exported.cluster.map(|cluster| cluster.to_string()),
        generation: exported.generation,
        exported_at_ms: at.as_millis(),
        sessions: active.len(),
    };
    let mut text = serde_json::to_string(&head)?;
    text.push('\n');
    for session in active {
        text.push_str(&serde_json::to_string(&SessionV1::from(&**session))?);
        text.push('\n');
    }
    Ok(text)
}

/// The sessions of a file.
///
/// # Errors
/// The first [`Mistake`].
pub(super) fn read(text: &str) -> Result<Vec<Session>, Mistake> {
    let mut lines = text
        .lines()
        .zip(1..)
        .filter(|(line, _)| !line.trim().is_empty());
    let first = lines.next().map_or("", |(line, _)| line);
    let not_one = |error: serde_json::Error| Mistake::NotOne(error.to_string());
    let kind: Kind = serde_json::from_str(first).map_err(not_one)?;
    if kind.format != FORMAT {
        return Err(Mistake::NotOne(format!("its format is {:?}", kind.format)));
    }
    if kind.version != VERSION {
        return Err(Mistake::Version(kind.version));
    }
    let head: HeadV1 = serde_json::from_str(first).map_err(not_one)?;
    let mut places = BTreeMap::new();
    let mut sessions = Vec::with_capacity(head.sessions.min(100_000));
    for (text, line) in lines {
        let wrong = |reason: String| Mistake::Line { line, reason };
        let shape: SessionV1 =
            serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let session = shape.session().map_err(wrong)?;
        if let Some(before) = places.insert(session.id.clone(), line) {
            let reason = format!("{} stands in line {before} already", session.id);
            return Err(wrong(reason));
        }
        sessions.push(session);
    }
    if sessions.len() != head.sessions {
        return Err(Mistake::Count {
            said: head.sessions,
            found: sessions.len(),
        });
    }
    Ok(sessions)
}

#[cfg(test)]
mod tests;
