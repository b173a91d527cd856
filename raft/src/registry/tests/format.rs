//! What is written is read again.

use super::any_order::any_command;
use super::*;

/// Through each format and back: one by names, one by position.
#[track_caller]
fn round_trip<T>(value: &T)
where
    T: Serialize + for<'a> Deserialize<'a> + PartialEq + std::fmt::Debug,
{
    let text = serde_json::to_string(value).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value);
    let config = bincode::config::standard();
    let bytes = bincode::serde::encode_to_vec(value, config).unwrap();
    let (read, length) = bincode::serde::decode_from_slice::<T, _>(&bytes, config).unwrap();
    assert_eq!((&read, length), (value, bytes.len()));
}

proptest! {
    #[test]
    fn everything_survives_being_written_and_read(commands in prop::collection::vec(any_command(), 0..40)) {
        let mut registry = registry_of(&["a", "b"]);
        for command in commands {
            round_trip(&command);
            round_trip(&registry.apply(command));
            round_trip(&registry);
        }
    }
}
