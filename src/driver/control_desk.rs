//! The control socket as the loop holds it, and what was asked there or by the host and is not complete.
//!
//! Invariant: without a socket luster runs all the same, and says so once.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::oneshot;
use tracing::{debug, warn};

use crate::control::schema::Answer;
use crate::control::{Control, Order, Reporter, Setup};
use crate::core::{Completion, HostInstanceId, Refusal, RequestId, Snapshot};

/// The control socket's side of the loop.
pub(super) struct ControlDesk {
    pub(super) control: Control,
    /// How everything stood when somebody last asked.
    pub(super) snapshot: Option<Arc<Snapshot>>,
    pub(super) asks: Asks,
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

/// Who waits for what comes of an ask.
#[derive(Debug)]
pub(super) enum Asker {
    /// A client of the control socket.
    Client(oneshot::Sender<Answer>),
    /// This process of the host, under a number of its own.
    Host(HostInstanceId, u64),
}

impl ControlDesk {
    /// Makes the socket; what is wrong with it is told, and luster runs without.
    pub(super) fn begin(setup: Setup) -> Self {
        let about = Arc::new(setup.about.clone());
        let control = Control::begin(setup).unwrap_or_else(|error| {
            warn!(event = "control_socket", "there is no control socket: {error}");
            Control::none()
        });
        if let Some(socket) = control.socket() {
            let path = socket.path().display().to_string();
            debug!(event = "control", path, "the control socket is {path}");
            if let Some(pid) = socket.first {
                warn!(
                    event = "second_master",
                    pid,
                    path,
                    "another luster (pid {pid}) runs this configuration already, under the same name; the control socket of \
                     this one is {path}"
                );
            }
        }
        let socket = control.socket().map(|socket| socket.path().to_owned()).unwrap_or_default();
        let reporter = Arc::new(Reporter::new(about, socket));
        Self { control, snapshot: None, asks: Asks::default(), reporter }
    }
}
