//! What is at which path, and how it is asked.
//!
//! Invariants: nothing is done that was not understood whole; a request that was accepted is done also when its client does not
//! wait for it.

use std::rc::Rc;
use std::time::Duration;

use hyper::body::{Body, Bytes, Incoming};
use hyper::{Request, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::answer::{json, of_answer, refused, with_type, wrong_method};
use super::body::Content;
use super::call::{Ask, Call, Order, Target, Whom};
use super::events::{self, Lines};
use super::peer::Peer;
use super::schema::{self, Answer, Health, Outcome, Reason};
use super::status::StatusDesk;
use crate::core::{PoolName, WorkerId};

/// The longest body, in bytes.
const LONGEST_BODY: usize = 64 << 10;

/// How long a body may take to come.
const BODY_PATIENCE: Duration = Duration::from_secs(10);

/// How long the loop may take to say whether it accepts something; it takes milliseconds.
const REPLY_PATIENCE: Duration = Duration::from_secs(5);

/// Every path, and how it is asked.
pub(super) const PATHS: &[(&str, &str)] = &[
    ("/v1/status", "GET"),
    ("/v1/health", "GET"),
    ("/v1/events", "GET"),
    ("/v1/reload", "POST"),
    ("/v1/restart", "POST"),
    ("/v1/stop", "POST"),
    ("/v1/start", "POST"),
    ("/v1/scale", "POST"),
    ("/v1/revive", "POST"),
];

/// What those who answer need.
#[derive(Debug)]
pub(super) struct Routes {
    pub(super) status: Rc<StatusDesk>,
    pub(super) calls: mpsc::Sender<Call>,
    pub(super) lines: fn() -> Lines,
    /// Whether luster ends.
    pub(super) ended: watch::Receiver<bool>,
}

/// Whether the asker waits for what comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    Yes,
    No,
}

impl Routes {
    /// Answers a request.
    pub(super) async fn answer(self: Rc<Self>, request: Request<Incoming>, by: Peer) -> Response<Content> {
        let path = request.uri().path().to_owned();
        let Some((_, method)) = PATHS.iter().find(|(known, _)| *known == path) else {
            let message = format!(
                "there is no {path}; there are GET /v1/status, /v1/health and /v1/events, and POST /v1/reload, \
                 /v1/restart, /v1/stop, /v1/start, /v1/scale and /v1/revive"
            );
            return of_answer(&refused(Reason::NotFound, message));
        };
        if *method != request.method().as_str() {
            return wrong_method(method, request.method().as_str());
        }
        match path.as_str() {
            "/v1/events" => with_type(self.events(), "text/event-stream"),
            "/v1/status" => self.status(|status| json(StatusCode::OK, status)).await,
            "/v1/health" => self.status(health).await,
            path => {
                let done = self.order(path, request, by).await;
                of_answer(&done.unwrap_or_else(|refused| refused))
            }
        }
    }

    fn events(&self) -> Content {
        Content::Stream(events::stream((self.lines)(), self.ended.clone()))
    }

    async fn status(&self, then: impl FnOnce(&schema::Status) -> Response<Content>) -> Response<Content> {
        match self.status.clone().ask().await {
            Some(status) => then(&status),
            None => of_answer(&unanswered()),
        }
    }

    /// Has something done.
    async fn order(&self, path: &str, request: Request<Incoming>, by: Peer) -> Result<Answer, Answer> {
        let wait = wait(request.uri().query())?;
        let (app, order) = order(path, &read(request.into_body()).await?)?;
        let app = app.map(|name| PoolName::new(&name));
        let (reply, replied) = oneshot::channel();
        let (completed, done) = oneshot::channel();
        let call = Call::Ask(Ask { app, order, by, reply, completed });
        self.calls.try_send(call).map_err(|_| unanswered())?;
        match timeout(REPLY_PATIENCE, replied).await {
            Ok(Ok(accepted)) => accepted?,
            Ok(Err(_)) | Err(_) => return Err(unanswered()),
        }
        match wait {
            Wait::Yes => done.await.map_err(|_| {
                refused(Reason::Internal, "luster ended before it could say what came of the request")
            }),
            Wait::No => {
                let message = "the request is accepted; GET /v1/status shows what comes of it";
                Ok(Answer::new(Outcome::Accepted, None, message.to_owned()))
            }
        }
    }
}

fn health(status: &schema::Status) -> Response<Content> {
    let health = Health::of(status);
    let code = if health.healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(code, &health)
}

fn unanswered() -> Answer {
    refused(Reason::Busy, "luster has too much to do to answer now; ask again")
}

fn bad(message: impl Into<String>) -> Answer {
    refused(Reason::BadRequest, message)
}

/// What the query says about waiting.
fn wait(query: Option<&str>) -> Result<Wait, Answer> {
    match query {
        None | Some("" | "wait=true") => Ok(Wait::Yes),
        Some("wait=false") => Ok(Wait::No),
        Some(_) => Err(bad("the only parameter behind the ? is wait=true or wait=false")),
    }
}

