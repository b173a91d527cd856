//! Reading single values: numbers, durations, sizes, addresses.
//!
//! A value comes from TOML with its type, or from the environment as text; both ways of writing
//! it are taken.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use toml::Value;

/// A host name or address with a port, as Kafka writes its servers: `broker-0:9092`, `[::1]:9092`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// The host, without the brackets of an IPv6 address.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl FromStr for HostPort {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (host, port) = text.rsplit_once(':').ok_or(())?;
        let port = port.parse().map_err(|_| ())?;
        let bare = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').ok_or(())?,
            None if host.contains(':') => return Err(()),
            None => host,
        };
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
        if bare.is_empty() || !bare.chars().all(legal) {
            return Err(());
        }
        Ok(Self {
            host: bare.to_owned(),
            port,
        })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Reads a text that is not empty.
pub(super) fn text(value: &Value) -> Option<String> {
    value
        .as_str()
        .filter(|text| !text.trim().is_empty())
        .map(str::to_owned)
}

/// Reads an integer.
fn integer(value: &Value) -> Option<u64> {
    match value {
        Value::Integer(number) => u64::try_from(*number).ok(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// Reads an integer within these bounds.
pub(super) fn number_within<T: TryFrom<u64>>(
    value: &Value,
    bounds: RangeInclusive<u64>,
) -> Option<T> {
    let number = integer(value).filter(|number| bounds.contains(number))?;
    T::try_from(number).ok()
}

/// Reads a duration with its unit: `"25s"`, `"500ms"`, `"1h 30min"`.
fn duration(value: &Value) -> Option<Duration> {
    humantime::parse_duration(value.as_str()?.trim()).ok()
}

/// Reads a duration within these bounds, in milliseconds.
pub(super) fn duration_within(value: &Value, bounds: RangeInclusive<u64>) -> Option<Duration> {
    let least = Duration::from_millis(*bounds.start());
    let most = Duration::from_millis(*bounds.end());
    duration(value).filter(|duration| (least..=most).contains(duration))
}

/// Reads a size: a number of bytes, or `"16 MiB"`.
fn size(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => text.parse::<ByteSize>().ok().map(|size| size.as_u64()),
        other => integer(other),
    }
}

/// Reads a size within these bounds, in bytes.
pub(super) fn size_within(value: &Value, bounds: RangeInclusive<u64>) -> Option<u64> {
    size(value).filter(|bytes| bounds.contains(bytes))
}

/// Reads an address to listen on.
pub(super) fn address(value: &Value) -> Option<SocketAddr> {
    value.as_str()?.trim().parse().ok()
}

/// Reads a list, or a text with commas. An empty text is an empty list.
pub(super) fn list<T>(value: &Value, item: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    match value {
        Value::Array(values) => values.iter().map(item).collect(),
        Value::String(text) => text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| item(&Value::String(part.to_owned())))
            .collect(),
        _ => None,
    }
}

/// Reads a `host:port`.
pub(super) fn host_port(value: &Value) -> Option<HostPort> {
    value.as_str()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(text: &str) -> Value {
        Value::String(text.to_owned())
    }

    #[test]
    fn a_value_may_come_as_text() {
        assert_eq!(integer(&text_of(" 7 ")), Some(7));
        assert_eq!(integer(&Value::Integer(-1)), None);
        assert_eq!(
            duration(&text_of("500ms")),
            Some(Duration::from_millis(500))
        );
        assert_eq!(duration(&text_of("10min")), Some(Duration::from_secs(600)));
        assert_eq!(duration(&text_of("25")), None);
        assert_eq!(size(&text_of("16MiB")), Some(16 << 20));
        assert_eq!(size(&Value::Integer(1024)), Some(1024));
        assert_eq!(list(&text_of("1, 2,"), integer), Some(vec![1, 2]));
    }

    #[test]
    fn a_server_has_a_host_and_a_port() {
        for good in ["kafka:9092", "127.0.0.1:1", "[::1]:9092"] {
            let parsed: HostPort = good.parse().unwrap();
            assert_eq!(parsed.to_string(), good);
        }
        for bad in [
            "kafka",
            ":9092",
            "kafka:",
            "kafka:99999",
            "::1:9092",
            "a b:1",
            "PLAIN://k:1",
        ] {
            assert!(bad.parse::<HostPort>().is_err(), "{bad} was taken");
        }
    }
}
