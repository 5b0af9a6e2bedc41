//! Takes in what the host says: asks, and messages for workers.
//!
//! Invariant: it can ask for whatever an operator can, and nothing it asks for makes us wait.

use serde_json::value::RawValue;
use tracing::{trace, warn};

use crate::control::{Order, Target};
use crate::core::{
    Event, Generation, HostEvent, InstanceId, Moment, OnDeath, OneRequest, Request, RequestId, StopCause,
    WorkerId,
};
use crate::node::cluster::Balance;
use crate::node::host::{HostNews, HostRequest, WorkerSettings};
use crate::node::ipc::UserHandle;
use crate::process::{self, Passed};

use super::builtin_extensions::Restart;
use super::launch::SettingsFrom;
use super::reader::Reading;
use super::state::{DirectChannel, Driver};
use super::worker_messages;

impl Driver {
    pub(super) fn host_news(&mut self, now: Moment, news: HostNews) {
        match news {
            HostNews::Asked(ask) => self.asked(now, *ask),
            HostNews::Nonsense(why) => {
                warn!(
                    event = "nonsense",
                    "{} sent something that luster cannot use: {why}",
                    self.host.name()
                );
            }
            HostNews::Message { instance, message, handle } => {
                self.pass_to_worker(now, instance, &message, handle)
            }
            HostNews::Flooding => {
                warn!(
                    event = "host_flooding",
                    "{} is flooding its channel with messages; reading it more slowly",
                    self.host.name()
                );
            }
            HostNews::Left(protocol_error) => {
                if let Some(protocol_error) = protocol_error {
                    warn!(event = "host_broken", "{} broke the protocol: {protocol_error}", self.host.name());
                }
                self.host_did(now, HostEvent::Left);
            }
        }
    }

    fn asked(&mut self, now: Moment, ask: HostRequest) {
        trace!(event = "host_request", "the host asks: {ask:?}");
        match ask {
            // It was answered before the loop began; said again it means nothing.
            HostRequest::Hello(_) => {}
            HostRequest::Initialized { native } => {
                self.launcher.host_is_there();
                self.do_the_work_of(&native);
                self.host_did(now, HostEvent::Initialized);
            }
            HostRequest::Start => self.request(now, Request::Start),
            HostRequest::One { wid, what } => self.request_of(now, WorkerId(wid), what.request()),
            HostRequest::Rollout { hold: true } => self.request(now, Request::Reload(OnDeath::Hold)),
            HostRequest::Rollout { hold: false } => self.request(now, Request::Reload(OnDeath::Continue)),
            HostRequest::Restart => self.request(now, Request::RestartAll),
            HostRequest::Reload { id } => self.host_order(now, id, Order::Reload),
            HostRequest::Scale { id, count } => {
                self.host_order(now, id, Order::Scale(Target::Count(count)));
            }
            HostRequest::Status { id } => self.host_status(now, id),
            HostRequest::Limits(about) => self.limit(now, about),
            HostRequest::Add(about) => self.add(now, about),
            HostRequest::Setup { settings } => {
                let by = if self.host.is_host() { SettingsFrom::Host } else { SettingsFrom::CustomMaster };
                self.launcher.set_up(&settings, by);
                if settings.balance.as_deref() == Some("shared") {
                    self.cluster.share_by(Balance::Shared);
                }
            }
            HostRequest::Env(changes) => self.launcher.change_env(changes),
            HostRequest::Kill { instance, signal } => {
                if let Some(process) = self.children.get(&InstanceId(instance)) {
                    self.send_signal(process, process::Signal::Other(signal), &format!("signal {signal}"));
                }
            }
            HostRequest::Disconnect { instance } => {
                self.request(now, Request::Disconnect(InstanceId(instance)));
            }
            HostRequest::Stop { signal } => self.request(now, stop(signal.as_deref())),
            HostRequest::Concluded => self.host_did(now, HostEvent::AllDeadAcknowledged),
            HostRequest::Reopen => self.builtins.reopen(),
            HostRequest::Signals { names } => self.host.wants_signals(names),
            HostRequest::Words { text } => self.host_did(now, HostEvent::CrashReason(text)),
        }
    }

