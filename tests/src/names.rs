//! Names that no other test uses.

use uuid::Uuid;

/// Returns `prefix` with a random ending: a topic, group or id of one test only, also when tests
/// share a broker, run at once, or ran before against the same one.
///
/// ```
/// assert_ne!(sluice_tests::unique("orders"), sluice_tests::unique("orders"));
/// ```
pub fn unique(prefix: &str) -> String {
    let random = Uuid::new_v4().simple().to_string();
    format!("{prefix}-{}", &random[..10])
}
