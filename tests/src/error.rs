//! What can go wrong in the harness itself.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use thiserror::Error;

/// A failure of the harness or of what it runs, as opposed to a failed assertion.
///
/// `Debug` prints the same sentence as `Display`, so that `unwrap()` in a test shows it.
#[derive(Error)]
pub enum Error {
    /// There is no usable Java.
    #[error(
        "the tests run a real Apache Kafka and need Java 17 or newer, but {found}: \
         install it (Debian: apt-get install openjdk-17-jre-headless) or set JAVA_HOME"
    )]
    Java {
        /// What was found instead.
        found: String,
    },
    /// There is no Maven, and what it is to fetch has not been fetched yet.
    #[error(
        "the tests fetch Apache Kafka and Apicurio Registry with Maven, but mvn cannot be run ({found}): \
         install it (Debian: apt-get install maven)"
    )]
    Maven {
        /// Why it could not be run.
        found: String,
    },
    /// Maven failed.
    #[error("Maven could not fetch what the tests run:\n{output}")]
    Fetch {
        /// What Maven printed.
        output: String,
    },
    /// A port that was asked for is in use.
    #[error("port {port} is taken: stop what listens there, or choose another with --port")]
    PortTaken {
        /// The port.
        port: u16,
    },
    /// Another program failed.
    #[error("{program} failed ({status}):\n{output}")]
    Program {
        /// What was run.
        program: String,
        /// How it ended.
        status: String,
        /// What it printed.
        output: String,
    },
    /// A process ended, or did not do in time what it should.
    #[error("{what}\nits log: {}\n{tail}", log.display())]
    Process {
        /// What happened.
        what: String,
        /// Where its whole log is.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// Kafka answered with an error.
    #[error("{what}: {source}")]
    Kafka {
        /// What was tried.
        what: String,
        /// The error as librdkafka tells it.
        source: KafkaError,
    },
    /// A condition did not come true.
    #[error("{what}: not within {deadline:?}")]
    Late {
        /// The condition.
        what: String,
        /// How long it was waited for.
        deadline: Duration,
    },
    /// A fault was asked of a broker that the harness does not run.
    #[error(
        "{what} needs a Kafka that the harness runs, but SLUICE_TEST_KAFKA names one that runs \
         elsewhere: start one with Kafka::start() in this test"
    )]
    External {
        /// The method.
        what: &'static str,
    },
    /// A file or socket could not be used.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The error as the operating system tells it.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    pub(crate) fn kafka(what: impl Into<String>) -> impl FnOnce(KafkaError) -> Self {
        let what = what.into();
        move |source| Self::Kafka { what, source }
    }

    /// Returns librdkafka's code, if Kafka is what refused.
    pub fn kafka_code(&self) -> Option<RDKafkaErrorCode> {
        match self {
            Self::Kafka {
                source: KafkaError::AdminOp(code),
                ..
            } => Some(*code),
            Self::Kafka { source, .. } => source.rdkafka_error_code(),
            _ => None,
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
