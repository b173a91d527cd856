//! What other nodes ask of this one, besides what clients ask.

use std::sync::Arc;

use actix_web::body::BoxBody;
use actix_web::http::header::HeaderMap;
use actix_web::{HttpRequest, HttpResponse, web};
use sluice_types::Epoch;

use super::body::read;
use super::state::State;
use crate::peer::{Credentials, EPOCH, FRAMES, Refused, Saying, WORDS};

/// Largest frame: members send commands, and snapshots in parts, of a few MiB.
const FRAME_BYTES: usize = 16 << 20;

/// Largest request with words on answers: a word takes less than 80 bytes, and some thousands come
/// at once at most.
const WORDS_BYTES: usize = 1 << 20;

/// Mounts what clients have no use for.
pub(super) fn configure(config: &mut web::ServiceConfig, state: &Arc<State>) {
    let of_frames = Arc::clone(state);
    config.service(web::resource(FRAMES).route(web::post().to(
        move |http: HttpRequest, payload: web::Payload| {
            let state = Arc::clone(&of_frames);
            async move { frame(&state, &http, payload).await }
        },
    )));
    let of_words = Arc::clone(state);
    config.service(web::resource(WORDS).route(web::post().to(
        move |http: HttpRequest, payload: web::Payload| {
            let state = Arc::clone(&of_words);
            async move { hear(&state, &http, payload).await }
        },
    )));
}

/// A frame of another member of the consensus.
async fn frame(state: &State, http: &HttpRequest, payload: web::Payload) -> HttpResponse<BoxBody> {
    if let Err(refused) = state.badge.check_sender(http.headers()) {
        return refuse(state, http.headers(), refused);
    }
    let Some(membership) = &state.membership else {
        return HttpResponse::NotFound().finish();
    };
    let mut payload = payload.into_inner();
    match read(&mut payload, http.headers(), FRAME_BYTES).await {
        Ok(frame) => HttpResponse::Ok().body(membership.consensus.handle(&frame).await),
        Err(_) => HttpResponse::BadRequest().finish(),
    }
}

/// What becomes of answers that the other node is handing to its clients.
async fn hear(state: &State, http: &HttpRequest, payload: web::Payload) -> HttpResponse<BoxBody> {
    if let Err(refused) = check(state, http.headers()) {
        return *refused;
    }
    let mut payload = payload.into_inner();
    let Ok(body) = read(&mut payload, http.headers(), WORDS_BYTES).await else {
        return HttpResponse::BadRequest().finish();
    };
    let Ok(sayings) = serde_json::from_slice::<Vec<Saying>>(&body) else {
        return HttpResponse::BadRequest().finish();
    };
    for saying in sayings {
        // One that nobody waits for any more has been heard before, or too late.
        let _ = state.fates.tell(&saying).await;
    }
    HttpResponse::NoContent().finish()
}

/// Lets in only nodes of the cluster that mean this run of this node.
pub(super) fn check(state: &State, headers: &HeaderMap) -> Result<(), Box<HttpResponse<BoxBody>>> {
    match state.badge.check(headers) {
        Ok(()) => Ok(()),
        // No stranger: its copy of the registry is behind.
        Err(Refused::Receiver) => Err(Box::new(misdirected(None))),
        Err(refused) => Err(Box::new(refuse(state, headers, refused))),
    }
}

fn refuse(state: &State, headers: &HeaderMap, refused: Refused) -> HttpResponse<BoxBody> {
    state.strangers.note(Credentials::sender(headers), refused);
    HttpResponse::Unauthorized().finish()
}

/// Says that the session is not here.
pub(super) fn misdirected(epoch: Option<Epoch>) -> HttpResponse<BoxBody> {
    let mut response = HttpResponse::MisdirectedRequest();
    if let Some(epoch) = epoch {
        response.insert_header((EPOCH, epoch.get()));
    }
    response.finish()
}
