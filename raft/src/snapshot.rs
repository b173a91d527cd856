//! A registry as the bytes that members keep and send each other, without a volume: for tools and
//! for benchmarks.

use crate::Registry;
use crate::store::snapshot::{from_bytes, to_bytes};
use crate::types::SnapshotMeta;

/// The bytes are not those of a registry, or a registry cannot be written as bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no snapshot of a registry: {0}")]
pub struct NoSnapshot(String);

/// Returns the bytes of a snapshot, which belongs to no entry of a log.
///
/// # Errors
/// When the registry holds what the format cannot.
pub fn encode(registry: &Registry) -> Result<Vec<u8>, NoSnapshot> {
    // Cheap: the sessions are shared.
    let bytes = to_bytes(&SnapshotMeta::default(), registry.clone());
    bytes.map_err(|error| NoSnapshot(error.to_string()))
}

/// Returns the registry that a snapshot holds, whatever entry it belongs to.
///
/// # Errors
/// When the bytes are damaged, or those of a version that this build does not know.
pub fn decode(bytes: &[u8]) -> Result<Registry, NoSnapshot> {
    let decoded = from_bytes(bytes).map_err(|torn| NoSnapshot(torn.to_string()));
    decoded.map(|(_, registry)| registry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::tests::{create, registry_of};

    #[test]
    fn a_registry_is_read_as_it_was_written_and_never_from_damaged_bytes() {
        let mut registry = registry_of(&["a"]);
        registry.apply(create("a", 1));
        let mut bytes = encode(&registry).unwrap();
        assert_eq!(decode(&bytes), Ok(registry));
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        assert!(decode(&bytes).is_err());
        assert!(decode(b"something else").is_err());
    }
}
