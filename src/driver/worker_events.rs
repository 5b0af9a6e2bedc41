//! Takes in what workers say and do.

use serde_json::value::RawValue;
use tracing::{debug, warn};

use crate::core::{Audience, Event, InstanceId, ListenAddress, Moment};
use crate::node::cluster::News;
use crate::node::ipc::UserHandle;

use super::exec_results::Begun;
use super::state::{DirectChannel, DirectChannelUse, Driver};
use super::worker_messages::{self, Said, Way};

impl Driver {
    pub(super) fn worker_news(&mut self, now: Moment, news: News) {
        match news {
            News::Online { instance } => {
                let pid = self.pid(instance);
                self.say(now, instance, &worker_messages::foreign_properties(pid));
                if let Some(process) = self.children.get_mut(&instance) {
                    // The descriptor that would tell otherwise is closed.
                    process.begun = Begun::Yes;
                }
                let _ = self.reserve.refill();
                self.handle(now, Event::Online(instance));
            }
            News::Listening { instance, endpoint, address } => {
                self.handle(now, Event::Listening(instance, endpoint, ListenAddress::new(address.get())));
            }
            News::Closed { instance, endpoint, closing } => self.closes(now, instance, endpoint, closing),
            News::BindFailed { instance, endpoint, error, obstacle } => {
                self.refused(now, instance, endpoint, &error, &obstacle);
            }
            News::Asks { instance, endpoint } => self.handle(now, Event::AsksToListen(instance, endpoint)),
            News::MayBind { instance, request } => self.ask_to_bind(now, instance, &request),
            News::Said { instance, message, handle } => self.understand(now, instance, &message, handle),
            News::Leaving { instance } => self.handle(now, Event::Leaving(instance)),
            // Of a process that could not run Node; its end says so.
            News::Left { instance } if self.is_unstarted(instance) => {}
            News::Left { instance } => self.handle(now, Event::Left(instance)),
            News::Broken { instance, reason } => {
                self.handle(now, Event::Broken(instance, reason.to_string()))
            }
            News::Refusing { instance } => {
                let (wid, pid) = self.name(instance);
                warn!(
                    event = "refusing",
                    wid,
                    pid,
                    "worker {wid} (pid {pid}) cannot take connections: it is likely out of descriptors (ulimit -n); \
                     they go to other workers"
                );
            }
            News::Flooding { instance } => {
                let (wid, pid) = self.name(instance);
                warn!(
                    event = "flooding",
                    wid,
                    pid,
                    "worker {wid} (pid {pid}) is flooding its channel with messages; reading it more slowly"
                );
            }
        }
    }

    /// Says once that workers run a Node that is too old.
    fn warn_of_node(&mut self, version: &str) {
        if !std::mem::replace(&mut self.is_node_warned_of, true) {
            let node = self.launcher.node.display();
            warn!(
                event = "old_node",
                version,
                "workers run Node.js {version} ({node}), which is older than luster supports: whether all of it works there \
                 has not been tried; use Node.js 16 or newer"
            );
        }
    }

    fn is_unstarted(&mut self, instance: InstanceId) -> bool {
        self.children.get_mut(&instance).is_some_and(|process| process.begun.settle().is_some())
    }

    /// Notes that a process uses its direct channel; false if it has none, or had said so before.
    fn adopts_direct_channel(&mut self, instance: InstanceId) -> bool {
        let Some(process) = self.children.get_mut(&instance) else { return false };
        let adopts =
            process.direct != DirectChannel::No && process.direct_channel_use == DirectChannelUse::None;
        if adopts {
            process.direct_channel_use = DirectChannelUse::Begun;
        }
        adopts
    }

    fn understand(
        &mut self,
        now: Moment,
        instance: InstanceId,
        message: &RawValue,
        handle: Option<UserHandle>,
    ) {
        match worker_messages::parse(message) {
            Said::Suspended => self.handle(now, Event::Suspended(instance)),
            Said::Leaving => {
                // Before it closes its servers, so that its listeners wait for its successor.
                self.cluster.drain(instance);
                self.handle(now, Event::Leaving(instance));
            }
            Said::Bound { id, errno } => self.has_bound(now, instance, (id, errno), handle),
            Said::LivesOn => {
                self.cluster.lives_on(instance);
                self.handle(now, Event::LivesOn(instance));
            }
            Said::LastWords(words) => self.handle(now, Event::LastWords(instance, words)),
            Said::OldNode(version) => self.warn_of_node(&version),
            Said::Drained => self.handle(now, Event::Drained(instance)),
            Said::Event { name, way } => {
                let (wid, pid) = self.name(instance);
                debug!(event = "worker_event", wid, pid, name, "worker {wid} (pid {pid}) reports {name:?}");
                match (name == "ready", way) {
                    (true, Way::Channel) => self.handle(now, Event::SaidReady(instance, Audience::Luster)),
                    (true, Way::DirectChannel) => {
                        self.handle(now, Event::SaidReady(instance, Audience::HostToo));
                    }
                    (false, Way::Channel) => self.host.pass_on(instance, message, handle, now),
                    // It has been told by the direct channel.
                    (false, Way::DirectChannel) => {}
                }
            }
            Said::Call(name) if self.host.attends() => {
                debug!(event = "call", name, "a worker calls {name:?}");
                // First, so that the answer goes by the direct channel, however long it is.
                self.open_direct_channel(now, instance);
                self.host.pass_on(instance, message, handle, now);
            }
            Said::Call(name) => {
                let (wid, pid) = self.name(instance);
                debug!(
                    event = "unknown_command",
                    wid,
                    pid,
                    name,
                    "worker {wid} (pid {pid}) calls {name:?}, which nothing on the master has registered"
                );
            }
            Said::LineOpen if self.adopts_direct_channel(instance) => {
                let health = self.host.pass_on_surely(instance, message, now);
                self.check_host_health(now, health);
            }
            Said::LineOpen => {}
            // A handle sent along is closed by being dropped if there is nobody to give it to.
            Said::Internal | Said::Foreign => self.host.pass_on(instance, message, handle, now),
        }
    }
}
