//! What becomes of workers' requests to listen: refusals and who is in the way, ports that a worker binds for us, servers closed.

use std::io;

use nix::errno::Errno;
use tracing::{debug, info};

use crate::core::{Closing, Endpoint, Event, ExitStatus, InstanceId, Moment};
use crate::node::cluster::{BindRequest, Obstacle};
use crate::node::ipc::{SendOutcome, UserHandle};

use super::port_holder::Answer;
use super::state::Driver;
use super::{translate, worker_messages};

impl Driver {
    pub(super) fn closes(&mut self, now: Moment, instance: InstanceId, endpoint: Endpoint, closing: Closing) {
        let ((wid, pid), on) = (self.name(instance), endpoint.to_string());
        debug!(event = "closed", wid, pid, on, "worker {wid} (pid {pid}) stopped listening on {on}");
        self.handle(now, Event::Closed(instance, endpoint, closing));
    }

    pub(super) fn refused(
        &mut self,
        now: Moment,
        instance: InstanceId,
        endpoint: Endpoint,
        error: &io::Error,
        obstacle: &Obstacle,
    ) {
        let refusal = translate::refusal(endpoint, error, obstacle);
        self.port_holders.begin(instance, &refusal, obstacle);
        self.handle(now, Event::Refused(instance, refusal));
    }

    /// Asks a worker to bind what we may not.
    pub(super) fn ask_to_bind(&mut self, now: Moment, instance: InstanceId, request: &BindRequest) {
        match self.cluster.send_surely(instance, &worker_messages::bind(request), now) {
            SendOutcome::Taken => {}
            SendOutcome::Full
            | SendOutcome::Reserved
            | SendOutcome::TooLong
            | SendOutcome::Unserializable
            | SendOutcome::Unreachable => self.bound(now, instance, request.id(), Err(Errno::EACCES as i32)),
        }
    }

    /// A worker answers to that.
    pub(super) fn has_bound(
        &mut self,
        now: Moment,
        instance: InstanceId,
        (id, errno): (u32, Option<i32>),
        handle: Option<UserHandle>,
    ) {
        let outcome = match (errno, handle) {
            (Some(errno), _) => Err(errno),
            (None, Some(socket)) => Ok(socket),
            // It was lost on the way: one of us is out of descriptors.
            (None, None) => Err(Errno::EMFILE as i32),
        };
        self.bound(now, instance, id, outcome);
    }

    /// A worker has bound what we may not, or could not either.
    fn bound(&mut self, now: Moment, instance: InstanceId, id: u32, outcome: Result<UserHandle, i32>) {
        let mut news = Vec::new();
        self.cluster.bound(instance, id, outcome, now, &mut news);
        for item in news {
            self.worker_news(now, item);
        }
    }

    /// Somebody has looked for who has an address that was refused.
    pub(super) fn hear_of_owner(&mut self, now: Moment, (case, owner): Answer) {
        let Some(refusal) = self.port_holders.close(&case) else { return };
        let worker = |pid: i32| {
            self.children
                .values()
                .find(|process| process.child.pid().as_raw() == pid)
                .map(|process| process.spawn.worker)
        };
        let refusal = match &owner {
            Some(owner) => translate::refusal_by(refusal, owner, worker),
            None => refusal,
        };
        let instance = case.0;
        self.handle(now, Event::Refused(instance, refusal));
        if let Some(ending) = self.port_holders.release(instance) {
            self.exited(now, instance, ending);
        }
    }

    /// Tells the end of those for whose sake nobody can be waited for any longer.
    pub(super) fn tell_overdue_ends(&mut self, now: Moment) {
        for instance in self.port_holders.overdue(now) {
            for refusal in self.port_holders.close_all_of(instance) {
                self.handle(now, Event::Refused(instance, refusal));
            }
            if let Some(ending) = self.port_holders.release(instance) {
                self.exited(now, instance, ending);
            }
        }
    }

    /// A worker's process is gone, and everything it was refused has been told.
    pub(super) fn exited(&mut self, now: Moment, instance: InstanceId, ending: ExitStatus) {
        self.handle(now, Event::Exited(instance, ending));
        self.children.remove(&instance);
    }

    /// The end: who waits on what the service manager keeps waits for the next luster.
    pub(super) fn tell_kept(&mut self) {
        let kept = self.cluster.close_all_but_kept();
        if !kept.is_empty() {
            let on = kept.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            info!(
                event = "store_kept",
                on, "the service manager keeps {on} open until luster is started again"
            );
        }
    }
}
