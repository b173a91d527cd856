//! What a member keeps on its volume, and in memory.

pub(crate) mod codec;
