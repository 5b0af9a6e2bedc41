//! A client of the control socket, as `curl --unix-socket` is one.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Connection, Target};

/// The control socket of a luster.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    path: PathBuf,
}

impl Control {
    pub(crate) const fn at(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A connection to it.
    pub(crate) fn connect(&self) -> io::Result<Connection> {
        Connection::open(&Target::Unix(self.path.clone()))
    }

    /// Makes a request on a connection of its own: the status code and the JSON of the answer.
    pub(crate) fn try_ask(&self, method: &str, path: &str, body: &str) -> io::Result<(u16, Value)> {
        let head = format!("{method} {path} HTTP/1.1\r\nConnection: close");
        let reply = self.connect()?.request(&head, body.as_bytes())?;
        Ok((reply.status, serde_json::from_str(&reply.body)?))
    }

    #[track_caller]
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        self.try_ask(method, path, body).expect("an answer in JSON")
    }

    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &str) -> (u16, Value) {
        self.ask("POST", path, body)
    }

    /// How everything stands.
    #[track_caller]
    pub(crate) fn status(&self) -> Value {
        let (code, status) = self.ask("GET", "/v1/status", "");
        assert_eq!(code, 200, "{status}");
        status
    }
}
