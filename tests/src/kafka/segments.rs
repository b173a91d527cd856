//! What brokers have on their disks: the batches as producers made them.

use std::fs;

use super::kafka::Kafka;
use crate::Error;

/// Bytes of a batch before its attributes, by Kafka's message format 2: base offset 8, length 4,
/// leader epoch 4, magic 1, checksum 4.
const BEFORE_ATTRIBUTES: usize = 21;
/// Bytes of a batch that its length does not count.
const BEFORE_LENGTH: usize = 12;
/// The bits of the attributes that name the codec.
const CODEC: u8 = 0b111;

impl Kafka {
    /// Returns the codec of each batch in a partition's first segment, by Kafka's names, as the
    /// first broker has it on disk.
    ///
    /// # Errors
    /// When there is no such partition there, or this Kafka runs elsewhere.
    pub fn codecs(&self, topic: &str, partition: i32) -> Result<Vec<&'static str>, Error> {
        let Some(broker) = self.brokers().first() else {
            return Err(Error::External { what: "look into" });
        };
        let segment = format!("{topic}-{partition}/00000000000000000000.log");
        let bytes = fs::read(broker.data().join(segment));
        let bytes = bytes.map_err(Error::io("read a segment of a broker"))?;
        Ok(codecs(&bytes))
    }
}

fn codecs(mut segment: &[u8]) -> Vec<&'static str> {
    let mut found = Vec::new();
    while let Some((length, attributes)) = header(segment) {
        found.push(match attributes & CODEC {
            0 => "none",
            1 => "gzip",
            2 => "snappy",
            3 => "lz4",
            4 => "zstd",
            _ => "unknown",
        });
        match segment.get(BEFORE_LENGTH + length..) {
            Some(rest) => segment = rest,
            None => break,
        }
    }
    found
}

/// The length and the attributes of the batch that begins here. A segment may end in zeros.
fn header(bytes: &[u8]) -> Option<(usize, u8)> {
    let length = bytes.get(8..BEFORE_LENGTH)?;
    let length = u32::from_be_bytes(length.try_into().ok()?);
    let low = *bytes.get(BEFORE_ATTRIBUTES + 1)?;
    (length > 0).then_some((usize::try_from(length).ok()?, low))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(codec: u8, payload: usize) -> Vec<u8> {
        let mut batch = vec![0; BEFORE_ATTRIBUTES + 2 + payload];
        let length = u32::try_from(batch.len() - BEFORE_LENGTH).unwrap();
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        // Bit 4 says that the batch is of a transaction.
        batch[BEFORE_ATTRIBUTES + 1] = codec | 0b1_0000;
        batch
    }

    #[test]
    fn batches_are_read_one_after_another() {
        let segment = [batch(4, 10), batch(0, 0), batch(2, 99), vec![0; 64]].concat();
        assert_eq!(codecs(&segment), ["zstd", "none", "snappy"]);
        assert!(codecs(&[]).is_empty());
    }
}
