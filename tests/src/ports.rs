//! TCP ports that stay free for one holder.
//!
//! A port that the system hands out (`:0`) may be handed to somebody else while a stopped server
//! is to be started again on it. These come from below the ephemeral range instead, and a file
//! lock keeps other processes of the harness away from them.

use std::env;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};

use uuid::Uuid;

use crate::Error;

/// Below every usual ephemeral range (Linux: from 32768) and above the well-known services.
const RANGE: std::ops::Range<u16> = 15_000..32_000;

/// A port on 127.0.0.1 that nobody else in the harness is given while this lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: Option<File>,
}

impl Port {
    /// Reserves a free port.
    ///
    /// # Errors
    /// When the folder for the locks cannot be written, or no port of the range is free.
    pub fn reserve() -> Result<Self, Error> {
        let folder = env::temp_dir().join("sluice-test-ports");
        fs::create_dir_all(&folder).map_err(Error::io(format!("create {}", folder.display())))?;
        let start = Uuid::new_v4().as_fields().1 % (RANGE.end - RANGE.start);
        for step in 0..RANGE.end - RANGE.start {
            let number = RANGE.start + (start + step) % (RANGE.end - RANGE.start);
            // A file of another user cannot be opened: then the port is that user's.
            let Ok(lock) = File::options()
                .create(true)
                .append(true)
                .open(folder.join(number.to_string()))
            else {
                continue;
            };
            if lock.try_lock().is_ok() && is_free(number) {
                return Ok(Self {
                    number,
                    _lock: Some(lock),
                });
            }
        }
        Err(Error::Late {
            what: format!("no free port from {} to {}", RANGE.start, RANGE.end),
            deadline: std::time::Duration::ZERO,
        })
    }

    /// Takes a port that the caller names.
    ///
    /// # Errors
    /// [`Error::PortTaken`] when something listens there.
    pub fn fixed(number: u16) -> Result<Self, Error> {
        if !is_free(number) {
            return Err(Error::PortTaken { port: number });
        }
        Ok(Self {
            number,
            _lock: None,
        })
    }

    /// Returns the port's number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Returns `127.0.0.1:<number>`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.number)
    }
}

fn is_free(port: u16) -> bool {
    // std sets SO_REUSEADDR: connections of an earlier holder in TIME_WAIT do not matter, a
    // listener does, on the wildcard address too.
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
        && TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_port_is_given_to_nobody_else() {
        let held: Vec<Port> = (0..50).map(|_| Port::reserve().unwrap()).collect();
        let mut numbers: Vec<u16> = held.iter().map(Port::number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), held.len());
    }

    #[test]
    fn a_port_that_listens_is_called_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = Port::fixed(port).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with(&format!("port {port} is taken")),
            "{error}"
        );
    }
}
