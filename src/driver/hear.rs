//! Takes in what workers say and do.

use serde_json::value::RawValue;
use tracing::{debug, warn};

use crate::cluster::News;
use crate::ipc::UserHandle;
use crate::supervisor::{Event, Life, Moment};

use super::begun::Begun;
use super::hands::{Direct, Hands, LineUse, Online, Voluntary};
use super::said::{self, Said};

impl Hands {
    pub(super) fn hear(&mut self, now: Moment, news: News) {
        match news {
            News::Online { life } => {
                let pid = self.pid(life);
                self.say(now, life, &said::foreign_properties(pid));
                if let Some(process) = self.children.get_mut(&life) {
                    process.past.online.get_or_insert(Online::Loading);
                    // The descriptor that would tell otherwise is closed.
                    process.begun = Begun::Yes;
                }
                let _ = self.reserve.refill();
                self.handle(now, Event::Online(life));
            }
            News::Listening { life, endpoint, address } => {
                self.tell_listening(now, life, &endpoint, address);
                self.handle(now, Event::Listening(life, endpoint));
            }
            News::Closed { life, endpoint, closing } => self.closes(now, life, endpoint, closing),
            News::BindFailed { life, endpoint, error, obstacle } => {
                self.refused(now, life, endpoint, &error, &obstacle);
            }
            News::Asks { life, endpoint } => self.handle(now, Event::AsksToListen(life, endpoint)),
            News::MayBind { life, request } => self.ask_to_bind(now, life, &request),
            News::Said { life, message, handle } => self.understand(now, life, &message, handle),
            News::Leaving { life } => {
                self.leaves_on_request(life);
                self.handle(now, Event::Leaving(life));
            }
            // Of a process that could not run Node; its end says so.
            News::Left { life } if self.is_unstarted(life) => {}
            News::Left { life } => {
                if let Some(process) = self.children.get_mut(&life) {
                    process.past.left.get_or_insert(Voluntary::No);
                }
                self.tell_disconnect(now, life);
                self.handle(now, Event::Left(life));
            }
            News::Broken { life, reason } => self.handle(now, Event::Broken(life, reason.to_string())),
            News::Refusing { life } => {
                let (wid, pid) = self.name(life);
                warn!(
                    event = "refusing",
                    wid,
                    pid,
                    "worker {wid} (pid {pid}) cannot take connections: it is likely out of descriptors (ulimit -n); \
                     they go to other workers"
                );
            }
            News::Flooding { life } => {
                let (wid, pid) = self.name(life);
                warn!(
                    event = "flooding",
                    wid,
                    pid,
                    "worker {wid} (pid {pid}) is flooding its channel with messages; reading it more slowly"
                );
            }
        }
    }

    fn is_unstarted(&mut self, life: Life) -> bool {
        self.children.get_mut(&life).is_some_and(|process| process.begun.settle().is_some())
    }

    /// Notes that a process says it is ready; false if it had said so before.
    fn becomes_ready(&mut self, life: Life) -> bool {
        let Some(process) = self.children.get_mut(&life) else { return false };
        process.past.online.replace(Online::Ready) != Some(Online::Ready)
    }

    /// Notes that a process uses its direct line; false if it has none, or had said so before.
    fn adopts_line(&mut self, life: Life) -> bool {
        let Some(process) = self.children.get_mut(&life) else { return false };
        let adopts = process.direct != Direct::No && process.line_use == LineUse::None;
        if adopts {
            process.line_use = LineUse::Begun;
        }
        adopts
    }

    fn understand(&mut self, now: Moment, life: Life, message: &RawValue, handle: Option<UserHandle>) {
        match said::parse(message) {
            Said::Suspended => self.handle(now, Event::Suspended(life)),
            Said::Leaving => {
                // Before it closes its servers, so that its listeners wait for its successor.
                self.cluster.steer_away(life);
                self.leaves_on_request(life);
                self.handle(now, Event::Leaving(life));
            }
            Said::Bound { id, errno } => self.has_bound(now, life, (id, errno), handle),
            Said::LivesOn => {
                self.cluster.lives_on(life);
                self.handle(now, Event::LivesOn(life));
            }
            Said::Drained => self.handle(now, Event::Drained(life)),
            Said::Event { name, way } => {
                let (wid, pid) = self.name(life);
                debug!(event = "worker_event", wid, pid, name, "worker {wid} (pid {pid}) reports {name:?}");
                let is_news = name == "ready" && self.becomes_ready(life);
                match way {
                    // It has been told by the direct line.
                    said::Way::Direct => {}
                    said::Way::Channel if is_news => {
                        let fitness = self.attendant.pass_on_surely(life, message, now);
                        self.judge_attendant(now, fitness);
                    }
                    said::Way::Channel => self.attendant.pass_on(life, message, handle, now),
                }
                if name == "ready" {
                    self.handle(now, Event::SaidReady(life));
                }
            }
            Said::Call(name) if self.attendant.attends() => {
                debug!(event = "call", name, "a worker calls {name:?}");
                // First, so that the answer goes by the direct line, however long it is.
                self.introduce(now, life);
                self.attendant.pass_on(life, message, handle, now);
            }
            Said::Call(name) => {
                let (wid, pid) = self.name(life);
                debug!(
                    event = "unknown_command",
                    wid,
                    pid,
                    name,
                    "worker {wid} (pid {pid}) calls {name:?}, which nothing on the master has registered"
                );
            }
            Said::LineOpen if self.adopts_line(life) => {
                let fitness = self.attendant.pass_on_surely(life, message, now);
                self.judge_attendant(now, fitness);
            }
            Said::LineOpen => {}
            // A handle sent along is closed by being dropped if there is nobody to give it to.
            Said::Internal | Said::Foreign => self.attendant.pass_on(life, message, handle, now),
        }
    }
}
