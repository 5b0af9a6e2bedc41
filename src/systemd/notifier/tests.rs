//! What is said, in virtual time.

use super::*;
use crate::core::RolloutProgress;

/// So many of four workers are ready, the others are starting.
fn ready(ready: usize) -> FleetSummary {
    FleetSummary {
        goal: FleetGoal::Serve,
        is_changing: false,
        rollout: None,
        wanted: 4,
        ready,
        starting: 4 - ready,
        draining: 0,
        backing_off: 0,
        stopped: 0,
        dead: 0,
        instances: 4,
        longest_stop: Some(Duration::from_secs(30)),
        longest_start: Some(Duration::from_secs(60)),
    }
}

/// A notifier and how it is spoken to.
struct World {
    notifier: Notifier,
    now: Moment,
    is_heard: bool,
}

impl World {
    fn new(watchdog: Option<Duration>) -> Self {
        let now = Moment(0);
        Self { notifier: Notifier::new(now, watchdog), now, is_heard: true }
    }

    /// What is said of this as soon as it is looked at; without the lines for people.
    fn says(&mut self, fleet: &FleetSummary) -> Vec<String> {
        self.notifier.touch(self.now);
        self.wakes(fleet).into_iter().filter(|line| !line.starts_with("STATUS=")).collect()
    }

    /// The next time it wakes.
    fn wakes(&mut self, fleet: &FleetSummary) -> Vec<String> {
        self.now = self.notifier.next_wake().expect("something is due").max(self.now);
        let mut said = Vec::new();
        let is_heard = self.is_heard;
        let send = |text: &str| {
            if is_heard {
                said.extend(text.lines().map(str::to_owned));
            }
            is_heard
        };
        self.notifier.wake(self.now, || fleet.clone(), || 5, send);
        said
    }
}

fn main_pid() -> String {
    format!("MAINPID={}", std::process::id())
}

fn rolling(replaced: usize) -> FleetSummary {
    let rollout = RolloutProgress {
        began: Moment(0),
        replaced,
        under_way: 1,
        waiting: 3 - replaced,
        is_held: false,
        takes_back: false,
    };
    FleetSummary { is_changing: true, rollout: Some(rollout), ..ready(3) }
}

#[test]
fn a_rollout_that_is_being_taken_back_is_called_that() {
    let mut fleet = rolling(1);
    assert_eq!(in_words(Told::Reloading, &fleet), "rollout: 1 of 4 replaced; 3 of 4 workers ready");
    fleet.rollout.as_mut().expect("one").takes_back = true;
    assert_eq!(
        in_words(Told::Reloading, &fleet),
        "taking back the last rollout: 1 of 4 replaced; 3 of 4 workers ready"
    );
}

#[test]
fn ready_is_said_when_all_serve_or_are_given_up_and_only_once() {
    let mut world = World::new(None);
    assert_eq!(world.wakes(&ready(0)), ["STATUS=starting: 0 of 4 workers ready"]);
    assert!(world.says(&ready(3)).is_empty());
    assert_eq!(world.says(&ready(4)), ["READY=1", &main_pid()]);
    assert!(world.says(&ready(3)).is_empty());
    assert!(world.says(&ready(4)).is_empty());

    let mut world = World::new(None);
    let dead = |ready: usize| FleetSummary { ready, starting: 0, dead: 4 - ready, ..super::tests::ready(4) };
    assert!(world.says(&dead(0)).is_empty(), "nobody serves");
    assert_eq!(world.says(&dead(1)), ["READY=1", &main_pid()]);
}

#[test]
fn nothing_is_said_twice_and_nothing_wakes_at_rest() {
    let mut world = World::new(None);
    world.wakes(&ready(4));
    assert_eq!(world.notifier.next_wake(), None);
    world.notifier.touch(world.now);
    assert_eq!(world.notifier.next_wake(), Some(world.now.after(LOOK_EVERY)), "not at once again");
    assert_eq!(world.wakes(&ready(4)), [""; 0]);
}

#[test]
fn a_reload_is_begun_and_ended_and_its_progress_is_told() {
    let mut world = World::new(None);
    world.wakes(&ready(4));
    let begun = ["RELOADING=1", "MONOTONIC_USEC=5", "EXTEND_TIMEOUT_USEC=100000000"];
    assert_eq!(world.says(&rolling(0)), begun);
    world.notifier.touch(world.now);
    assert_eq!(
        world.wakes(&rolling(1)),
        ["STATUS=rollout: 1 of 4 replaced; 3 of 4 workers ready", "EXTEND_TIMEOUT_USEC=100000000"]
    );
    assert_eq!(world.says(&ready(4)), ["READY=1"]);
    let mut held = rolling(2);
    held.is_changing = false;
    held.rollout.as_mut().expect("one").is_held = true;
    assert_eq!(world.says(&rolling(2)), begun);
    assert_eq!(world.says(&held), ["READY=1"], "nobody is kept waiting for a replacement that has failed");
}

#[test]
fn who_asks_for_a_reload_is_answered_even_if_it_is_refused_before_anybody_looks() {
    let mut world = World::new(None);
    world.wakes(&ready(4));
    world.notifier.reload_asked(world.now);
    assert_eq!(world.wakes(&ready(4)), ["RELOADING=1", "MONOTONIC_USEC=5", "READY=1"]);
    world.says(&rolling(0));
    world.notifier.reload_asked(world.now);
    assert_eq!(world.wakes(&rolling(0)), ["RELOADING=1", "MONOTONIC_USEC=5"], "it has joined");
    assert_eq!(world.says(&ready(4)), ["READY=1"]);
}

#[test]
fn a_stop_is_told_with_the_time_it_may_take() {
    let mut world = World::new(None);
    world.wakes(&ready(4));
    let stopping = FleetSummary { goal: FleetGoal::Stop, ..ready(4) };
    assert_eq!(world.says(&stopping), ["STOPPING=1", "EXTEND_TIMEOUT_USEC=40000000"]);
    assert!(world.says(&stopping).is_empty());
    let fewer = FleetSummary { instances: 1, longest_stop: None, ..stopping };
    world.notifier.touch(world.now);
    assert_eq!(
        world.wakes(&fewer),
        ["STATUS=stopping, 1 still running"],
        "without a limit nothing is promised"
    );
}

#[test]
fn what_was_not_delivered_is_said_later_with_what_counts_of_it() {
    let mut world = World::new(None);
    world.is_heard = false;
    world.wakes(&ready(4));
    world.says(&rolling(0));
    world.is_heard = true;
    assert_eq!(world.notifier.next_wake(), Some(Moment(0).after(RETRY)));
    let said = world.wakes(&rolling(0));
    assert_eq!(said[..4], ["READY=1", &main_pid(), "RELOADING=1", "MONOTONIC_USEC=5"]);
    assert_eq!(world.notifier.next_wake(), None);
}

#[test]
fn a_watchdog_hears_of_a_fleet_that_serves_twice_in_its_time_and_of_one_that_does_not_never() {
    let mut world = World::new(Some(Duration::from_secs(2)));
    world.wakes(&ready(4));
    for second in 1..4 {
        assert_eq!(world.wakes(&ready(4)), ["WATCHDOG=1"]);
        assert_eq!(world.now, Moment(0).after(Duration::from_secs(second)));
    }
    let backing_off = FleetSummary { backing_off: 4, ready: 0, starting: 0, ..ready(4) };
    assert_eq!(world.wakes(&backing_off), [""; 0]);
    assert_eq!(world.wakes(&ready(1)), ["WATCHDOG=1"]);
}
