//! The control socket as the loop holds it, and what was asked there or by the host and is not complete.
//!
//! Invariant: without a socket luster runs all the same, and says so once.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::oneshot;
use tracing::{debug, warn};

use super::reader::Extent;
use crate::control::schema::Answer;
use crate::control::{Control, Order, Prepared, Reporter, Setup, Socket, Wanted};
use crate::core::{Completion, HostInstanceId, PoolName, Refusal, RequestId};

/// The control socket's side of the loop.
pub(super) struct ControlDesk {
    pub(super) control: Control,
    /// For those that ask and are not at the socket.
    pub(super) reporter: Arc<Reporter>,
}

/// What was asked and is not complete.
#[derive(Debug, Default)]
pub(super) struct Asks {
    /// Which of them a request belongs to.
    pub(super) requests: BTreeMap<RequestId, u64>,
    pub(super) open: BTreeMap<u64, OpenAsk>,
    /// The number given last.
    pub(super) last: u64,
}

/// One ask, of one request or of one for each worker.
#[derive(Debug)]
pub(super) struct OpenAsk {
    pub(super) order: Order,
    pub(super) asker: Asker,
    /// How many of its requests are not answered, or not complete; and one more while they are made.
    pub(super) waiting: usize,
    pub(super) refusal: Option<Refusal>,
    pub(super) completions: Vec<Completion>,
}

/// What was asked of several apps and is not complete.
#[derive(Debug, Default)]
pub(super) struct FleetAsks {
    pub(super) open: BTreeMap<u64, FleetAsk>,
    pub(super) last: u64,
}

/// One ask of several apps.
#[derive(Debug)]
pub(super) struct FleetAsk {
    pub(super) completed: oneshot::Sender<Answer>,
    /// Whom it waits for.
    pub(super) waiting: BTreeMap<PoolName, AwaitedOfApp>,
    /// Whether the configuration is read for it, after which others may be waited for.
    pub(super) extent: Extent,
    pub(super) answers: BTreeMap<PoolName, Answer>,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AwaitedOfApp {
    Answer,
    Readiness,
    End,
}

/// Who waits for what comes of an ask.
#[derive(Debug)]
pub(super) enum Asker {
    /// A client of the control socket.
    Client(oneshot::Sender<Answer>),
    /// This process of the host, under a number of its own.
    Host(HostInstanceId, u64),
    /// The loop, whose ask of this number concerns several apps.
    Fleet(u64),
}

impl ControlDesk {
    /// Makes the socket; what is wrong with it is told, and luster runs without.
    pub(super) fn begin(setup: Setup) -> Self {
        let Setup { wanted, about, lines, rest } = setup;
        let about = Arc::new(about);
        let mut control = Control::new(about.clone(), lines, rest);
        if let Err(error) = control.serve(wanted, None) {
            warn!(event = "control_socket", "there is no control socket: {error}");
        }
        tell(&control);
        let reporter = Arc::new(Reporter::new(about));
        Self { control, reporter }
    }
    /// What is in force wants this socket, which may have been made.
    pub(super) fn adopt(&mut self, wanted: Option<&Wanted>, made: Option<Prepared>) {
        let before = self.control.socket().map(|socket| socket.path().to_owned());
        if let Err(error) = self.control.serve(wanted.cloned(), made) {
            warn!(event = "config_warning", "the control socket stays as it is: {error}");
        }
        if self.control.socket().map(Socket::path) != before.as_deref() {
            tell(&self.control);
        }
    }
}

/// Where it is.
fn tell(control: &Control) {
    let Some(socket) = control.socket() else { return };
    let path = socket.path().display().to_string();
    debug!(event = "control", path, "the control socket is {path}");
    if let Some(pid) = socket.first {
        warn!(
            event = "second_master",
            pid,
            path,
            "another luster (pid {pid}) runs this configuration already, under the same name; the control socket of this \
             one is {path}"
        );
    }
}
