//! What becomes of workers' wishes to listen: refusals and who is in the way, ports that a worker binds for us, servers closed.

use std::io;

use nix::errno::Errno;
use tracing::debug;

use crate::cluster::{BindRequest, Obstacle};
use crate::ipc::{SendOutcome, UserHandle};
use crate::supervisor::{Closing, Ending, Endpoint, Event, Life, Moment};

use super::hands::Hands;
use super::inquiry::Answer;
use super::{said, translate};

impl Hands {
    pub(super) fn closes(&mut self, now: Moment, life: Life, endpoint: Endpoint, closing: Closing) {
        if let Some(process) = self.children.get_mut(&life) {
            process.past.listening.remove(&endpoint);
        }
        let ((wid, pid), on) = (self.name(life), endpoint.to_string());
        debug!(event = "closed", wid, pid, on, "worker {wid} (pid {pid}) stopped listening on {on}");
        self.handle(now, Event::Closed(life, endpoint, closing));
    }

    pub(super) fn refused(
        &mut self,
        now: Moment,
        life: Life,
        endpoint: Endpoint,
        error: &io::Error,
        obstacle: &Obstacle,
    ) {
        let refusal = translate::refusal(endpoint, error, obstacle);
        self.inquiries.begin(life, &refusal, obstacle);
        self.handle(now, Event::Refused(life, refusal));
    }

    /// Asks a worker to bind what we may not.
    pub(super) fn ask_to_bind(&mut self, now: Moment, life: Life, request: &BindRequest) {
        match self.cluster.send_surely(life, &said::bind(request), now) {
            SendOutcome::Taken => {}
            SendOutcome::Full
            | SendOutcome::Reserved
            | SendOutcome::TooLong
            | SendOutcome::Unserializable
            | SendOutcome::Unreachable => self.bound(now, life, request.id(), Err(Errno::EACCES as i32)),
        }
    }

    /// A worker answers to that.
    pub(super) fn has_bound(
        &mut self,
        now: Moment,
        life: Life,
        (id, errno): (u32, Option<i32>),
        handle: Option<UserHandle>,
    ) {
        let outcome = match (errno, handle) {
            (Some(errno), _) => Err(errno),
            (None, Some(socket)) => Ok(socket),
            // It was lost on the way: one of us is out of descriptors.
            (None, None) => Err(Errno::EMFILE as i32),
        };
        self.bound(now, life, id, outcome);
    }

    /// A worker has bound what we may not, or could not either.
    fn bound(&mut self, now: Moment, life: Life, id: u32, outcome: Result<UserHandle, i32>) {
        let mut news = Vec::new();
        self.cluster.bound(life, id, outcome, now, &mut news);
        for item in news {
            self.hear(now, item);
        }
    }

    /// Somebody has looked for who has an address that was refused.
    pub(super) fn hear_of_owner(&mut self, now: Moment, (case, owner): Answer) {
        let Some(refusal) = self.inquiries.close(&case) else { return };
        let worker = |pid: i32| {
            self.children
                .values()
                .find(|process| process.child.pid().as_raw() == pid)
                .map(|process| process.worker)
        };
        let refusal = match &owner {
            Some(owner) => translate::refusal_by(refusal, owner, worker),
            None => refusal,
        };
        let life = case.0;
        self.handle(now, Event::Refused(life, refusal));
        if let Some(ending) = self.inquiries.release(life) {
            self.exited(now, life, ending);
        }
    }

    /// Tells the end of those for whose sake nobody can be waited for any longer.
    pub(super) fn tell_overdue_ends(&mut self, now: Moment) {
        for life in self.inquiries.overdue(now) {
            for refusal in self.inquiries.close_all_of(life) {
                self.handle(now, Event::Refused(life, refusal));
            }
            if let Some(ending) = self.inquiries.release(life) {
                self.exited(now, life, ending);
            }
        }
    }

    /// A worker's process is gone, and everything it was refused has been told.
    pub(super) fn exited(&mut self, now: Moment, life: Life, ending: Ending) {
        self.handle(now, Event::Exited(life, ending));
        self.children.remove(&life);
    }
}
