//! The document that describes the control socket to programs: made from the types that are sent, and held to
//! `docs/openapi.json` by a test. `LUSTER_WRITE_OPENAPI=1 cargo test openapi` writes that file anew.
#![expect(dead_code, reason = "only their descriptions are used")]

use std::collections::BTreeSet;
use std::path::Path;

use utoipa::OpenApi;

use super::routes::PATHS;
use super::schema::{Answer, Health, Lost, Reload, Scale, Status, Whom};

/// What the document says of itself.
const ABOUT: &str = "HTTP/1.1 over a unix socket: `curl --unix-socket PATH http://luster/v1/status`. Every answer has `schema`. \
    Within a version fields and words are only added: ignore those you do not know. Besides the codes named, each path answers \
    403 to users who may not ask, 405 to another method, 503 to more than 64 connections at once, and 400, 413 or 431 to what \
    cannot be read.";

/// All of it.
#[derive(OpenApi)]
#[openapi(
    info(title = "luster's control socket", description = ABOUT, version = "1", contact(), license(name = "MIT")),
    paths(status, health, events, reload, restart, stop, start, scale, revive),
    components(schemas(Lost))
)]
struct Document;

/// How the master and all it keeps stand.
#[utoipa::path(get, path = "/v1/status", responses((status = 200, description = "Everything", body = Status), (status = 503, description = "luster has too much to do", body = Answer)))]
fn status() {}

/// Whether every wanted worker is ready: 200 if so, else 503.
#[utoipa::path(get, path = "/v1/health", responses((status = 200, description = "All are ready", body = Health), (status = 503, description = "Some are not, or luster stops", body = Health)))]
fn health() {}

/// What happens, from now on, as server-sent events.
///
/// An event's name is that of the log event, its data the object of `--log-format json` (docs/log-events.md), from INFO on or as
/// `-v` says. A reader that is slow gets an event `lost` in place of what it has missed, with a `Lost` as data.
#[utoipa::path(get, path = "/v1/events", responses((status = 200, description = "Events, until luster ends", content_type = "text/event-stream", body = String)))]
fn events() {}

/// Reads the configuration anew, with every check, and replaces all workers.
#[utoipa::path(
    post, path = "/v1/reload", request_body(content = Option<Reload>), params(Waiting),
    responses(Came)
)]
fn reload() {}

/// Replaces workers, on the configuration that runs.
#[utoipa::path(
    post, path = "/v1/restart", request_body(content = Option<Whom>), params(Waiting),
    responses(Came)
)]
fn restart() {}

/// Stops workers, which stay stopped until they are started; without a list everything, and then luster ends.
#[utoipa::path(
    post, path = "/v1/stop", request_body(content = Option<Whom>), params(Waiting),
    responses(Came)
)]
fn stop() {}

/// Starts workers that are stopped or dead; without a list those that have not been started, and were not stopped.
#[utoipa::path(
    post, path = "/v1/start", request_body(content = Option<Whom>), params(Waiting),
    responses(Came)
)]
fn start() {}

/// Has more workers or fewer.
#[utoipa::path(
    post, path = "/v1/scale", request_body(content = Scale), params(Waiting),
    responses(Came)
)]
fn scale() {}

/// Has dead workers be stopped instead, as if they had never died.
#[utoipa::path(
    post, path = "/v1/revive", request_body(content = Option<Whom>), params(Waiting),
    responses(Came)
)]
fn revive() {}

/// What comes of whatever changes something.
#[derive(utoipa::IntoResponses)]
enum Came {
    /// It is done
    #[response(status = 200)]
    Done(Answer),
    /// It is accepted, and not waited for
    #[response(status = 202)]
    Accepted(Answer),
    /// It was refused, has failed or was overruled
    #[response(status = 409)]
    NotDone(Answer),
    /// Too much is asked at once
    #[response(status = 503)]
    Busy(Answer),
}

/// What can stand behind a path.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Waiting {
    /// Whether to answer only when it is done (true, by default), or with 202 when it is accepted.
    wait: Option<bool>,
}

#[test]
fn the_document_of_the_control_socket_is_made_from_its_types() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    let made = format!("{}\n", Document::openapi().to_pretty_json().expect("JSON"));
    if std::env::var_os("LUSTER_WRITE_OPENAPI").is_some() {
        std::fs::write(&file, &made).expect("writable");
    }
    let kept = std::fs::read_to_string(&file).expect("docs/openapi.json");
    assert!(made == kept, "docs/openapi.json is old; run LUSTER_WRITE_OPENAPI=1 cargo test openapi");
}

#[test]
fn the_document_has_every_path_and_no_other() {
    let document = Document::openapi();
    let told: BTreeSet<_> = document
        .paths
        .paths
        .iter()
        .map(|(path, item)| (path.as_str(), if item.get.is_some() { "GET" } else { "POST" }))
        .collect();
    let known: BTreeSet<_> = PATHS.iter().map(|(path, method)| (*path, *method)).collect();
    assert_eq!(told, known);
}
