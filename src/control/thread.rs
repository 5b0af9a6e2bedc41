//! The thread that serves the control socket. At rest it waits in one system call, and holds nothing but its stack.
//!
//! Invariants: it takes no signal; it starts no process; the loop waits for it only at the end, and then not for long.

use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};
use nix::sys::socket::{MsgFlags, recv};
use tokio::io::AsyncReadExt;
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;
use tracing::warn;

use super::call::Call;
use super::events::Lines;
use super::peer::Access;
use super::routes::Routes;
use super::server::{Server, ThreadEnd};
use super::status::{About, StatusDesk};

/// The thread's stack. Little of it is ever touched.
const STACK: usize = 512 << 10;

/// How long the end of luster waits for what is still being answered.
const END_PATIENCE: Duration = Duration::from_secs(1);

/// After a failure to wake up, which is a lack of descriptors or memory, so long is waited.
const PAUSE: Duration = Duration::from_secs(1);

/// What the thread works with.
#[derive(Debug)]
pub(super) struct ThreadState {
    pub(super) listener: UnixListener,
    pub(super) access: Access,
    pub(super) about: Arc<About>,
    pub(super) calls: mpsc::Sender<Call>,
    pub(super) lines: fn() -> Lines,
    pub(super) rest: fn(),
}

/// The thread, as the loop holds it.
#[derive(Debug)]
pub(super) struct Thread {
    /// A byte if the socket is elsewhere from now on, closed at the end: the thread sees both at its own.
    end: UnixStream,
    over: std::sync::mpsc::Receiver<()>,
}

impl Thread {
    /// Starts it.
    pub(super) fn start(work: ThreadState) -> io::Result<Self> {
        let (end, theirs) = UnixStream::pair()?;
        theirs.set_nonblocking(true)?;
        let (alive, over) = sync_channel(0);
        // It begins with the mask that we have at that moment, so that not even its first instructions take a signal.
        let mut before = SigSet::empty();
        pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&SigSet::all()), Some(&mut before))?;
        let started = thread::Builder::new()
            .name("control".into())
            .stack_size(STACK)
            .spawn(move || run(&work, &theirs, alive));
        pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
        started?;
        Ok(Self { end, over })
    }

    /// Has it answer whoever has connected, however long that takes, and nobody else: its socket has no name any more.
    pub(super) fn retire(&self) {
        // It is empty, so this neither waits nor fails.
        let _ = (&self.end).write_all(b"r");
    }

    /// Whether there is nothing left that it has to answer.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.over.try_recv(), Err(TryRecvError::Disconnected))
    }

    /// Has it answer what it has begun to, and waits for that, for a short time.
    pub(super) fn finish(self) {
        drop(self.end);
        match self.over.recv_timeout(END_PATIENCE) {
            Ok(()) | Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => {}
        }
    }
}

fn run(work: &ThreadState, end: &UnixStream, alive: SyncSender<()>) {
    loop {
        let woken = wait(&work.listener, end);
        if woken == Woken::End {
            break;
        }
        match awake(work, end) {
            Ok(ThreadEnd::Quiet) => (work.rest)(),
            Ok(ThreadEnd::Ended) => break,
            Err(_) if woken == Woken::Retired => break,
            Err(error) => {
                warn!(event = "control_socket", "the control socket is not served for a while: {error}");
                thread::sleep(PAUSE); // nothing tells when there are descriptors or memory again
            }
        }
    }
    // Whoever waits for us sees it dropped.
    drop(alive);
}

/// What ended the wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Woken {
    Somebody,
    /// Those are the last.
    Retired,
    End,
}

fn wait(listener: &UnixListener, end: &UnixStream) -> Woken {
    loop {
        let mut both =
            [PollFd::new(listener.as_fd(), PollFlags::POLLIN), PollFd::new(end.as_fd(), PollFlags::POLLIN)];
        match poll(&mut both, PollTimeout::NONE) {
            Ok(_) if both[1].any() == Some(true) => {
                let is_word = recv(end.as_raw_fd(), &mut [0], MsgFlags::MSG_PEEK) == Ok(1);
                return if is_word { Woken::Retired } else { Woken::End };
            }
            Ok(_) => return Woken::Somebody,
            Err(Errno::EINTR) => {}
            Err(_) => return Woken::End,
        }
    }
}

/// Serves until there is nobody for a while.
fn awake(work: &ThreadState, end: &UnixStream) -> io::Result<ThreadEnd> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let over = LocalSet::new().block_on(&runtime, async {
        let listener = tokio::net::UnixListener::from_std(work.listener.try_clone()?)?;
        let mut end = tokio::net::UnixStream::from_std(end.try_clone()?)?;
        let ((sender, ended), (last_sender, last)) = (watch::channel(false), watch::channel(false));
        let status = StatusDesk::new(work.calls.clone(), work.about.clone());
        let routes = Routes {
            status: Rc::new(status),
            calls: work.calls.clone(),
            lines: work.lines,
            ended: ended.clone(),
        };
        let access = work.access.clone();
        let mut server = Server { routes: Rc::new(routes), access, ended, last, told: None };
        let told_end = async {
            let retired = matches!(end.read(&mut [0]).await, Ok(1));
            let _ = sender.send(true);
            if retired {
                let _ = end.read(&mut [0]).await;
            }
            let _ = last_sender.send(true);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            over = server.serve(&listener) => Ok(over),
            () = told_end => Ok(ThreadEnd::Ended),
        }
    });
    // What could still run has nobody that waits for it.
    runtime.shutdown_background();
    over
}