    /// Tells of a signal that is wanted.
    pub(super) fn pass_on_signal(&mut self, now: Moment, passed: Passed) {
        let health = self.host.tell_signal(passed.name, passed.number, now);
        self.check_host_health(now, health);
    }

    /// Begins the work of these extensions, unless it has begun.
    fn do_the_work_of(&mut self, extensions: &[String]) {
        for name in extensions {
            self.builtins.begin(name);
        }
    }

    /// Restarts the workers because files have changed.
    pub(super) fn files_changed(&mut self, now: Moment) {
        match self.builtins.restart() {
            Restart::Soft => self.request(now, Request::Reload(OnDeath::Hold)),
            Restart::Hard => self.request(now, Request::RestartAll),
        }
    }

    /// Hears what was read.
    pub(super) fn hear_reading(
        &mut self,
        now: Moment,
        generation: Generation,
        result: Result<Reading, String>,
    ) {
        let result = result.map(|reading| {
            let spec = reading.spec.clone();
            self.read = Some((generation, reading));
            Box::new(spec)
        });
        self.handle(now, Event::ConfigurationRead(generation, result));
    }

    /// Asks the core for something.
    pub(super) fn request(&mut self, now: Moment, request: Request) {
        let id = self.next_request();
        self.handle(now, Event::Asked(id, request));
    }

    /// The name of a request that is about to be made: its answers carry it.
    pub(super) const fn next_request(&mut self) -> RequestId {
        self.last_request.0 += 1;
        self.last_request
    }

    fn request_of(&mut self, now: Moment, worker: WorkerId, request: OneRequest) {
        self.request(now, Request::One(worker, request));
    }

    /// Something has happened to the host.
    pub(super) fn host_did(&mut self, now: Moment, event: HostEvent) {
        if let Some(instance) = self.host.instance() {
            self.handle(now, Event::Host(instance, event));
        }
    }

    /// One worker more, unless an earlier host has added it.
    fn add(&mut self, now: Moment, about: WorkerSettings) {
        self.request(now, Request::Add(about.worker(), about.limits(), about.port.as_str().into()));
    }

    fn limit(&mut self, now: Moment, about: WorkerSettings) {
        let port = about.port.as_str().into();
        self.request_of(now, about.worker(), OneRequest::Limit(about.limits(), port));
    }

    /// Whether this is the one message without which nobody would listen to the direct channel.
    fn opens_direct_channel(&mut self, instance: InstanceId, message: &RawValue) -> bool {
        let made = self.children.get_mut(&instance).filter(|process| process.direct == DirectChannel::Made);
        match made {
            Some(process) if worker_messages::opens_direct_channel(message) => {
                process.direct = DirectChannel::Opened;
                true
            }
            Some(_) | None => false,
        }
    }

    fn pass_to_worker(
        &mut self,
        now: Moment,
        instance: InstanceId,
        message: &RawValue,
        handle: Option<UserHandle>,
    ) {
        // Before the call, which may have the worker close its channel.
        if worker_messages::is_call(message) {
            self.open_direct_channel(now, instance);
        }
        let outcome = match self.opens_direct_channel(instance, message) {
            true => self.cluster.send_surely(instance, &message, now),
            false => self.cluster.send(instance, &message, handle, now),
        };
        self.complain_of(instance, outcome);
    }
}

/// The stop that a script asks for, perhaps because of a signal.
fn stop(signal: Option<&str>) -> Request {
    match signal {
        Some("SIGTERM") => Request::StopBy(StopCause::Terminate),
        Some("SIGINT") => Request::StopBy(StopCause::Interrupt),
        Some("SIGQUIT") => Request::StopBy(StopCause::Quit),
        Some("SIGHUP") => Request::StopBy(StopCause::TerminalLost),
        Some(_) | None => Request::Stop,
    }
}
