//! A connection to a control socket: HTTP/1.1, one request after another.
//!
//! Invariants: who is at the other end is what the kernel says; an answer has a limit, and whoever reads one a deadline.

use std::future::{Future, poll_fn};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use nix::sys::socket::{getsockopt, sockopt};
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::error::ClientError;
use crate::control::schema::{Answer, Reason, SCHEMA, Status};

/// The longest answer; the status of 10,000 workers has 6 MiB.
const LONGEST_ANSWER: usize = 64 << 20;

/// How much room is made for an answer before it is there.
const ROOM: usize = 1 << 20;

/// How long an answer may take that is given at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    requests: SendRequest<String>,
    /// The process at the other end; 0 if it is in a namespace that we do not see into.
    pub(super) pid: i32,
    /// Where it leads.
    pub(super) socket: PathBuf,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Reply {
    /// The code.
    pub(super) code: StatusCode,
    /// All of the body.
    pub(super) body: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub(super) async fn open(socket: &Path) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(socket).await.map_err(|error| unconnected(socket, &error))?;
        let system = |error: String| ClientError::System(format!("{}: {error}", socket.display()));
        let peer =
            getsockopt(&stream, sockopt::PeerCredentials).map_err(|errno| system(errno.to_string()))?;
        let (requests, driven) =
            handshake(TokioIo::new(stream)).await.map_err(|error| system(error.to_string()))?;
        // Its end shows in the requests.
        drop(tokio::spawn(driven));
        Ok(Self { requests, pid: peer.pid(), socket: socket.to_owned() })
    }

    /// What is at this path, answered at once.
    pub(super) async fn get(&mut self, path: &str) -> Result<Reply, ClientError> {
        let asked = self.request(Method::GET, path, String::new());
        self.in_time(asked).await
    }

    /// How everything stands, and the words it was said in.
    pub(super) async fn status(&mut self) -> Result<(Status, Vec<u8>), ClientError> {
        let reply = self.get("/v1/status").await?;
        match reply.code {
            StatusCode::OK => {
                let status = self.understand(&reply.body, |status: &Status| status.schema)?;
                Ok((status, reply.body))
            }
            _ => Err(self.refused(&reply)),
        }
    }

    /// Asks for something; the answer may take long.
    pub(super) fn post(
        &mut self,
        path: &str,
        body: String,
    ) -> impl Future<Output = Result<Reply, ClientError>> + use<> {
        let asked = self.request(Method::POST, path, body);
        let (socket, pid) = (self.socket.clone(), self.pid);
        async move { read(&socket, pid, asked.await?).await }
    }

    /// What is told at this path without an end.
    pub(super) async fn stream(&mut self, path: &str) -> Result<Incoming, ClientError> {
        let asked = self.request(Method::GET, path, String::new());
        let Ok(response) = timeout(PATIENCE, asked).await else { return Err(self.silent()) };
        let response = response?;
        match response.status() {
            StatusCode::OK => Ok(response.into_body()),
            _ => {
                let reply = read(&self.socket, self.pid, response).await?;
                Err(self.refused(&reply))
            }
        }
    }

    /// What an answer means that is none to the question.
    pub(super) fn refused(&self, reply: &Reply) -> ClientError {
        match self.answer(reply) {
            Ok(Answer { reason: Some(Reason::Forbidden), message, .. }) => {
                ClientError::Denied(self.socket.clone(), message)
            }
            Ok(Answer { reason: Some(Reason::Busy), message, .. }) => {
                ClientError::Busy(self.socket.clone(), message)
            }
            Ok(Answer { message, .. }) => {
                ClientError::NotUnderstood(self.socket.clone(), format!("{}, {message}", reply.code))
            }
            Err(error) => error,
        }
    }

    /// What a request came to.
    pub(super) fn answer(&self, reply: &Reply) -> Result<Answer, ClientError> {
        self.understand(&reply.body, |answer: &Answer| answer.schema)
    }

    /// Reads what is in a body, if it is of our schema.
    fn understand<T: DeserializeOwned>(
        &self,
        body: &[u8],
        schema: impl FnOnce(&T) -> u32,
    ) -> Result<T, ClientError> {
        #[derive(serde::Deserialize)]
        struct Versioned {
            schema: u32,
        }
        let odd = |why: String| ClientError::NotUnderstood(self.socket.clone(), why);
        let read = serde_json::from_slice::<T>(body);
        // Read a second time only where it was not understood: that of 1,000 workers is long.
        let found = match &read {
            Ok(value) => Some(schema(value)),
            Err(_) => serde_json::from_slice(body).ok().map(|Versioned { schema }| schema),
        };
        match (read, found) {
            (_, None) => Err(odd("it does not answer in luster's JSON".to_owned())),
            (Ok(value), Some(SCHEMA)) => Ok(value),
            (Err(error), Some(SCHEMA)) => Err(odd(format!("its answer is incomplete: {error}"))),
            (_, Some(other)) => Err(odd(format!("it answers in schema {other}, and this is {SCHEMA}"))),
        }
    }

    fn request(
        &mut self,
        method: Method,
        path: &str,
        body: String,
    ) -> impl Future<Output = Result<Response<Incoming>, ClientError>> + use<> {
        let request = Request::builder().method(method).uri(path).header(HOST, "luster");
        let request = match body.is_empty() {
            true => request,
            false => request.header(CONTENT_TYPE, "application/json"),
        };
        let sent = request.body(body).map(|request| self.requests.send_request(request));
        let (socket, pid) = (self.socket.clone(), self.pid);
        async move {
            let sent = sent.map_err(|error| ClientError::System(format!("the request is none: {error}")))?;
            sent.await.map_err(|error| broken(&socket, pid, &error))
        }
    }

    async fn in_time(
        &self,
        asked: impl Future<Output = Result<Response<Incoming>, ClientError>>,
    ) -> Result<Reply, ClientError> {
        let whole = async { read(&self.socket, self.pid, asked.await?).await };
        timeout(PATIENCE, whole).await.unwrap_or_else(|_| Err(self.silent()))
    }

    fn silent(&self) -> ClientError {
        let who = match self.pid {
            0 => self.socket.display().to_string(),
            pid => format!("luster (pid {pid})"),
        };
        ClientError::Silent { who, seconds: PATIENCE.as_secs() }
    }
}

