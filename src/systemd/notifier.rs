//! What the service manager is told, and when. Pure: how the fleet stands and the time go in, a datagram comes out.
//!
//! Invariants: READY is said once all workers serve that are not given up, and after each reload; what was not delivered is
//! said again; what has not changed is not said.

use std::fmt::Write as _;
use std::time::Duration;

use crate::core::{FleetGoal, FleetSummary, Moment};

/// The least time between two looks at the fleet: however much happens, looking costs little.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long a message that could not be delivered waits.
const RETRY: Duration = Duration::from_secs(1);

/// What is added to the time that is known to be enough.
const MARGIN: Duration = Duration::from_secs(10);

/// What the manager was told luster does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Starting,
    Serving,
    Reloading,
    Stopping,
}

/// Follows the fleet for a service manager.
#[derive(Debug)]
pub(super) struct Notifier {
    told: Told,
    /// What it was told in words.
    status: String,
    /// Somebody has asked for a reload since the fleet was looked at: it is to be answered even if it is over by now.
    is_reload_asked: bool,
    looked: Option<Moment>,
    /// When the fleet is looked at next.
    look: Option<Moment>,
    /// Not delivered yet.
    unsent: Option<(Moment, String)>,
    watchdog: Option<Watchdog>,
}

/// The manager wants to hear from us regularly.
#[derive(Debug, Clone, Copy)]
struct Watchdog {
    every: Duration,
    next: Moment,
}

impl Notifier {
    /// `watchdog` is how long the manager waits for a sign of life before it acts.
    pub(super) fn new(now: Moment, watchdog: Option<Duration>) -> Self {
        // As sd_watchdog_enabled(3) recommends.
        let watchdog = watchdog.map(|limit| Watchdog { every: limit / 2, next: now });
        Self {
            told: Told::Starting,
            status: String::new(),
            is_reload_asked: false,
            looked: None,
            look: Some(now),
            unsent: None,
            watchdog,
        }
    }

    /// Something has happened: the fleet is looked at soon.
    pub(super) fn touch(&mut self, now: Moment) {
        if self.look.is_none() {
            let at = self.looked.map_or(now, |looked| looked.after(LOOK_EVERY));
            self.look = Some(at.max(now));
        }
    }

    /// The manager may have asked for a stop: the fleet is looked at now.
    pub(super) const fn stop_asked(&mut self, now: Moment) {
        self.look = Some(now);
    }

    /// The manager has asked for a reload and waits for it to begin.
    pub(super) const fn reload_asked(&mut self, now: Moment) {
        self.is_reload_asked = true;
        self.look = Some(now);
    }

    /// Whether the manager was told that luster is up, and not yet that it stops.
    pub(super) const fn is_told_up(&self) -> bool {
        matches!(self.told, Told::Serving | Told::Reloading)
    }

    /// When [`Self::wake`] is to be called.
    pub(super) fn next_wake(&self) -> Option<Moment> {
        let unsent = self.unsent.as_ref().map(|(at, _)| *at);
        let watchdog = self.watchdog.map(|watchdog| watchdog.next);
        [self.look, unsent, watchdog].into_iter().flatten().min()
    }

    /// Says what there is to say by `send`, which answers whether it was delivered. `monotonic` is the time on CLOCK_MONOTONIC,
    /// in microseconds.
    pub(super) fn wake(
        &mut self,
        now: Moment,
        fleet: impl FnOnce() -> FleetSummary,
        monotonic: impl Fn() -> u64,
        mut send: impl FnMut(&str) -> bool,
    ) {
        let is_look = self.look.take_if(|at| *at <= now).is_some();
        let is_ping = self.watchdog.is_some_and(|watchdog| watchdog.next <= now);
        if is_look || is_ping {
            let fleet = fleet();
            let mut text = String::new();
            if is_look {
                self.looked = Some(now);
                self.follow(&fleet, monotonic, &mut text);
            }
            if is_ping {
                self.give_sign_of_life(now, &fleet, &mut text);
            }
            self.queue(now, &text);
        }
        if let Some((_, text)) = self.unsent.take_if(|(at, _)| *at <= now)
            && !send(&text)
        {
            self.unsent = Some((now.after(RETRY), text));
        }
    }

    /// Behind what waits already, of which only the last words count.
    fn queue(&mut self, now: Moment, text: &str) {
        if text.is_empty() {
            return;
        }
        let (at, mut lines) = self.unsent.take().unwrap_or((now, String::new()));
        // What is said later overrides the rest; a reload that is over by now needs no beginning.
        let is_kept = |line: &&str| ["READY=1", "STOPPING=1"].contains(line) || line.starts_with("MAINPID=");
        lines = lines.lines().filter(is_kept).flat_map(|line| [line, "\n"]).collect();
        self.unsent = Some((at, lines + text));
    }

