//! The API's description, and a page to read and try it, both from the binary.

use std::sync::{Arc, OnceLock};

use actix_web::http::header::{CONTENT_ENCODING, HeaderValue};
use bytes::Bytes;
use utoipa_swagger_ui::{Config, serve};

use super::call::Call;
use super::error::{Code, Problem};
use super::openapi::{Port, document};
use super::reply::Reply;

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "openapi",
    tag = "documentation",
    responses((
        status = 200,
        description = "An OpenAPI document",
        body = serde_json::Value,
        example = json!({"openapi": "3.1.0", "info": {"title": "Sluice", "version": "0.1.0"}, "paths": {}}),
    )),
)]
pub(super) async fn openapi(call: Call) -> Result<Reply, Problem> {
    static CLIENT: OnceLock<Bytes> = OnceLock::new();
    static ADMIN: OnceLock<Bytes> = OnceLock::new();
    call.check_empty()?;
    let port = call.port();
    let cache = match port {
        Port::Client => &CLIENT,
        Port::Admin => &ADMIN,
    };
    let text = match cache.get() {
        Some(text) => text.clone(),
        None => {
            let text = document(port).to_json().map_err(|error| {
                Problem::internal(format!("the description cannot be written: {error}"))
            })?;
            cache.get_or_init(|| Bytes::from(text)).clone()
        }
    };
    Ok(Reply::new("application/json", text))
}

/// A page to read and try the API.
#[utoipa::path(
    get,
    path = "/docs",
    operation_id = "docs",
    tag = "documentation",
    responses((status = 200, description = "A page", body = String, content_type = "text/html")),
)]
pub(super) async fn page(call: Call) -> Result<Reply, Problem> {
    call.check_empty()?;
    let (page, _) = part("index.html")?;
    let page = String::from_utf8_lossy(&page.bytes)
        // The page names its parts relative to a path that ends with a slash.
        .replacen("<head>", "<head>\n    <base href=\"docs/\">", 1);
    Ok(Reply::new(&page_type(), page))
}

/// The parts of that page.
pub(super) async fn file(call: Call) -> Result<Reply, Problem> {
    call.check_empty()?;
    let name = match call.path("file") {
        "" => "index.html",
        name => name,
    };
    let (file, content_type) = part(name)?;
    let reply = Reply::new(&content_type, file.bytes.into_owned());
    Ok(if file.gzpipped {
        reply.header(CONTENT_ENCODING, HeaderValue::from_static("gzip"))
    } else {
        reply
    })
}

fn page_type() -> String {
    "text/html; charset=utf-8".to_owned()
}

fn part(name: &str) -> Result<(utoipa_swagger_ui::SwaggerFile<'static>, String), Problem> {
    let config = Arc::new(Config::from("../openapi.json"));
    match serve(name, config) {
        Ok(Some(file)) => {
            let content_type = file.content_type.clone();
            Ok((file, content_type))
        }
        Ok(None) => Err(Problem::new(
            Code::RouteNotFound,
            "The page at /docs has no such part.",
        )),
        Err(error) => Err(Problem::internal(format!("the page is broken: {error}"))),
    }
}
