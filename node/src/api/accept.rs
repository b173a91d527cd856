//! What a client accepts: types of answers, and how they may be compressed.

use actix_web::http::header::{ACCEPT, ACCEPT_ENCODING, HeaderMap, HeaderName};

/// How an answer's body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Not at all.
    Identity,
    /// Zstandard.
    Zstd,
    /// Brotli.
    Brotli,
    /// Gzip.
    Gzip,
}

impl Encoding {
    /// The name in headers, if there is one to write.
    pub(super) fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Zstd => Some("zstd"),
            Self::Brotli => Some("br"),
            Self::Gzip => Some("gzip"),
        }
    }

    /// The encoding that the client likes best; of equals the cheapest for both.
    pub(super) fn negotiate(headers: &HeaderMap) -> Self {
        let asked = weighted(headers, &ACCEPT_ENCODING);
        let weight = |name: &str| {
            let exact = asked.iter().find(|(asked, _)| asked == name);
            let any = || asked.iter().find(|(asked, _)| asked == "*");
            exact.or_else(any).map_or(0, |(_, weight)| *weight)
        };
        let mut best = (Self::Identity, 0);
        for encoding in [Self::Zstd, Self::Brotli, Self::Gzip] {
            let weight = encoding.name().map_or(0, weight);
            if weight > best.1 {
                best = (encoding, weight);
            }
        }
        let plain = asked.iter().find(|(name, _)| name == "identity");
        match plain {
            Some((_, weight)) if *weight > best.1 => Self::Identity,
            _ => best.0,
        }
    }
}

/// Whether the client takes JSON; without an `Accept` it takes everything.
pub(super) fn takes_json(headers: &HeaderMap) -> bool {
    let ranges = weighted(headers, &ACCEPT);
    let of = |wanted: &str| ranges.iter().find(|(range, _)| range == wanted);
    match of("application/json")
        .or_else(|| of("application/*"))
        .or_else(|| of("*/*"))
    {
        Some((_, weight)) => *weight > 0,
        None => ranges.is_empty(),
    }
}

/// The values of a list header with their weights in thousandths; parameters but `q` are dropped.
fn weighted(headers: &HeaderMap, name: &HeaderName) -> Vec<(String, u16)> {
    headers
        .get_all(name)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|part| {
            let mut pieces = part.split(';').map(str::trim);
            let value = pieces.next().filter(|value| !value.is_empty())?;
            let weight = pieces
                .filter_map(|piece| piece.split_once('='))
                .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
                .map_or(Some(1000), |(_, q)| thousandths(q.trim()));
            Some((value.to_ascii_lowercase(), weight.unwrap_or(0)))
        })
        .collect()
}

/// A weight such as `0.8`.
fn thousandths(text: &str) -> Option<u16> {
    let weight: f32 = text.parse().ok()?;
    let legal = (0.0..=1.0).contains(&weight);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 to 1000"
    )]
    legal.then_some((weight * 1000.0).round() as u16)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn headers(name: HeaderName, value: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        headers
    }

    #[track_caller]
    fn chosen(accept: &'static str) -> Encoding {
        Encoding::negotiate(&headers(ACCEPT_ENCODING, accept))
    }

    #[test]
    fn compression_is_chosen_by_weight_then_by_cost() {
        assert_eq!(Encoding::negotiate(&HeaderMap::new()), Encoding::Identity);
        assert_eq!(chosen("gzip, deflate, br, zstd"), Encoding::Zstd);
        assert_eq!(chosen("gzip;q=1.0, br;q=0.5"), Encoding::Gzip);
        assert_eq!(chosen("zstd;q=0, *"), Encoding::Brotli);
        assert_eq!(chosen("identity, gzip;q=0.5"), Encoding::Identity);
        assert_eq!(chosen("deflate"), Encoding::Identity);
        assert_eq!(chosen("gzip;q=x, ,;"), Encoding::Identity);
    }

    #[test]
    fn json_must_be_among_the_accepted_types() {
        assert!(takes_json(&HeaderMap::new()));
        for good in [
            "*/*",
            "text/html, application/*;q=0.1",
            "Application/JSON; charset=utf-8",
        ] {
            assert!(takes_json(&headers(ACCEPT, good)), "{good}");
        }
        for bad in ["text/html", "application/json;q=0, */*"] {
            assert!(!takes_json(&headers(ACCEPT, bad)), "{bad}");
        }
    }
}
