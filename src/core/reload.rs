//! The configuration is read anew before workers are restarted on purpose, and one that is refused restarts nobody.
//!
//! Invariants: workers are restarted only behind a reading that began after they were asked for; at most one reading is
//! under way; after a stop none begins. Crashes are no restarts on purpose: what was read last is what they are followed by.

use super::effect::Effect::{self, Notify};
use super::effect::Notice;
use super::event::Request;
use super::fleet::Supervisor;
use super::goal::Goal;
use super::ids::{Generation, Moment, WorkerId};
use super::policy::HostKind;
use super::reload_state::Reading;

impl Supervisor {
    /// Something that restarts workers is asked for.
    pub(super) fn reload(&mut self, now: Moment, request: Request, effects: &mut Vec<Effect>) {
        match self.policy.host_kind {
            // Its workers run the script again, which is all there is to read.
            HostKind::CustomMaster => self.restart(now, request, effects),
            HostKind::None | HostKind::ExtensionHost { .. } => match &mut self.reload.reading {
                Reading::None => self.read(vec![request], effects),
                Reading::UnderWay { next, .. } => {
                    if !next.contains(&request) {
                        next.push(request);
                    }
                }
            },
        }
    }

    /// The configuration has been read, and is right or is refused for this reason.
    pub(super) fn configuration_read(
        &mut self,
        now: Moment,
        generation: Generation,
        result: Result<(), String>,
        effects: &mut Vec<Effect>,
    ) {
        if generation != self.reload.newest || self.goal != Goal::Serve {
            return;
        }
        let Reading::UnderWay { then, next } = std::mem::take(&mut self.reload.reading) else { return };
        match result {
            Ok(()) => {
                effects.push(Effect::AdoptConfiguration(generation));
                for request in then {
                    self.restart(now, request, effects);
                }
            }
            Err(reason) => {
                effects.push(Notify(Notice::ConfigurationRefused(reason)));
                // One worker is restarted because of itself: a leak, a fault. It is on the old configuration again.
                for request in then.into_iter().filter(|request| matches!(request, Request::One(..))) {
                    self.restart(now, request, effects);
                }
            }
        }
        if !next.is_empty() {
            self.read(next, effects);
        }
    }

    /// The worker is not to be restarted by itself any more.
    pub(super) fn forget_restart(&mut self, worker: WorkerId) {
        match &mut self.reload.reading {
            Reading::None => {}
            Reading::UnderWay { then, next } => {
                let is_others =
                    |request: &Request| !matches!(request, Request::One(one, _) if *one == worker);
                then.retain(is_others);
                next.retain(is_others);
            }
        }
    }

    /// Everything ends: nothing is to be read any more.
    pub(super) fn give_up_reload(&mut self) {
        self.reload.reading = Reading::None;
    }

    fn read(&mut self, then: Vec<Request>, effects: &mut Vec<Effect>) {
        self.reload.newest = Generation(self.reload.newest.0 + 1);
        self.reload.reading = Reading::UnderWay { then, next: Vec::new() };
        effects.push(Effect::ReadConfiguration(self.reload.newest));
    }
}
