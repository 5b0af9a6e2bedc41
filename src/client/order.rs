//! Has something done, waits for what comes of it, and says that.
//!
//! Invariants: the exit code says what the answer says; who stops waiting stops nothing.

use std::future::pending;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use hyper::StatusCode;
use serde_json::Value;
use tokio::io::unix::AsyncFd;
use tokio::time::{sleep, timeout};

use super::connection::{Connection, Reply};
use super::error::ClientError;
use super::form::Form;
use super::progress::{Progress, Shown, Where};
use super::sys::watch;
use super::words::plain_lines;
use crate::cli;
use crate::control::schema::{Answer, Goal, Outcome, Reason, Status};
use crate::exit::Exit;
use crate::process::{self, Pid};

/// How long a master that has said nothing may take to end until it is asked how it stands.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What is to be done.
#[derive(Debug)]
pub(crate) struct Order {
    /// Its path below `/v1/`.
    pub(crate) path: &'static str,
    /// What the path takes.
    pub(crate) body: Value,
    /// What it is called: `the reload`.
    pub(crate) name: &'static str,
    /// What is shown meanwhile.
    pub(crate) shown: Shown,
    /// What it is over with.
    pub(crate) over: CompletionSource,
}

impl Order {
    /// What is wrong, with what may have been meant.
    pub(super) fn explain(&self, error: ClientError) -> ClientError {
        match error {
            ClientError::NotRunning(why) if self.path == "start" => {
                let (first, rest) = why.split_once('\n').unwrap_or((&why, ""));
                let hint = "(luster CONFIG starts one; this command starts workers of one that runs)";
                ClientError::NotRunning(format!("{first} {hint}\n{rest}").trim_end().to_owned())
            }
            other => other,
        }
    }
}

/// What an order is over with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CompletionSource {
    /// The answer.
    Answer,
    /// The end of luster's process.
    Process,
}

/// How long to wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Not at all.
    No,
    /// Until it is over, or so long at most.
    ForOutcome(Option<Duration>),
}

/// How waiting ended.
enum Waited {
    Reply(Result<Reply, ClientError>),
    Interrupted,
    TimedOut(Duration),
}

/// Has it done.
pub(super) async fn carry_out(
    mut connection: Connection,
    order: &Order,
    wait: Wait,
    form: Form,
    place: Where,
) -> Result<Exit, ClientError> {
    let (query, limit) = match wait {
        Wait::No => ("?wait=false", None),
        Wait::ForOutcome(limit) => ("", limit),
    };
    // Before it is asked: afterwards it may be gone, and its number another's.
    let end = match (order.over, wait) {
        (CompletionSource::Process, Wait::ForOutcome(_)) => end_of(connection.pid)?,
        (CompletionSource::Process, Wait::No) | (CompletionSource::Answer, _) => None,
    };
    let asked = connection.post(&format!("/v1/{}{query}", order.path), order.body.to_string());
    let socket = connection.socket.clone();
    let over = async {
        match (&end, asked.await) {
            (Some(end), Ok(reply)) if reply.code == StatusCode::OK => {
                // A pidfd that cannot be awaited has nothing more to tell.
                drop(end.readable().await);
                Ok(reply)
            }
            (Some(end), Err(gone @ ClientError::Gone { .. })) => {
                ends(end, &socket).await?;
                Err(gone)
            }
            (_, reply) => reply,
        }
    };
    let mut progress = Progress::new(order.shown, place);
    let too_late = async {
        match limit {
            Some(limit) => {
                sleep(limit).await;
                limit
            }
            None => pending().await,
        }
    };
    let waited = tokio::select! {
        biased;
        reply = over => Waited::Reply(reply),
        _ = tokio::signal::ctrl_c() => Waited::Interrupted,
        limit = too_late => Waited::TimedOut(limit),
        () = progress.follow(&connection.socket) => Waited::Interrupted,
    };
    progress.clear();
    match waited {
        // It was asked to end, and has.
        Waited::Reply(Err(ClientError::Gone { .. })) if end.is_some() => {
            Ok(cli::print(&format!("luster (pid {}) has ended\n", connection.pid)))
        }
        Waited::Reply(reply) => conclude(&connection, &reply?, form),
        Waited::Interrupted => Ok(left_behind(order, &progress, "no longer waiting", Exit::Interrupted)),
        Waited::TimedOut(limit) => {
            let why = format!("not over within {} s", limit.as_secs_f64());
            Ok(left_behind(order, &progress, &why, Exit::TimedOut))
        }
    }
}

