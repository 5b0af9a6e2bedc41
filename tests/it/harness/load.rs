//! Clients that make requests until told to stop, and count every outcome.
//!
//! A connection the server announced to close (`Connection: close`) is left; any other end of a connection while a
//! request is on its way is a failure. Nothing is retried.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Connection, Target, eventually};

/// What a client rests between two requests; a pace, nothing waits for it. Without it the clients take both cores of a
/// small machine from the workers that are to be started under their load; the usual sixteen of them make up to 3000 requests
/// in a second, so that there are some at every moment of a rollout.
const PACE: Duration = Duration::from_millis(5);

/// What clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    pub(crate) clients: usize,
    pub(crate) connections: Connections,
    /// Bytes of the request's body; 0 is a GET.
    pub(crate) body: usize,
    pub(crate) path: &'static str,
    /// How long each client does nothing between two requests, in ms: from, to.
    pub(crate) pause: (u64, u64),
}

/// How long a connection lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connections {
    KeepAlive,
    OnePerRequest,
}

impl Style {
    pub(crate) const KEEP_ALIVE: Self =
        Self { clients: 8, connections: Connections::KeepAlive, body: 0, path: "/", pause: (0, 0) };
    pub(crate) const NEW: Self = Self { connections: Connections::OnePerRequest, ..Self::KEEP_ALIVE };

    pub(crate) const fn posting(self, body: usize) -> Self {
        Self { body, ..self }
    }

    /// So many clients, with pauses.
    pub(crate) const fn pausing(self, clients: usize, from: u64, to: u64) -> Self {
        Self { clients, pause: (from, to), ..self }
    }

    pub(crate) const fn to(self, path: &'static str) -> Self {
        Self { path, ..self }
    }
}

/// A load under way.
#[derive(Debug)]
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

/// What became of it.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) answered: usize,
    pub(crate) failures: Vec<String>,
}

impl Load {
    pub(crate) fn begin(target: &Target, style: Style) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let client = || {
            let (target, stop, answered) = (target.clone(), stop.clone(), answered.clone());
            std::thread::spawn(move || run(&target, style, &stop, &answered))
        };
        let clients = (0..style.clients).map(|_| client()).collect();
        Self { stop, answered, clients }
    }

    pub(crate) fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Waits until so many more requests have been answered.
    #[track_caller]
    pub(crate) fn await_answers(&self, more: usize) {
        let goal = self.answered() + more;
        eventually("requests are answered", || (self.answered() >= goal).then_some(()));
    }

    /// Ends it: every request that was begun has been answered.
    #[track_caller]
    pub(crate) fn end_without_a_failure(self) {
        let report = self.end();
        assert!(report.failures.is_empty(), "{report:?}");
        assert!(report.answered > 0, "no request was answered");
    }

    pub(crate) fn end(self) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        let failures = self.clients.into_iter().flat_map(|client| client.join().expect("no panic")).collect();
        Report { answered: self.answered.load(Ordering::Relaxed), failures }
    }
}

fn run(target: &Target, style: Style, stop: &AtomicBool, answered: &AtomicUsize) -> Vec<String> {
    let mut failures = Vec::new();
    let mut connection: Option<Connection> = None;
    let body = vec![b'x'; style.body];
    let method = if style.body == 0 { "GET" } else { "POST" };
    let close = match style.connections {
        Connections::KeepAlive => "",
        Connections::OnePerRequest => "\r\nConnection: close",
    };
    let (from, to) = style.pause;
    // Any spread does; it differs from client to client by the thread's own start.
    let mut seed =
        std::process::id().wrapping_add(std::time::UNIX_EPOCH.elapsed().map_or(0, |it| it.subsec_nanos()));
    let mut pause = std::iter::from_fn(|| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some(Duration::from_millis(from + u64::from(seed >> 8) % (to - from + 1)))
    });
    let head = format!("{method} {} HTTP/1.1{close}", style.path);
    while !stop.load(Ordering::Relaxed) && failures.len() < 100 {
        let reused = connection.is_some();
        std::thread::sleep(pause.next().unwrap_or_default());
        let outcome = match connection.take() {
            Some(open) => Ok(open),
            None => Connection::open(target),
        };
        let outcome = outcome.and_then(|mut open| Ok((open.request(&head, &body)?, open)));
        match outcome {
            Ok((reply, open)) if reply.status == 200 => {
                std::thread::sleep(PACE);
                answered.fetch_add(1, Ordering::Relaxed);
                connection = (!reply.closes && style.connections == Connections::KeepAlive).then_some(open);
            }
            Ok((reply, _)) => failures.push(format!("{reply:?}")),
            Err(error) => failures.push(format!("{error} (connection used before: {reused})")),
        }
    }
    failures
}
