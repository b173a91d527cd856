//! Logs: JSON in production, readable ones on a terminal.
//!
//! `SLUICE_LOG` filters (default `info` for all that is Sluice's own), `SLUICE_LOG_FORMAT` is
//! `json` or `text`. What librdkafka logs comes through the `log` crate and is taken up as well.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::Env;

/// What is logged unless `SLUICE_LOG` says otherwise. actix calls it an error of ours when a client
/// hangs up or speaks no HTTP, and tells of its own start. openraft tells of every step and every
/// peer that does not answer; what matters of that the registry tells.
const DEFAULT: &str = "info,actix_http=off,actix_server=warn,openraft=off";

/// Starts logging for the process, once; later calls do nothing.
pub fn init(env: &Env) {
    let filter = env.get("SLUICE_LOG").map_or(DEFAULT, String::as_str);
    let (filter, wrong) = match EnvFilter::try_new(filter) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new(DEFAULT), Some(error)),
    };
    let json = match env.get("SLUICE_LOG_FORMAT").map(String::as_str) {
        Some("json") => true,
        Some("text") => false,
        _ => !stderr().is_terminal(),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // A log that cannot be written is told of there too, which panics, and the panic is logged.
        .log_internal_errors(false)
        .with_writer(stderr);
    // Fails only where logging has been started before, by a test for instance.
    let started = if json {
        builder
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .finish()
            .try_init()
    } else {
        builder.finish().try_init()
    };
    if started.is_err() {
        return;
    }
    if let Some(error) = wrong {
        tracing::warn!(%error, "the filter in SLUICE_LOG is wrong, logging at info");
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let cause = panic.payload_as_str().unwrap_or("without a message");
        tracing::error!(cause, place, "panic");
    }));
}
