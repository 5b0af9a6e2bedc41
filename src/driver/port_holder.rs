//! Finds out who has the address that a worker was refused, on a thread: /proc is slow where there is much of everything.
//!
//! Invariants: the loop never waits for an answer; what is asked is bounded, and of what is not asked the general word is
//! said; each refusal is told to the operator once. The end of an instance that is asked about is held back for a moment, so
//! that it is told, and luster ended because of it, with the answer known.

use std::collections::BTreeMap;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::core::{Endpoint, ExitStatus, InstanceId, ListenRefusal, Moment};
use crate::node::cluster::{Obstacle, Site};
use crate::process::{Bound, Owner, owner_of};

/// How many questions may wait.
const MOST: usize = 16;

/// How long the end of an instance is held back at most. Looking takes milliseconds where there is processor time to be had.
const PATIENCE: Duration = Duration::from_secs(3);

/// An answer is good for whoever asks the same so soon after.
const FRESH: Duration = Duration::from_secs(1);

/// What was refused to whom.
pub(super) type Case = (InstanceId, Endpoint);

/// An answer: who has it, if that could be found out.
pub(super) type Answer = (Case, Option<Owner>);

/// Questions under way.
#[derive(Debug)]
pub(super) struct Inquiries {
    /// The thread's, once there is one.
    ask: Option<SyncSender<(Case, Bound)>>,
    answers: Receiver<Answer>,
    answer: Sender<Answer>,
    /// What is said if no answer comes in time.
    open: BTreeMap<Case, ListenRefusal>,
    /// Lives that have ended meanwhile, and when that is to be told at the latest.
    ended: BTreeMap<InstanceId, (ExitStatus, Moment)>,
}

impl Inquiries {
    pub(super) fn new() -> Self {
        let (answer, answers) = channel(MOST);
        Self { ask: None, answers, answer, open: BTreeMap::new(), ended: BTreeMap::new() }
    }

    /// Has somebody look for who is in the way, if that is worth it; the refusal is then told later.
    pub(super) fn begin(&mut self, instance: InstanceId, refusal: &ListenRefusal, obstacle: &Obstacle) {
        let Obstacle::Somebody(site) = obstacle else { return };
        let case = (instance, refusal.endpoint.clone());
        if self.ask.is_none() {
            self.ask = start(self.answer.clone());
        }
        let asked = self.ask.as_ref().is_some_and(|ask| ask.try_send((case.clone(), bound(site))).is_ok());
        if asked {
            self.open.insert(case, refusal.clone());
        }
    }

    /// Whether this refusal is told later.
    pub(super) fn is_open(&self, instance: InstanceId, endpoint: &Endpoint) -> bool {
        self.open.contains_key(&(instance, endpoint.clone()))
    }

    /// The next answer.
    pub(super) async fn next(&mut self) -> Answer {
        match self.answers.recv().await {
            Some(answer) => answer,
            // It cannot be closed: we have a sender ourselves.
            None => std::future::pending().await,
        }
    }

    /// Holds the end of an instance back if it is asked about; else gives it back.
    pub(super) fn hold_back(
        &mut self,
        now: Moment,
        instance: InstanceId,
        ending: ExitStatus,
    ) -> Option<ExitStatus> {
        if !self.concern(instance) {
            return Some(ending);
        }
        self.ended.insert(instance, (ending, now.after(PATIENCE)));
        None
    }

    /// The end of an instance that was held back, if there is nothing left to wait for.
    pub(super) fn release(&mut self, instance: InstanceId) -> Option<ExitStatus> {
        if self.concern(instance) {
            return None;
        }
        self.ended.remove(&instance).map(|(ending, _)| ending)
    }

    /// Lives whose end cannot be held back any longer.
    pub(super) fn overdue(&self, now: Moment) -> Vec<InstanceId> {
        self.ended.iter().filter(|(_, (_, at))| *at <= now).map(|(instance, _)| *instance).collect()
    }

    /// When there is something overdue.
    pub(super) fn next_wake(&self) -> Option<Moment> {
        self.ended.values().map(|(_, at)| *at).min()
    }

    fn concern(&self, instance: InstanceId) -> bool {
        self.open.keys().any(|(whose, _)| *whose == instance)
    }

    /// Ends an inquiry; the refusal it was about, if it has not been told.
    pub(super) fn close(&mut self, case: &Case) -> Option<ListenRefusal> {
        self.open.remove(case)
    }

    /// Ends all questions of an instance, which is about to end.
    pub(super) fn close_all_of(&mut self, instance: InstanceId) -> Vec<ListenRefusal> {
        let cases: Vec<_> = self.open.keys().filter(|(whose, _)| *whose == instance).cloned().collect();
        cases.iter().filter_map(|case| self.open.remove(case)).collect()
    }
}

fn start(answer: Sender<Answer>) -> Option<SyncSender<(Case, Bound)>> {
    let (ask, questions) = sync_channel::<(Case, Bound)>(MOST);
    let work = move || {
        let mut last: Option<(Bound, Option<Owner>, Instant)> = None;
        for (case, bound) in questions {
            let known = last.take().filter(|(place, _, at)| *place == bound && at.elapsed() < FRESH);
            let (bound, owner, at) = known.unwrap_or_else(|| {
                let owner = owner_of(&bound);
                (bound, owner, Instant::now())
            });
            // Where it fails the loop is gone, and so are we.
            if answer.blocking_send((case, owner.clone())).is_err() {
                return;
            }
            last = Some((bound, owner, at));
        }
    };
    // Without a thread nobody looks.
    std::thread::Builder::new().name("socket owners".into()).spawn(work).ok().map(|_| ask)
}

fn bound(site: &Site) -> Bound {
    match site {
        Site::Tcp { ip, port } => Bound::Tcp(*ip, *port),
        Site::Udp { ip, port } => Bound::Udp(*ip, *port),
        Site::Path(path) => Bound::Path(path.clone()),
        Site::Name(name) => Bound::Name(name.clone()),
    }
}