/// What becomes readable when that process ends; nothing if it cannot be seen from here.
fn end_of(pid: i32) -> Result<Option<AsyncFd<OwnedFd>>, ClientError> {
    let Some(end) = Pid::new(pid).and_then(|pid| process::watch_end(pid).ok()) else { return Ok(None) };
    let watched = watch(end);
    watched.map(Some).map_err(|error| ClientError::System(format!("pid {pid} cannot be watched: {error}")))
}

/// Waits for the end of a master that has closed the connection without an answer; it is an error if that goes on: what was asked
/// has not reached it.
async fn ends(end: &AsyncFd<OwnedFd>, socket: &Path) -> Result<(), ClientError> {
    while timeout(LOOK_AGAIN, end.readable()).await.is_err() {
        let status = async { Connection::open(socket).await?.status().await };
        match status.await {
            Ok((Status { goal: Goal::Stopping, .. }, _)) => {}
            // It is about to be gone.
            Err(ClientError::NobodyListens(..) | ClientError::Gone { .. } | ClientError::Silent { .. }) => {}
            Ok(_) => {
                let why = "it has closed the connection without an answer, and goes on";
                return Err(ClientError::NotUnderstood(socket.to_owned(), why.to_owned()));
            }
            Err(refusal) => return Err(refusal),
        }
    }
    Ok(())
}

fn left_behind(order: &Order, progress: &Progress, why: &str, exit: Exit) -> Exit {
    let far = progress.last.as_ref().map(|last| format!(" ({last})")).unwrap_or_default();
    cli::complain(&format!("luster: {why}: {} goes on{far}; luster status shows how far it is", order.name));
    exit
}

fn conclude(connection: &Connection, reply: &Reply, form: Form) -> Result<Exit, ClientError> {
    let answer = connection.answer(reply)?;
    let exit = exit_of(&answer);
    if let (Form::Text(_), Exit::Permission | Exit::Busy) = (form, exit) {
        return Err(connection.refused(reply));
    }
    match (form, exit) {
        (Form::Json, _) => match cli::print(&String::from_utf8_lossy(&reply.body)) {
            Exit::Stopped => {}
            failed => return Ok(failed),
        },
        (Form::Text(_), Exit::Stopped) => return Ok(cli::print(&(plain_lines(&answer.message) + "\n"))),
        (Form::Text(_), _) => cli::complain(&format!("luster: {}", plain_lines(&answer.message))),
    }
    Ok(exit)
}

/// What an answer means for the one who asked.
fn exit_of(answer: &Answer) -> Exit {
    match (answer.outcome, answer.reason) {
        (Outcome::Done | Outcome::Accepted, _) => Exit::Stopped,
        (Outcome::TakenBack | Outcome::Aborted | Outcome::Overruled, _) => Exit::NotDone,
        (Outcome::Refused | Outcome::Unknown, reason) => match reason {
            Some(Reason::Configuration) => Exit::Config,
            Some(
                Reason::UnknownWorker
                | Reason::UnknownApp
                | Reason::OutOfRange
                | Reason::BadRequest
                | Reason::TooLarge,
            ) => Exit::Usage,
            Some(Reason::Busy) => Exit::Busy,
            Some(Reason::Forbidden) => Exit::Permission,
            // An older luster, or another one.
            Some(Reason::Internal | Reason::NotFound | Reason::MethodNotAllowed) => Exit::Internal,
            Some(Reason::ScriptDecides | Reason::Stopping | Reason::Unknown) | None => Exit::NotDone,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_has_the_exit_code_that_says_the_same() {
        let answer = |outcome, reason| Answer::new(outcome, reason, String::new());
        for (outcome, reason, code) in [
            (Outcome::Done, None, 0),
            (Outcome::Accepted, None, 0),
            (Outcome::TakenBack, None, 20),
            (Outcome::Aborted, None, 20),
            (Outcome::Overruled, None, 20),
            (Outcome::Refused, Some(Reason::Stopping), 20),
            (Outcome::Refused, Some(Reason::Configuration), 78),
            (Outcome::Refused, Some(Reason::UnknownWorker), 2),
            (Outcome::Refused, Some(Reason::Busy), 75),
            (Outcome::Refused, Some(Reason::Forbidden), 77),
            (Outcome::Refused, Some(Reason::Internal), 70),
            (Outcome::Unknown, None, 20),
        ] {
            assert_eq!(exit_of(&answer(outcome, reason)).code(), code, "{outcome:?} {reason:?}");
        }
    }
}
