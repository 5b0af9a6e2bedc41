//! What is asked over the control socket, and by the host in the same way: handed to the core, and answered with what the
//! core says.
//!
//! Invariants: whoever asks gets one reply and, if it is an acceptance, one completion; nobody who asks makes the loop wait; of
//! what is asked of several workers nothing is done if one of them does not exist.

use std::sync::Arc;

use tracing::info;

use super::control_answers;
use super::control_desk::{Asker, OpenAsk};
use super::demand::Demand;
use super::state::Driver;
use crate::control::schema::{Answer, HostKind};
use crate::control::{Ask, LiveState, Order, Peer, Whom};
use crate::core::{Completion, Event, Moment, OnDeath, OneRequest, Refusal, Request, RequestId, Snapshot};

impl Driver {
    /// How everything stands to the core; made once for all who ask before something changes.
    fn snapshot(&mut self, now: Moment) -> Arc<Snapshot> {
        let snapshot = match &self.snapshot {
            Some(known) if known.revision == self.supervisor.revision() => known.clone(),
            Some(_) | None => Arc::new(self.supervisor.snapshot(now)),
        };
        self.snapshot = Some(snapshot.clone());
        snapshot
    }

    /// The same, with what only the driver knows.
    pub(super) fn live_state(&mut self, now: Moment) -> LiveState {
        let snapshot = self.snapshot(now);
        let pid = |process: &super::state::Process| process.child.pid().as_raw();
        let host = match (self.host.is_host(), self.host.process()) {
            (true, process) if snapshot.host.is_some() => {
                Some((HostKind::ExtensionHost, process.map(|(_, pid)| pid.as_raw())))
            }
            (false, _) if self.host.link().is_connected() => {
                Some((HostKind::CustomMaster, Some(nix::unistd::getppid().as_raw())))
            }
            (true | false, _) => None,
        };
        let configured = self.launcher.configured.get(&snapshot.generation);
        LiveState {
            snapshot,
            now,
            pids: self.children.iter().map(|(instance, process)| (*instance, pid(process))).collect(),
            host,
            config_real: configured.and_then(|configured| configured.config.clone()),
            socket: self.socket.clone(),
            app: configured.map(|configured| configured.app.clone()).unwrap_or_default(),
        }
    }

    /// Does what is asked for over the control socket.
    pub(super) fn control_ask(&mut self, now: Moment, ask: Ask) {
        let Ask { app: _, order, by, reply, completed } = ask;
        let (request, what) = (control_answers::name(&order), control_answers::describe(&order));
        let Peer { pid, uid } = by;
        info!(event = "control_asked", request, pid, uid, "process {pid} of user {uid} asks for {what}");
        match self.place(now, order, Asker::Client(completed)) {
            Ok(number) => {
                drop(reply.send(Ok(())));
                self.close_ask(now, number);
            }
            Err(refused) => drop(reply.send(Err(refused))),
        }
    }

    /// Has the core do what is asked for. If it is accepted, the asker is answered from when [`Self::close_ask`] has been
    /// called; if it is not, by whoever called.
    pub(super) fn place(&mut self, now: Moment, order: Order, asker: Asker) -> Result<u64, Answer> {
        let requests = self.requests_of(now, &order)?;
        self.asks.last += 1;
        let number = self.asks.last;
        let open =
            OpenAsk { order, asker, waiting: requests.len() + 1, refusal: None, completions: Vec::new() };
        self.asks.open.insert(number, open);
        for request in requests {
            let id = self.next_request();
            self.asks.requests.insert(id, number);
            self.handle(now, Event::Asked(id, request));
        }
        let Some(open) = self.asks.open.get_mut(&number) else { return Ok(number) };
        open.waiting -= 1;
        let refusal = open.refusal.as_ref().map(control_answers::refusal);
        if refusal.is_some() {
            // What becomes of the rest of it nobody waits for.
            self.asks.open.remove(&number);
        }
        refusal.map_or(Ok(number), Err)
    }

    /// What an order means to the core.
    fn requests_of(&mut self, now: Moment, order: &Order) -> Result<Vec<Request>, Answer> {
        let (whom, request, one) = match order {
            Order::Reload => return Ok(vec![Request::Reload(OnDeath::Hold)]),
            Order::Scale(target) => {
                let wanted = self.snapshot(now).wanted;
                return Ok(vec![Request::Scale(control_answers::count(*target, wanted)?)]);
            }
            Order::Restart(whom) => (whom, Some(Request::Replace), OneRequest::Replace),
            Order::Stop(whom) => (whom, Some(Request::Stop), OneRequest::Stop),
            Order::Start(whom) => (whom, Some(Request::Start), OneRequest::Start),
            // Those that are dead.
            Order::Revive(whom) => (whom, None, OneRequest::Revive),
        };
        if let (Whom::All, Some(request)) = (whom, request) {
            return Ok(vec![request]);
        }
        let workers = control_answers::workers(whom, &self.snapshot(now))?;
        Ok(workers.into_iter().map(|worker| Request::One(worker, one.clone())).collect())
    }

    /// The core has said whether it accepts a request.
    pub(super) fn replied(&mut self, id: RequestId, reply: Result<(), Refusal>) {
        let Err(refusal) = reply else { return };
        // Those of signals, and of methods that nobody waits for, are told by what happens.
        let Some(number) = self.asks.requests.remove(&id) else { return };
        if let Some(open) = self.asks.open.get_mut(&number) {
            open.refusal = Some(refusal);
            open.waiting -= 1;
        }
    }

    /// The core has said what came of a request.
    pub(super) fn completed(&mut self, now: Moment, id: RequestId, completion: Completion) {
        let Some(number) = self.asks.requests.remove(&id) else { return };
        if let Some(open) = self.asks.open.get_mut(&number) {
            open.completions.push(completion);
            open.waiting -= 1;
        }
        self.close_ask(now, number);
    }

    /// Answers an ask of which nothing is left to wait for.
    pub(super) fn close_ask(&mut self, now: Moment, number: u64) {
        if self.asks.open.get(&number).is_some_and(|open| open.waiting > 0) {
            return;
        }
        let Some(open) = self.asks.open.remove(&number) else { return };
        let snapshot = self.snapshot(now);
        let answer = control_answers::completion(&open.order, open.completions, &snapshot);
        match open.asker {
            // Whoever does not wait for it does not miss it.
            Asker::Client(completed) => drop(completed.send(answer)),
            Asker::Host(host, id) => self.answer_host(now, (host, id), &answer),
            Asker::Fleet(number) => self.demands.push(Demand::Answered(number, answer)),
        }
    }
}
