//! How members of the consensus reach each other: over the internal port.

use async_trait::async_trait;
use sluice_raft::{Transport, TransportError};
use tokio::time::{Instant, timeout_at};

use super::client::{client, failed, with_headers};
use super::{Credentials, PeerError};

/// Where frames are taken.
pub(crate) const FRAMES: &str = "/raft";

/// Sends frames to other members.
#[derive(Debug)]
pub(crate) struct Frames {
    http: reqwest::Client,
    credentials: Credentials,
}

impl Frames {
    /// Frames that show these credentials.
    ///
    /// # Errors
    /// The HTTP client cannot be made.
    pub(crate) fn new(credentials: Credentials) -> Result<Self, reqwest::Error> {
        Ok(Self {
            http: client()?,
            credentials,
        })
    }
}

#[async_trait]
impl Transport for Frames {
    async fn call(
        &self,
        address: &str,
        frame: Vec<u8>,
        deadline: Instant,
    ) -> Result<Vec<u8>, TransportError> {
        let sending = self.http.post(format!("http://{address}{FRAMES}"));
        let sending = with_headers(sending, &self.credentials.show());
        let answering = async {
            let response = sending.body(frame).send().await.map_err(failed)?;
            if !response.status().is_success() {
                return Err(PeerError::Refused);
            }
            response.bytes().await.map_err(failed)
        };
        let answered = timeout_at(deadline, answering).await;
        match answered.unwrap_or(Err(PeerError::TimedOut)) {
            Ok(answer) => Ok(answer.into()),
            // A frame that is refused has been read by nobody.
            Err(error @ (PeerError::Unreachable(_) | PeerError::Refused)) => {
                Err(TransportError::NotReached(error.to_string()))
            }
            Err(error @ (PeerError::Lost(_) | PeerError::TimedOut | PeerError::NoRoom)) => {
                Err(TransportError::NoAnswer(error.to_string()))
            }
        }
    }
}
