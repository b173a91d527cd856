//! Logs: JSON in production, readable ones on a terminal.
//!
//! `SLUICE_LOG` filters (default `info` for all that is Sluice's own), `SLUICE_LOG_FORMAT` is
//! `json` or `text`. What librdkafka logs comes through the `log` crate and is taken up as well.

use std::io::{IsTerminal, stderr};
use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::Env;

/// What is logged unless `SLUICE_LOG` says otherwise. actix calls it an error of ours when a client
/// hangs up or speaks no HTTP, and tells of its own start. openraft tells of every step and every
/// peer that does not answer; what matters of that the registry tells.
const DEFAULT: &str = "info,actix_http=off,actix_server=warn,openraft=off";

/// Starts logging for the process, once; later calls do nothing.
pub fn init(env: &Env) {
    let asked = env.get("SLUICE_LOG").map_or("", String::as_str);
    let (filter, wrong) = match filter(asked) {
        Ok(filter) => (filter, None),
        Err(mistake) => (EnvFilter::new(DEFAULT), Some(mistake)),
    };
    let form = env.get("SLUICE_LOG_FORMAT").map_or("", String::as_str);
    let is_terminal = stderr().is_terminal();
    let (json, unknown) = match form {
        "json" => (true, false),
        "text" => (false, false),
        other => (!is_terminal, !other.is_empty()),
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
        builder.with_ansi(is_terminal).finish().try_init()
    };
    if started.is_err() {
        return;
    }
    if let Some(mistake) = wrong {
        tracing::warn!(
            mistake,
            "the filter in SLUICE_LOG is wrong, logging at info"
        );
    }
    if unknown {
        tracing::warn!(form, "unknown SLUICE_LOG_FORMAT: it is json or text");
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let cause = panic.payload_as_str().unwrap_or("without a message");
        tracing::error!(cause, place, "panic");
    }));
}

/// The default, and what is asked for beyond it. A word that stands alone is a level: taken for a
/// module, as the library does, a level that is misspelt would turn everything else off.
fn filter(asked: &str) -> Result<EnvFilter, String> {
    let mut filter = DEFAULT.to_owned();
    for part in asked
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let is_module = part.contains(['=', '[', ':', '_']);
        if !is_module && LevelFilter::from_str(part).is_err() {
            return Err(format!(
                "{part:?} is none of the levels off, error, warn, info, debug and trace"
            ));
        }
        filter.push(',');
        filter.push_str(part);
    }
    EnvFilter::try_new(filter).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(asked: &str) -> Result<String, String> {
        filter(asked).map(|filter| filter.to_string())
    }

    #[test]
    fn what_is_asked_for_goes_beyond_the_default() {
        let default = told("").unwrap();
        for part in DEFAULT.split(',') {
            assert!(default.contains(part), "{default}");
        }
        let quiet = told("warn, openraft=info").unwrap();
        assert!(quiet.contains("openraft=info") && !quiet.contains("openraft=off"));
        assert!(quiet.contains("warn") && quiet.contains("actix_http=off"));
        let one = told("sluice_actors=debug").unwrap();
        assert!(
            one.contains("sluice_actors=debug") && one.contains("info"),
            "{one}"
        );
        assert_eq!(told(" ").unwrap(), default);
    }

    #[test]
    fn a_misspelt_level_is_no_module() {
        for wrong in ["inof", "debug,wran", "=,,=!"] {
            assert!(told(wrong).is_err(), "{wrong}");
        }
        assert!(
            told("inof")
                .unwrap_err()
                .contains("\"inof\" is none of the levels")
        );
        for right in ["sluice_node", "sluice_node::app", "WARN", "trace"] {
            assert!(told(right).is_ok(), "{right}");
        }
    }
}
