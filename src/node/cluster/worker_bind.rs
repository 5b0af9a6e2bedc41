//! Ports that luster may not bind and its worker perhaps may: a Node with `cap_net_bind_service`, under an ordinary user. The
//! worker that asks for such a port is asked back to bind it and send the socket, which is ours from then on.
//!
//! Invariants: a socket is taken only from whom it was asked of, and only if it is bound where it should be; every request
//! is answered, whatever becomes of the worker that binds; one worker binds a place, the others wait for what comes of it.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;

use crate::core::{InstanceId, Moment};
use crate::listen::{self, BoundSocket, Transport};
use crate::node::cluster::bind_request::{BindRequest, Binding};
use crate::node::cluster::listener_id::ListenerId;
use crate::node::cluster::query::{ListenRequest, Target};
use crate::node::cluster::{Cluster, News};
use crate::node::ipc::UserHandle;

/// How long a worker may take to bind.
const LIMIT: Duration = Duration::from_secs(10);

/// How many places one worker may be binding at a time.
const MOST: usize = 64;

impl Cluster {
    /// Has a request wait if somebody is just binding what it wants; else gives it back.
    pub(super) fn wait_for_binding(
        &mut self,
        instance: InstanceId,
        ask: ListenRequest,
        news: &mut Vec<News>,
    ) -> Option<ListenRequest> {
        let Ok(target) = &ask.target else { return Some(ask) };
        let most = self.most_listeners;
        let same = |binding: &&mut Binding| {
            binding.ask.target.as_ref().is_ok_and(|other| other.share == target.share)
                && binding.waiting.len() < most
        };
        match self.bindings.iter_mut().find(same) {
            Some(binding) => {
                news.push(News::Asks { instance, endpoint: target.share.endpoint() });
                binding.waiting.push((instance, ask));
                None
            }
            None => Some(ask),
        }
    }

    /// Has the worker bind what we may not; gives the request back if that is out of the question.
    pub(super) fn have_it_bound(
        &mut self,
        instance: InstanceId,
        ask: ListenRequest,
        errno: Errno,
        now: Moment,
        news: &mut Vec<News>,
    ) -> Option<ListenRequest> {
        let id = self.next_binding;
        let Ok(target) = &ask.target else { return Some(ask) };
        let request = BindRequest::of(&target.share.place, target.options.reuse, id);
        let (Errno::EACCES | Errno::EPERM, Some(request)) = (errno, request) else { return Some(ask) };
        if self.bindings.iter().filter(|binding| binding.instance == instance).count() >= MOST {
            return Some(ask);
        }
        news.push(News::Asks { instance, endpoint: target.share.endpoint() });
        self.next_binding += 1;
        let until = now.after(LIMIT);
        self.wake_timer.set(until);
        self.bindings.push(Binding { id, instance, ask, until, waiting: Vec::new() });
        news.push(News::MayBind { instance, request });
        None
    }

    /// A worker answers: with the socket, or with the error that it got.
    pub fn bound(
        &mut self,
        instance: InstanceId,
        id: u32,
        outcome: Result<UserHandle, i32>,
        now: Moment,
        news: &mut Vec<News>,
    ) {
        let Some(at) =
            self.bindings.iter().position(|binding| binding.id == id && binding.instance == instance)
        else {
            return;
        };
        let binding = self.bindings.swap_remove(at);
        let outcome = outcome.map_err(errno_of);
        self.conclude(binding, outcome.map(UserHandle::into_socket), now, news);
    }

    /// Ends what has waited too long, or for somebody who is gone.
    pub(super) fn end_overdue_bindings(&mut self, now: Moment, news: &mut Vec<News>) {
        let (due, open): (Vec<_>, _) =
            std::mem::take(&mut self.bindings).into_iter().partition(|binding| binding.until <= now);
        self.bindings = open;
        if let Some(next) = self.bindings.iter().map(|binding| binding.until).min() {
            self.wake_timer.set(next);
        }
        for binding in due {
            self.conclude(binding, Err(Errno::EACCES), now, news);
        }
    }

    /// An instance that is gone binds nothing any more; those who wait for it ask again.
    pub(super) fn forget_bindings(&mut self, instance: InstanceId) {
        for binding in &mut self.bindings {
            binding.waiting.retain(|(whose, _)| *whose != instance);
            if binding.instance == instance {
                binding.until = Moment(0);
                self.wake_timer.set(Moment(0));
            }
        }
    }

    fn conclude(
        &mut self,
        binding: Binding,
        outcome: Result<OwnedFd, Errno>,
        now: Moment,
        news: &mut Vec<News>,
    ) {
        let Binding { instance, ask, waiting, .. } = binding;
        let adopted = match (&ask.target, outcome) {
            (Ok(target), Ok(socket)) => self.adopt(instance, target.clone(), &ask, socket, now),
            (_, Err(errno)) => Err(errno),
            (Err(_), Ok(_)) => Err(Errno::EINVAL),
        };
        match adopted {
            Ok(id) => {
                self.asked(instance, ask, now, news);
                // Should it be gone meanwhile.
                self.close_if_unwanted(id);
            }
            Err(errno) => self.refuse(instance, ask, errno, now, news),
        }
        for (instance, ask) in waiting {
            self.asked(instance, ask, now, news);
        }
    }

    /// Makes a listener of a socket that a worker has bound.
    fn adopt(
        &mut self,
        instance: InstanceId,
        target: Target,
        ask: &ListenRequest,
        socket: OwnedFd,
        now: Moment,
    ) -> Result<ListenerId, Errno> {
        let slot = self.workers.get(&instance).ok_or(Errno::ESRCH)?.slot;
        match listen::is_bound_as(&socket, &target.share.place)? {
            Transport::Stream => listen::listen(socket.as_fd(), target.options.backlog)?,
            Transport::Datagram => {}
        }
        let id = self.install_alone(slot, target, &ask.data, BoundSocket::without_file(socket), now)?;
        self.keep_sockets(id);
        Ok(id)
    }
}

/// What a worker says is no more than that: an error the kernel does not have would crash whoever is told of it.
fn errno_of(said: i32) -> Errno {
    match Errno::from_raw(said.saturating_abs()) {
        Errno::UnknownErrno => Errno::EINVAL,
        errno => errno,
    }
}
