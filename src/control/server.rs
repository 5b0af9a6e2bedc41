//! Accepts connections and answers their requests, until there has been none for a while or luster ends.
//!
//! Invariants: there are so many connections at most, and whoever comes besides is told so; nobody is waited for without a
//! deadline.

use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::task::Poll::Ready;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::warn;

use super::answer::{refused, unread};
use super::body::Answering;
use super::paced::{Pace, Paced};
use super::peer::{Access, Admission, Peer};
use super::routes::Routes;
use super::schema::{Answer, Reason};

/// How many connections there are at most.
const MOST_CONNECTIONS: usize = 64;

/// The longest head of a request, in bytes.
const LONGEST_HEAD: usize = 16 << 10;

/// How long there is nobody before the thread goes to sleep, which gives back what it needs awake.
const QUIET: Duration = Duration::from_secs(10);

/// How long one who is turned away may take to read why.
const GOODBYE: Duration = Duration::from_secs(1);

/// How long what is being answered may take once luster ends.
const END_PATIENCE: Duration = Duration::from_millis(900);

/// Somebody who may not ask is told of in the log at most so often.
const STRANGERS_TOLD: Duration = Duration::from_secs(60);

/// After a failure to accept, which is a lack of descriptors or memory, so long is waited.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What connections are served with.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) routes: Rc<Routes>,
    pub(super) access: Access,
    /// Whether nobody else is to be answered.
    pub(super) ended: watch::Receiver<bool>,
    /// Whether luster ends, too, so that even they are waited for only so long.
    pub(super) last: watch::Receiver<bool>,
    /// When a stranger was last told of.
    pub(super) told: Option<Instant>,
}

/// Why there are no connections any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ThreadEnd {
    /// Nobody has come for a while.
    Quiet,
    /// luster ends.
    Ended,
}

impl Server {
    /// Serves whoever comes.
    pub(super) async fn serve(&mut self, listener: &UnixListener) -> ThreadEnd {
        let mut connections = JoinSet::new();
        // Those who are turned away.
        let mut leaving = JoinSet::new();
        let mut quiet = Instant::now() + QUIET;
        let mut ended = self.ended.clone();
        loop {
            let is_empty = connections.is_empty() && leaving.is_empty();
            tokio::select! {
                biased;
                _ = ended.wait_for(|ended| *ended) => break,
                Some(_) = connections.join_next() => quiet = Instant::now() + QUIET,
                Some(_) = leaving.join_next() => quiet = Instant::now() + QUIET,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => self.take(stream, &mut connections, &mut leaving),
                    Err(_) => sleep(ACCEPT_PAUSE).await,
                },
                () = sleep_until(quiet), if is_empty => return ThreadEnd::Quiet,
            }
        }
        // Whoever has come before that.
        while let Ready(Ok((stream, _))) = poll_fn(|task| Ready(listener.poll_accept(task))).await {
            self.take(stream, &mut connections, &mut leaving);
        }
        self.finish(connections).await;
        ThreadEnd::Ended
    }

    /// Each ends by itself when what it is answering is answered.
    async fn finish(&self, mut connections: JoinSet<()>) {
        let mut last = self.last.clone();
        tokio::select! {
            biased;
            () = async { while connections.join_next().await.is_some() {} } => return,
            _ = last.wait_for(|last| *last) => {}
        }
        let _ = timeout(END_PATIENCE, connections.join_all()).await;
    }

    fn take(&mut self, stream: UnixStream, connections: &mut JoinSet<()>, leaving: &mut JoinSet<()>) {
        let why_not = match self.access.admit(&stream.as_fd()) {
            Admission::Granted(peer) if connections.len() < MOST_CONNECTIONS => {
                connections.spawn_local(connection(stream, peer, self.routes.clone(), self.ended.clone()));
                return;
            }
            Admission::Granted(_) => {
                let message = format!("there are {MOST_CONNECTIONS} connections already; ask again");
                refused(Reason::Busy, message)
            }
            Admission::Denied(peer) => {
                self.tell(peer);
                refused(Reason::Forbidden, "only luster's own user, root, and control.group may ask here")
            }
        };
        // One who comes in a crowd is left to find out.
        if leaving.len() < MOST_CONNECTIONS {
            leaving.spawn_local(turn_away(stream, why_not));
        }
    }

    fn tell(&mut self, Peer { pid, uid }: Peer) {
        if self.told.is_some_and(|told| told.elapsed() < STRANGERS_TOLD) {
            return;
        }
        self.told = Some(Instant::now());
        warn!(
            event = "control_refused",
            uid, pid, "process {pid} of user {uid} may not use the control socket and was refused"
        );
    }
}

/// Serves one connection to its end.
async fn connection(stream: UnixStream, peer: Peer, routes: Rc<Routes>, mut ended: watch::Receiver<bool>) {
    let pace = Pace::new();
    let io = TokioIo::new(Paced::new(stream, pace.clone()));
    let overdue = pace.clone().overdue();
    let service = service_fn(move |request| {
        pace.begin_answer();
        let (routes, pace) = (routes.clone(), pace.clone());
        async move {
            let response = routes.answer(request, peer).await;
            Ok::<_, io::Error>(response.map(|content| Answering::new(content, pace)))
        }
    });
    let mut http = http1::Builder::new();
    http.max_header_size(LONGEST_HEAD).max_buf_size(2 * LONGEST_HEAD);
    let mut served = std::pin::pin!(http.serve_connection(io, service));
    // How it ended is between the client and itself.
    tokio::select! {
        biased;
        _ = served.as_mut() => return,
        () = overdue => return,
        _ = ended.wait_for(|ended| *ended) => served.as_mut().graceful_shutdown(),
    }
    let _ = served.await;
}

/// Answers without having read anything, and waits for the client to have read that.
async fn turn_away(mut stream: UnixStream, answer: Answer) {
    // An answer that is there before the question is a mistake to many clients, and is lost. It is not read all the same.
    let _ = timeout(GOODBYE, stream.readable()).await;
    let _ = timeout(GOODBYE, async {
        stream.write_all(&unread(&answer)).await?;
        stream.shutdown().await?;
        // What is unread when we close would make the client lose the answer.
        let mut read = [0; 4096];
        while stream.read(&mut read).await? > 0 {}
        Ok::<_, io::Error>(())
    })
    .await;
}
