//! Reading the body of a request.

use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use serde_json::Value;

use super::error::{Code, Problem};

/// How long the rest of a body that is too large is read and thrown away, so that the client is
/// still there to see the answer.
const DISCARD: Duration = Duration::from_secs(2);

/// Takes a body as JSON; `None` if there is none.
///
/// # Errors
/// 415 or 400.
pub(super) fn json(body: &[u8], headers: &HeaderMap) -> Result<Option<Value>, Problem> {
    if body.is_empty() {
        return Ok(None);
    }
    check_type(headers)?;
    parse(body).map(Some)
}

/// Parses a body.
pub(super) fn parse(body: &[u8]) -> Result<Value, Problem> {
    serde_json::from_slice(body).map_err(|error| malformed(&error))
}

/// What is told of a body that does not parse.
pub(super) fn malformed(error: &serde_json::Error) -> Problem {
    let (line, column) = (error.line(), error.column());
    let told = error.to_string();
    let reason = told
        .rsplit_once(" at line ")
        .map_or(told.as_str(), |(what, _)| what);
    Problem::new(
        Code::MalformedJson,
        format!("The body is not JSON: {reason} at line {line}, column {column}."),
    )
    .with("line", line)
    .with("column", column)
}

/// Reads a body whole.
///
/// # Errors
/// 413, or 400 when it breaks off.
pub(super) async fn read(
    payload: &mut Payload,
    headers: &HeaderMap,
    limit: usize,
) -> Result<Bytes, Problem> {
    read_metered(payload, headers, limit, |_| Ok(())).await
}

/// As [`read`], asking before so many bytes are kept: once for all that are announced, so that of
/// many bodies at once some come through whole, or before each part.
///
/// # Errors
/// As [`read`], and what `keep` says.
pub(super) async fn read_metered(
    payload: &mut Payload,
    headers: &HeaderMap,
    limit: usize,
    mut keep: impl FnMut(usize) -> Result<(), Problem>,
) -> Result<Bytes, Problem> {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        discard(payload, limit).await;
        return Err(too_large(limit));
    }
    let announced = announced.and_then(|length| usize::try_from(length).ok());
    if let Some(Err(problem)) = announced.map(&mut keep) {
        discard(payload, limit).await;
        return Err(problem);
    }
    let mut first: Option<Bytes> = None;
    let mut all = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| broken(&error))?;
        if all.len() + first.as_ref().map_or(0, Bytes::len) + chunk.len() > limit {
            discard(payload, limit).await;
            return Err(too_large(limit));
        }
        if announced.is_none()
            && let Err(problem) = keep(chunk.len())
        {
            drop((first, all));
            discard(payload, limit).await;
            return Err(problem);
        }
        match first.take() {
            None if all.is_empty() => first = Some(chunk),
            None => all.extend_from_slice(&chunk),
            Some(start) => {
                // As far as it was announced; the memory is used only when it is written to.
                all.reserve(announced.unwrap_or(start.len() + chunk.len()));
                all.extend_from_slice(&start);
                all.extend_from_slice(&chunk);
            }
        }
    }
    Ok(first.unwrap_or_else(|| all.freeze()))
}

async fn discard(payload: &mut Payload, limit: usize) {
    let rest = async {
        let mut left = limit;
        while let Some(Ok(chunk)) = payload.next().await {
            match left.checked_sub(chunk.len()) {
                Some(less) => left = less,
                None => return,
            }
        }
    };
    // Whether or not all of it came: the answer is the same.
    let _ = tokio::time::timeout(DISCARD, rest).await;
}

fn too_large(limit: usize) -> Problem {
    Problem::new(
        Code::BodyTooLarge,
        format!(
            "The body has more than {limit} bytes: send less, or have limits.body_bytes raised."
        ),
    )
    .with("limit", limit)
}

fn broken(error: &PayloadError) -> Problem {
    Problem::new(
        Code::MalformedJson,
        format!("The body broke off: {error}; send it again."),
    )
}

/// Refuses what is declared as anything else than plain JSON.
pub(super) fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let declared = headers.get(CONTENT_TYPE).map(|value| {
        let text = String::from_utf8_lossy(value.as_bytes());
        text.split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase()
    });
    if let Some(declared) = declared
        && declared != "application/json"
    {
        return Err(Problem::new(
            Code::UnsupportedMediaType,
            format!("The body is declared as {declared:?}: send application/json."),
        ));
    }
    let encoding = headers.get(CONTENT_ENCODING).map(|value| value.as_bytes());
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case(b"identity")) {
        return Err(Problem::new(
            Code::UnsupportedMediaType,
            "The body is compressed: send it as it is, without Content-Encoding.",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_json_is_told_with_its_place() {
        let problem = parse(b"{\n  \"a\": x}").unwrap_err();
        assert_eq!(problem.code, Code::MalformedJson);
        assert!(
            problem.detail.contains("line 2, column 8"),
            "{}",
            problem.detail
        );
        assert!(parse(b"\xff").is_err());
        assert!(parse("[".repeat(200_000).as_bytes()).is_err());
    }
}
