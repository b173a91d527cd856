//! Compressing an answer whole, before its first byte is handed to the connection.
//!
//! A compressor in the stream would swallow most of an answer before any of it is sent, and then
//! nobody could say what the client has taken.

use std::io::{self, Write};

use bytes::Bytes;

use super::accept::Encoding;

/// Answers up to this size are not worth it.
pub(super) const SMALL: usize = 1024;

/// Bodies over this size are compressed on a thread of their own.
const INLINE: usize = 32 * 1024;

/// Compresses the body; `None` if it stays as it is.
pub(super) async fn compress(body: &Bytes, encoding: Encoding) -> Option<Bytes> {
    if encoding == Encoding::Identity || body.len() <= SMALL {
        return None;
    }
    let compressed = if body.len() <= INLINE {
        encode(body, encoding)
    } else {
        let body = body.clone();
        actix_web::web::block(move || encode(&body, encoding))
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error.to_string())))
    };
    match compressed {
        Ok(compressed) => Some(Bytes::from(compressed)),
        Err(error) => {
            tracing::warn!(%error, "an answer could not be compressed");
            None
        }
    }
}

fn encode(body: &[u8], encoding: Encoding) -> io::Result<Vec<u8>> {
    match encoding {
        Encoding::Identity => Ok(body.to_vec()),
        Encoding::Zstd => zstd::bulk::compress(body, 1),
        Encoding::Brotli => {
            let mut out = Vec::with_capacity(body.len() / 2);
            let mut encoder = brotli::CompressorWriter::new(&mut out, 32 * 1024, 3, 22);
            encoder.write_all(body)?;
            drop(encoder);
            Ok(out)
        }
        Encoding::Gzip => {
            let out = Vec::with_capacity(body.len() / 2);
            let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::fast());
            encoder.write_all(body)?;
            encoder.finish()
        }
    }
}
