//! What an instance listens on, has closed and was refused, and what of that its replacement has to listen on.
//!
//! Invariant: whatever one closes that is about to end belongs to its replacement.

use std::collections::BTreeSet;
use std::time::Duration;

use super::effect::Effect::{self, Notify};
use super::effect::Notice;
use super::event::{Closing, ListenRefusal};
use super::ids::{Endpoint, ListenAddress, Moment};
use super::instance::Instance;

/// What happened no longer than this before the end belongs to it: an endpoint closed, as in
/// `server.close(() => process.exit(1))`, or a listen refused.
const JUST_BEFORE: Duration = Duration::from_secs(5);

impl Instance {
    pub(super) fn asks_to_listen(&mut self, endpoint: Endpoint) {
        self.asking.insert(endpoint);
    }

    pub(super) fn is_refused(&mut self, now: Moment, refusal: ListenRefusal, effects: &mut Vec<Effect>) {
        effects.push(Notify(Notice::Refused(self.worker, self.id, refusal.clone())));
        self.asking.remove(&refusal.endpoint);
        self.refusal = Some((now, refusal));
    }

    /// The last listen it was refused.
    pub(super) fn refusal(&self) -> Option<&ListenRefusal> {
        self.refusal.as_ref().map(|(_, refusal)| refusal)
    }

    /// Whether it was refused a listen so shortly before its end that this is likely why.
    pub(super) fn dies_of_refusal(&self, now: Moment) -> bool {
        self.refusal.as_ref().is_some_and(|(at, _)| now.since(*at) <= JUST_BEFORE)
    }

    pub(super) fn listens(&mut self, endpoint: Endpoint, address: ListenAddress, effects: &mut Vec<Effect>) {
        let notice = Notice::Listening(self.worker, self.id, endpoint.clone(), address.clone());
        effects.push(Notify(notice));
        self.asking.remove(&endpoint);
        self.closed.remove(&endpoint);
        self.endpoints.insert(endpoint, address);
    }

    /// It closed an endpoint. One on its way out closes them all, which says nothing.
    pub(super) fn closes(&mut self, now: Moment, endpoint: Endpoint, closing: Closing) {
        self.answers();
        self.asking.remove(&endpoint);
        if self.endpoints.remove(&endpoint).is_none() {
            return;
        }
        if self.is_stopping() {
            self.given_up.insert(endpoint);
            return;
        }
        self.closed.retain(|_, at| now.since(*at) <= JUST_BEFORE);
        match closing {
            Closing::ForGood => {}
            Closing::Perhaps => _ = self.closed.insert(endpoint, now),
        }
    }

    /// It goes on without what it has closed.
    pub(super) fn lives_on(&mut self) {
        self.closed.clear();
    }

    /// What its replacement has to listen on, seen at its end: also what it closed only just before.
    pub(super) fn leaves_behind(&self, now: Moment) -> BTreeSet<Endpoint> {
        let just_closed = self.closed.iter().filter(|(_, at)| now.since(**at) <= JUST_BEFORE);
        let just_closed = just_closed.map(|(endpoint, _)| endpoint);
        self.endpoints.keys().chain(&self.given_up).chain(just_closed).cloned().collect()
    }
}