/// What a path and a body ask for, and of which app.
fn order(path: &str, body: &[u8]) -> Result<(Option<String>, Order), Answer> {
    let some = |order: fn(Whom) -> Order| whom(body).map(|(app, whom)| (app, order(whom)));
    match path {
        "/v1/reload" => parse::<schema::Reload>(body).map(|reload| (reload.app, Order::Reload)),
        "/v1/restart" => some(Order::Restart),
        "/v1/stop" => some(Order::Stop),
        "/v1/start" => some(Order::Start),
        "/v1/revive" => some(Order::Revive),
        _ => match parse::<schema::Scale>(body)? {
            schema::Scale { app, count: Some(count), change: None } => {
                Ok((app, Order::Scale(Target::Count(count))))
            }
            schema::Scale { app, count: None, change: Some(change) } => {
                Ok((app, Order::Scale(Target::Change(change))))
            }
            schema::Scale { .. } => Err(bad(
                "the body is to have either a count, as in {\"count\":4}, or a change, as in {\"change\":-1}",
            )),
        },
    }
}

fn whom(body: &[u8]) -> Result<(Option<String>, Whom), Answer> {
    let schema::Whom { app, workers } = parse(body)?;
    match workers {
        None => Ok((app, Whom::All)),
        Some(workers) if workers.is_empty() => {
            Err(bad("\"workers\" names no worker; leave it out to mean all of them"))
        }
        Some(mut workers) => {
            workers.sort_unstable();
            workers.dedup();
            Ok((app, Whom::Some(workers.into_iter().map(WorkerId).collect())))
        }
    }
}

fn parse<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, Answer> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    let expected = |error: serde_json::Error| bad(format!("the body is not the JSON expected here: {error}"));
    let value: Value = serde_json::from_slice(body).map_err(expected)?;
    if value.is_null() {
        return Ok(T::default());
    } else if !value.is_object() {
        return Err(bad("the body is to be a JSON object"));
    }
    serde_json::from_value(value).map_err(expected)
}

/// The whole body.
async fn read(body: Incoming) -> Result<Vec<u8>, Answer> {
    let too_large =
        || refused(Reason::TooLarge, format!("the body is larger than {} KiB", LONGEST_BODY >> 10));
    if body.size_hint().lower() > LONGEST_BODY as u64 {
        return Err(too_large());
    }
    let whole = timeout(BODY_PATIENCE, async {
        let (mut body, mut whole) = (std::pin::pin!(body), Vec::new());
        while let Some(frame) = std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await {
            let frame = frame.map_err(|error| bad(format!("the body cannot be read: {error}")))?;
            let bytes: Bytes = frame.into_data().unwrap_or_default();
            if whole.len() + bytes.len() > LONGEST_BODY {
                return Err(too_large());
            }
            whole.extend_from_slice(&bytes);
        }
        Ok(whole)
    });
    whole
        .await
        .unwrap_or_else(|_| Err(bad(format!("the body has not come within {} s", BODY_PATIENCE.as_secs()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(path: &str, body: &str) -> Result<Order, String> {
        order(path, body.as_bytes()).map(|(_, order)| order).map_err(|answer| answer.message)
    }

    #[test]
    fn bodies_say_what_is_meant() {
        let some = |workers: &[u32]| Whom::Some(workers.iter().copied().map(WorkerId).collect());
        for (path, body, meant) in [
            ("/v1/reload", "", Order::Reload),
            ("/v1/reload", " {} \n", Order::Reload),
            ("/v1/stop", "", Order::Stop(Whom::All)),
            ("/v1/stop", "{\"workers\":null}", Order::Stop(Whom::All)),
            ("/v1/stop", "{\"workers\":[3,1,3]}", Order::Stop(some(&[1, 3]))),
            ("/v1/scale", "{\"count\":-1}", Order::Scale(Target::Count(-1))),
            ("/v1/scale", "{\"change\":-1}", Order::Scale(Target::Change(-1))),
        ] {
            assert_eq!(asked(path, body), Ok(meant), "{path} {body}");
        }
    }

    #[test]
    fn what_is_not_understood_whole_is_refused() {
        for (path, body) in [
            ("/v1/reload", "{\"workers\":[1]}"),
            ("/v1/stop", "{\"worker\":[1]}"),
            ("/v1/stop", "{\"workers\":[]}"),
            ("/v1/stop", "{\"workers\":[-1]}"),
            ("/v1/stop", "{\"workers\":1}"),
            ("/v1/stop", "{"),
            ("/v1/stop", "[]"),
            ("/v1/stop", "{} {}"),
            ("/v1/scale", ""),
            ("/v1/scale", "{\"count\":1,\"change\":1}"),
            ("/v1/scale", "{\"count\":\"4\"}"),
            ("/v1/scale", "{\"count\":1e9999}"),
        ] {
            let message = asked(path, body).expect_err(body);
            assert!(message.contains("body") || message.contains("workers"), "{message}");
        }
    }

    #[test]
    fn only_waiting_can_be_asked_for_behind_the_path() {
        assert_eq!(wait(None), Ok(Wait::Yes));
        assert_eq!(wait(Some("wait=false")), Ok(Wait::No));
        assert!(wait(Some("wait=0")).is_err() && wait(Some("now")).is_err());
    }
}
