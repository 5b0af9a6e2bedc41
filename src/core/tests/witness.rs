//! A witness who has been there from the start: what a host that comes later is told must be what it has seen.
//!
//! Invariant: it knows only what happened and what was said, nothing of the core's own state.

use std::collections::{BTreeMap, BTreeSet};

use crate::core::{
    Audience, ChannelState, Departure, Effect, Endpoint, Event, InstanceId, Notice, Snapshot, Startup,
    WorkerId,
};

/// What it has seen of every living process.
#[derive(Debug, Default)]
pub(super) struct Witness {
    seen: BTreeMap<InstanceId, Seen>,
}

#[derive(Debug)]
struct Seen {
    worker: WorkerId,
    startup: Startup,
    listening: BTreeSet<Endpoint>,
    channel: ChannelState,
    /// Which of its own words the host was told: that it is ready, that it has gone.
    told: (Told, Told),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    No,
    Yes,
}

impl Seen {
    fn leaves(&mut self) {
        if self.channel == ChannelState::Open {
            self.channel = ChannelState::Leaving;
        }
    }
}

impl Witness {
    /// Something happens, before it is decided what follows.
    pub(super) fn sees(&mut self, event: &Event) {
        let Some(seen) = instance_of(event).and_then(|id| self.seen.get_mut(&id)) else {
            return;
        };
        match event {
            Event::Online(_) => seen.startup = seen.startup.max(Startup::Online),
            Event::SaidReady(_, audience) => {
                if *audience == Audience::HostToo && seen.startup != Startup::SaidReady {
                    seen.told.0 = Told::Yes;
                }
                seen.startup = Startup::SaidReady;
            }
            Event::Listening(_, endpoint, _) => _ = seen.listening.insert(endpoint.clone()),
            Event::Closed(_, endpoint, _) => _ = seen.listening.remove(endpoint),
            Event::Leaving(_) => seen.leaves(),
            Event::Left(_) => {
                seen.channel = match seen.channel {
                    ChannelState::Open => ChannelState::Closed(Departure::Unannounced),
                    ChannelState::Leaving => ChannelState::Closed(Departure::Announced),
                    closed @ ChannelState::Closed(_) => closed,
                }
            }
            Event::Exited(id, _) | Event::NotStarted { instance: id, .. } => {
                assert_eq!(seen.told.0 == Told::Yes, seen.startup == Startup::SaidReady, "told at once");
                assert_eq!(seen.told.1 == Told::Yes, matches!(seen.channel, ChannelState::Closed(_)));
                self.seen.remove(id);
            }
            Event::LivesOn(_)
            | Event::AsksToListen(..)
            | Event::Refused(..)
            | Event::Suspended(_)
            | Event::Drained(_)
            | Event::Broken(..)
            | Event::LastWords(..)
            | Event::Asked(..)
            | Event::ConfigurationRead(..)
            | Event::Host(..) => {}
        }
    }

    /// Something is ordered.
    pub(super) fn hears(&mut self, effect: &Effect) {
        match effect {
            Effect::Spawn(spawn) => {
                let seen = Seen {
                    worker: spawn.worker,
                    startup: Startup::Launching,
                    listening: BTreeSet::new(),
                    channel: ChannelState::Open,
                    told: (Told::No, Told::No),
                };
                self.seen.insert(spawn.instance, seen);
            }
            Effect::Disconnect(id) => {
                if let Some(seen) = self.seen.get_mut(id) {
                    seen.leaves();
                }
            }
            Effect::Notify(Notice::SaidReady(_, id)) => {
                let told = &mut self.seen.get_mut(id).expect("it lives").told.0;
                assert_eq!(std::mem::replace(told, Told::Yes), Told::No, "{id:?}: ready is said once");
            }
            Effect::Notify(Notice::Disconnected(_, id, departure)) => {
                let seen = self.seen.get_mut(id).expect("it lives");
                assert_eq!(seen.channel, ChannelState::Closed(*departure));
                assert_eq!(std::mem::replace(&mut seen.told.1, Told::Yes), Told::No, "{id:?} goes once");
            }
            Effect::Suspend(..)
            | Effect::Drain(_)
            | Effect::Signal(..)
            | Effect::ReleaseStaleListeners(_)
            | Effect::ReleaseSlotListeners(_)
            | Effect::ReleaseAllListeners
            | Effect::ReadConfiguration(_)
            | Effect::AdoptConfiguration(_)
            | Effect::ForgetConfiguration(_)
            | Effect::StartHost(_)
            | Effect::DismissHost(..)
            | Effect::KillHost(_)
            | Effect::Introduce(_)
            | Effect::Reply(..)
            | Effect::Completed(..)
            | Effect::Notify(_)
            | Effect::Finish(_) => {}
        }
    }

    /// Holds the snapshot against what it has seen.
    pub(super) fn confirms(&self, snapshot: &Snapshot) {
        let workers = snapshot.workers.iter();
        let mut told: Vec<_> =
            workers.flat_map(|worker| worker.instances.iter().map(|told| (worker.worker, told))).collect();
        told.sort_by_key(|(_, told)| told.instance);
        let living: Vec<_> = told.iter().map(|(_, told)| told.instance).collect();
        assert_eq!(living, self.seen.keys().copied().collect::<Vec<_>>(), "all the living and no other");
        for (worker, told) in told {
            let seen = &self.seen[&told.instance];
            let listening: Vec<_> = told.endpoints.iter().map(|(endpoint, _)| endpoint).collect();
            assert_eq!(
                (worker, told.startup, listening, told.channel),
                (seen.worker, seen.startup, seen.listening.iter().collect(), seen.channel),
                "{:?}",
                told.instance
            );
        }
    }
}

/// Whom something happens to.
pub(super) fn instance_of(event: &Event) -> Option<InstanceId> {
    match event {
        Event::Asked(..) | Event::ConfigurationRead(..) | Event::Host(..) => None,
        Event::NotStarted { instance: id, .. }
        | Event::Online(id)
        | Event::SaidReady(id, _)
        | Event::Listening(id, ..)
        | Event::Closed(id, ..)
        | Event::LivesOn(id)
        | Event::AsksToListen(id, _)
        | Event::Refused(id, _)
        | Event::Suspended(id)
        | Event::Leaving(id)
        | Event::Left(id)
        | Event::Drained(id)
        | Event::Broken(id, _)
        | Event::LastWords(id, _)
        | Event::Exited(id, _) => Some(*id),
    }
}
