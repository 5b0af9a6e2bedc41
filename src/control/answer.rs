//! What goes back over a connection: the status line, the JSON, and nothing that could be cached.
//!
//! Invariant: the status code follows from the answer's outcome and reason, and from nothing else.

use hyper::body::Bytes;
use hyper::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::body::Content;
use super::schema::{Answer, Outcome, Reason, SCHEMA};

impl Answer {
    /// With what every answer has; the rest is left out.
    #[must_use]
    pub const fn new(outcome: Outcome, reason: Option<Reason>, message: String) -> Self {
        Self { schema: SCHEMA, outcome, reason, message, replaced: None, wid: None, generation: None }
    }
}

/// An answer that refuses, with its reason.
pub(super) fn refused(reason: Reason, message: impl Into<String>) -> Answer {
    Answer::new(Outcome::Refused, Some(reason), message.into())
}

/// The answer over HTTP.
pub(super) fn of_answer(answer: &Answer) -> Response<Content> {
    json(code(answer), answer)
}

/// For a path that is asked in another way.
pub(super) fn wrong_method(allowed: &'static str, asked: &str) -> Response<Content> {
    let message = format!("this path is asked with {allowed}, not {asked}");
    let mut response = of_answer(&refused(Reason::MethodNotAllowed, message));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// JSON, ended by a line feed.
pub(super) fn json(code: StatusCode, value: &impl Serialize) -> Response<Content> {
    let mut text = serde_json::to_vec(value).unwrap_or_default();
    text.push(b'\n');
    let mut response = with_type(Content::Whole(Bytes::from(text)), "application/json");
    *response.status_mut() = code;
    // What is left of a body that is not read would be taken for the next request.
    if code == StatusCode::PAYLOAD_TOO_LARGE || code == StatusCode::BAD_REQUEST {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// 200 with this content.
pub(super) fn with_type(content: Content, kind: &'static str) -> Response<Content> {
    let mut response = Response::new(content);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The whole of an answer to a connection whose requests are not read.
pub(super) fn unread(answer: &Answer) -> Vec<u8> {
    let body = serde_json::to_string(answer).unwrap_or_default();
    let code = code(answer);
    let length = body.len() + 1;
    format!(
        "HTTP/1.1 {code}\r\ncontent-type: application/json\r\ncache-control: no-store\r\nconnection: close\r\n\
         content-length: {length}\r\n\r\n{body}\n"
    )
    .into_bytes()
}

fn code(answer: &Answer) -> StatusCode {
    match (answer.outcome, answer.reason) {
        (Outcome::Done, _) => StatusCode::OK,
        (Outcome::Accepted, _) => StatusCode::ACCEPTED,
        (
            Outcome::TakenBack | Outcome::Aborted | Outcome::Overruled | Outcome::Refused | Outcome::Unknown,
            reason,
        ) => match reason {
            Some(Reason::Busy) => StatusCode::SERVICE_UNAVAILABLE,
            Some(Reason::BadRequest) => StatusCode::BAD_REQUEST,
            Some(Reason::Forbidden) => StatusCode::FORBIDDEN,
            Some(Reason::NotFound) => StatusCode::NOT_FOUND,
            Some(Reason::MethodNotAllowed) => StatusCode::METHOD_NOT_ALLOWED,
            Some(Reason::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
            Some(Reason::Internal) => StatusCode::INTERNAL_SERVER_ERROR,
            Some(
                Reason::UnknownWorker
                | Reason::UnknownApp
                | Reason::ScriptDecides
                | Reason::OutOfRange
                | Reason::Configuration
                | Reason::Stopping
                | Reason::Unknown,
            )
            | None => StatusCode::CONFLICT,
        },
    }
}
