//! The HTTP API.
//!
//! ```text
//! connection -> service.rs   request id, span, method, Accept, panics, metrics
//!            -> forwarding.rs                here, or one hop to the session's owner
//!            -> request/     raw -> typed, every fault at once
//!            -> consumers.rs produce.rs onecall/ health.rs admin.rs cluster.rs docs.rs   the handlers
//!            -> reply.rs     compress.rs -> handover.rs, which knows what was taken
//! ```
//! The routes are the tables in `routes.rs`.

mod accept;
mod admin;
mod body;
mod call;
mod cluster;
mod compress;
mod consumers;
mod docs;
pub mod error;
mod forwarding;
mod handover;
mod health;
mod onecall;
mod openapi;
mod peers;
mod produce;
mod reply;
mod request;
mod routes;
mod schema;
mod service;
mod state;
mod unserved;

use std::rc::Rc;
use std::sync::Arc;

use actix_web::{HttpRequest, web};

use routes::{Produces, Route, forwarded, routes};
use service::{Endpoint, Entrance};

pub(crate) use health::Readiness;
pub use openapi::{Port, document};
pub(crate) use state::{Draining, State};

/// Mounts the routes of a port; every other path answers 404 in the same way.
pub(crate) fn configure(config: &mut web::ServiceConfig, port: Port, state: &Arc<State>) {
    config.app_data(web::Data::new(port));
    mount(config, routes(port).collect(), state, Entrance::Clients);
}

/// Mounts what other nodes ask: requests that they send on, and what became of answers.
pub(crate) fn configure_peers(config: &mut web::ServiceConfig, state: &Arc<State>) {
    peers::configure(config, state);
    mount(config, forwarded().collect(), state, Entrance::Peers);
}

fn mount(
    config: &mut web::ServiceConfig,
    routes: Vec<&'static Route>,
    state: &Arc<State>,
    entrance: Entrance,
) {
    let mut paths: Vec<&'static str> = Vec::new();
    for route in &routes {
        if !paths.contains(&route.path) {
            paths.push(route.path);
        }
    }
    for path in paths {
        let of_path = routes.iter().filter(|route| route.path == path);
        let endpoint = Endpoint::new(state, of_path.copied().collect(), entrance);
        config.service(
            web::resource(path).to(move |http: HttpRequest, payload: web::Payload| {
                endpoint.clone().serve(http, payload.into_inner())
            }),
        );
    }
    let nowhere = Endpoint::new(state, Rc::new([]), entrance);
    config.default_service(web::to(move |http: HttpRequest, payload: web::Payload| {
        nowhere.clone().serve(http, payload.into_inner())
    }));
}
