//! Records that no client library writes, sent as bytes of Kafka's own protocol.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::kafka::Kafka;
use crate::Error;

/// `Produce`, in its last version without tagged fields.
const API: [i16; 2] = [0, 8];
const ACKS_ALL: i16 = -1;
const TIMEOUT_MS: i32 = 20_000;
/// Where in the answer the partition's error code stands, behind correlation id, number of
/// topics, the topic's name, number of partitions, and partition.
const ERROR_BEHIND_NAME: usize = 4 + 4 + 2 + 4 + 4;

impl Kafka {
    /// Writes one record to partition 0, whose one header has a name of any bytes: Kafka takes
    /// names that are not UTF-8, but client libraries do not write them.
    ///
    /// # Errors
    /// When Kafka refuses or breaks the connection.
    pub async fn produce_with_header(
        &self,
        topic: &str,
        value: &[u8],
        header: (&[u8], &[u8]),
    ) -> Result<(), Error> {
        let request = request(topic, &batch(value, header));
        let failed = || Error::io(format!("produce to {topic} by hand"));
        let first = self.bootstrap().split(',').next().unwrap_or_default();
        let exchange = async {
            let mut stream = TcpStream::connect(first).await?;
            stream.write_all(&request).await?;
            let length = stream.read_i32().await?;
            let mut answer = vec![0; usize::try_from(length).unwrap_or(0)];
            stream.read_exact(&mut answer).await?;
            Ok(answer)
        };
        let answer = exchange.await.map_err(failed())?;
        let code = answer.get(ERROR_BEHIND_NAME + topic.len()..);
        match code.and_then(|rest| rest.first_chunk::<2>()) {
            Some([0, 0]) => Ok(()),
            code => Err(failed()(std::io::Error::other(format!(
                "kafka answered with code {code:?}"
            )))),
        }
    }
}

fn request(topic: &str, batch: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for number in API {
        body.extend(number.to_be_bytes());
    }
    body.extend(1i32.to_be_bytes()); // correlation id
    string(&mut body, "sluice-tests");
    body.extend((-1i16).to_be_bytes()); // no transaction
    body.extend(ACKS_ALL.to_be_bytes());
    body.extend(TIMEOUT_MS.to_be_bytes());
    body.extend(1i32.to_be_bytes()); // topics
    string(&mut body, topic);
    body.extend(1i32.to_be_bytes()); // partitions
    body.extend(0i32.to_be_bytes());
    sized(&mut body, batch);
    let mut request = Vec::new();
    sized(&mut request, &body);
    request
}

/// A batch of one record in Kafka's format v2.
fn batch(value: &[u8], (name, header): (&[u8], &[u8])) -> Vec<u8> {
    let mut record = vec![0]; // attributes
    varint(&mut record, 0); // time, from the batch's
    varint(&mut record, 0); // offset, from the batch's
    varint(&mut record, -1); // no key
    bytes(&mut record, value);
    varint(&mut record, 1); // headers
    bytes(&mut record, name);
    bytes(&mut record, header);

    let mut checked = Vec::new();
    checked.extend(0i16.to_be_bytes()); // attributes
    checked.extend(0i32.to_be_bytes()); // last offset, from the first
    for time in [1_704_537_600_000i64; 2] {
        checked.extend(time.to_be_bytes());
    }
    checked.extend((-1i64).to_be_bytes()); // producer id
    checked.extend((-1i16).to_be_bytes()); // producer epoch
    checked.extend((-1i32).to_be_bytes()); // sequence
    checked.extend(1i32.to_be_bytes()); // records
    bytes(&mut checked, &record);

    let mut sized_part = (-1i32).to_be_bytes().to_vec(); // leader epoch
    sized_part.push(2); // format
    sized_part.extend(crc32c(&checked).to_be_bytes());
    sized_part.extend(checked);

    let mut batch = 0i64.to_be_bytes().to_vec(); // first offset
    sized(&mut batch, &sized_part);
    batch
}

fn string(out: &mut Vec<u8>, text: &str) {
    let length = i16::try_from(text.len()).expect("names are short");
    out.extend(length.to_be_bytes());
    out.extend(text.as_bytes());
}

fn sized(out: &mut Vec<u8>, content: &[u8]) {
    let length = i32::try_from(content.len()).expect("requests are short");
    out.extend(length.to_be_bytes());
    out.extend(content);
}

fn bytes(out: &mut Vec<u8>, content: &[u8]) {
    varint(
        out,
        i32::try_from(content.len()).expect("records are short"),
    );
    out.extend(content);
}

/// Zigzag, seven bits a byte, the low ones first.
fn varint(out: &mut Vec<u8>, number: i32) {
    let mut rest = ((number << 1) ^ (number >> 31)).cast_unsigned();
    while rest >= 0x80 {
        out.push(u8::try_from(rest & 0x7f).expect("seven bits") | 0x80);
        rest >>= 7;
    }
    out.push(u8::try_from(rest).expect("seven bits"));
}

fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let step = |crc: u32, _| (crc >> 1) ^ (POLYNOMIAL * (crc & 1));
    let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), step);
    !bytes.iter().fold(!0, byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn numbers_are_zigzag() {
        let encoded = |number| {
            let mut out = Vec::new();
            varint(&mut out, number);
            out
        };
        assert_eq!(encoded(-1), [1]);
        assert_eq!(encoded(1), [2]);
        assert_eq!(encoded(150), [0xac, 0x02]);
    }
}