    fn follow(&mut self, fleet: &FleetSummary, monotonic: impl Fn() -> u64, text: &mut String) {
        let is_asked = std::mem::take(&mut self.is_reload_asked);
        let before = self.told;
        self.told = match (fleet.goal, self.told) {
            (FleetGoal::Stop, _) => Told::Stopping,
            (FleetGoal::Serve, Told::Starting) if !is_up(fleet) => Told::Starting,
            (FleetGoal::Serve, Told::Serving | Told::Reloading) if fleet.is_changing => Told::Reloading,
            (FleetGoal::Serve, _) => Told::Serving,
        };
        match (before, self.told) {
            (Told::Starting, Told::Serving) => {
                let _ = writeln!(text, "READY=1\nMAINPID={}", std::process::id());
            }
            (_, Told::Reloading) if is_asked || before != Told::Reloading => {
                let _ = writeln!(text, "RELOADING=1\nMONOTONIC_USEC={}", monotonic());
            }
            // It was refused, or done, before anybody looked: to say both at once means that.
            (_, Told::Serving) if is_asked => {
                let _ = writeln!(text, "RELOADING=1\nMONOTONIC_USEC={}\nREADY=1", monotonic());
            }
            (Told::Reloading, Told::Serving) => text.push_str("READY=1\n"),
            (_, Told::Stopping) if before != Told::Stopping => text.push_str("STOPPING=1\n"),
            (Told::Starting | Told::Serving | Told::Reloading | Told::Stopping, _) => {}
        }
        let status = in_words(self.told, fleet);
        if status != self.status {
            let _ = writeln!(text, "STATUS={status}");
            self.status = status;
            if let Some(limit) = patience(self.told, fleet) {
                let _ = writeln!(text, "EXTEND_TIMEOUT_USEC={}", limit.as_micros());
            }
        }
    }

    fn give_sign_of_life(&mut self, now: Moment, fleet: &FleetSummary, text: &mut String) {
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.next = now.after(watchdog.every);
        }
        let is_healthy = match self.told {
            // These have limits of their own.
            Told::Starting | Told::Reloading | Told::Stopping => true,
            Told::Serving => fleet.ready > 0 || fleet.starting > 0 || fleet.wanted == 0,
        };
        if is_healthy {
            text.push_str("WATCHDOG=1\n");
        }
    }
}

/// Whether everybody serves that is not given up.
const fn is_up(fleet: &FleetSummary) -> bool {
    fleet.ready > 0 && fleet.ready + fleet.dead + fleet.stopped >= fleet.wanted
}

/// How long the manager has to wait at most for the next step, if that is known.
fn patience(told: Told, fleet: &FleetSummary) -> Option<Duration> {
    match told {
        Told::Starting | Told::Serving => None,
        Told::Stopping => Some(fleet.longest_stop? + MARGIN),
        Told::Reloading => Some(fleet.longest_stop? + fleet.longest_start? + MARGIN),
    }
}

fn in_words(told: Told, fleet: &FleetSummary) -> String {
    let FleetSummary { ready, wanted, .. } = fleet;
    let s = if *wanted == 1 { "" } else { "s" };
    let serving = format!("{ready} of {wanted} worker{s} ready");
    match (told, &fleet.rollout) {
        (Told::Starting, _) => format!("starting: {serving}"),
        (Told::Stopping, _) => format!("stopping, {} still running", fleet.instances),
        (Told::Reloading, None) => format!("reading the configuration; {serving}"),
        (Told::Reloading | Told::Serving, Some(rollout)) => {
            let all = rollout.replaced + rollout.under_way + rollout.waiting;
            let held = if rollout.is_held { ", waiting for a replacement that failed" } else { "" };
            let what = if rollout.takes_back { "taking back the last rollout" } else { "rollout" };
            format!("{what}: {} of {all} replaced{held}; {serving}", rollout.replaced)
        }
        (Told::Serving, None) => {
            let others = [
                (fleet.starting, "starting"),
                (fleet.draining, "draining"),
                (fleet.backing_off, "backing off"),
                (fleet.stopped, "stopped"),
                (fleet.dead, "dead"),
            ];
            let others = others.iter().filter(|(count, _)| *count > 0);
            others.fold(serving, |text, (count, state)| format!("{text}, {count} {state}"))
        }
    }
}

#[cfg(test)]
mod tests;