/// The next part of a body; nothing at its end.
pub(super) async fn next_part(body: &mut Incoming) -> Option<Result<Bytes, hyper::Error>> {
    let mut body = pin!(body);
    let frame = poll_fn(|context| body.as_mut().poll_frame(context)).await?;
    Some(frame.map(|frame| frame.into_data().unwrap_or_default()))
}

async fn read(socket: &Path, pid: i32, response: Response<Incoming>) -> Result<Reply, ClientError> {
    let code = response.status();
    let mut body = response.into_body();
    let expected = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut whole = Vec::with_capacity(expected.min(ROOM));
    while let Some(part) = next_part(&mut body).await {
        let part = part.map_err(|error| broken(socket, pid, &error))?;
        if whole.len() + part.len() > LONGEST_ANSWER {
            let why = format!("its answer is longer than {} MiB", LONGEST_ANSWER >> 20);
            return Err(ClientError::NotUnderstood(socket.to_owned(), why));
        }
        whole.extend_from_slice(&part);
    }
    Ok(Reply { code, body: whole })
}

fn unconnected(socket: &Path, error: &io::Error) -> ClientError {
    let path = socket.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound => ClientError::NobodyListens(path, "there is no such socket"),
        io::ErrorKind::ConnectionRefused => {
            ClientError::NobodyListens(path, "whoever made it is gone, or it is no socket")
        }
        io::ErrorKind::PermissionDenied => ClientError::Denied(path, "permission denied".to_owned()),
        io::ErrorKind::WouldBlock => ClientError::Busy(path, "too many wait to be connected".to_owned()),
        _ => ClientError::System(format!("{} cannot be connected to: {error}", socket.display())),
    }
}

fn broken(socket: &Path, pid: i32, error: &hyper::Error) -> ClientError {
    if error.is_parse() {
        return ClientError::NotUnderstood(socket.to_owned(), "it does not answer in HTTP".to_owned());
    }
    ClientError::Gone { pid }
}
