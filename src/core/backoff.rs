//! Counts a slot's crashes: when a worker is given up, and how long to wait before the next start.
//!
//! Three separate counts. *Sequential* crashes are JS luster's (`control.exitThreshold`,
//! `control.allowedSequentialDeaths`). *Young* crashes drive the back-off and do not depend on the
//! configuration, so that a worker which dies at boot never spins. *Refused* ones, which follow a listen that was refused
//! before anybody has ever served, end what cannot begin: as a second luster on the same ports.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::policy::LifecycleLimits;

/// For the back-off, an instance shorter than this is young.
const YOUNG: Duration = Duration::from_secs(1);
/// The pause before the start that follows the second young death.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// So many young deaths in a row are no accident.
const KEEPS_DYING: u32 = 3;
/// No pause is longer, jitter included.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often a worker is started that cannot listen: as often as nginx tries. A predecessor that is just leaving is
/// gone by then.
const REFUSED_TRIES: u32 = 5;

/// The crashes of one slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CrashCounter {
    sequential: u32,
    young: u32,
    refused: u32,
}

/// What is to be done after a death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RestartDecision {
    /// Start again at once.
    Again,
    /// Start again after a pause.
    AgainAfter(Duration),
    /// Do not start again; so many sequential crashes.
    GiveUp(u32),
    /// Do not start again; so many crashes after a refused listen.
    NeverServed(u32),
}

/// What a death nobody asked for is put down to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blame {
    /// The worker.
    Worker,
    /// A listen that was refused while nobody has served yet.
    ListenRefusal,
    /// A busy machine: it was slow to start, and luster ended it. Drives the back-off only.
    Slowness,
    /// A new version that a rollout waits for. Drives the back-off only.
    Version,
}

impl CrashCounter {
    /// No death yet.
    pub(super) const NONE: Self = Self { sequential: 0, young: 0, refused: 0 };

    /// Counts a death nobody asked for. `lived` is the time online, `None` if it never was.
    /// `jitter` is a random number that spreads the pauses of a fleet.
    pub(super) fn count(
        &mut self,
        uptime: Option<Duration>,
        blame: Blame,
        limits: &LifecycleLimits,
        jitter: u32,
    ) -> RestartDecision {
        self.refused = match blame {
            Blame::ListenRefusal => self.refused.saturating_add(1),
            Blame::Worker | Blame::Slowness | Blame::Version => 0,
        };
        if self.refused >= REFUSED_TRIES {
            return RestartDecision::NeverServed(self.refused);
        }
        let threshold = match blame {
            Blame::Worker | Blame::ListenRefusal => limits.exit_threshold,
            Blame::Slowness | Blame::Version => None,
        };
        if let Some(threshold) = threshold {
            let sequential = uptime.is_none_or(|uptime| uptime < threshold);
            self.sequential = if sequential { self.sequential.saturating_add(1) } else { 0 };
            if self.sequential > limits.allowed_sequential_deaths {
                return RestartDecision::GiveUp(self.sequential);
            }
        }
        let young = uptime.is_none_or(|uptime| uptime < YOUNG);
        self.young = if young { self.young.saturating_add(1) } else { 0 };
        match self.young {
            0 | 1 => RestartDecision::Again,
            young => RestartDecision::AgainAfter(pause(young, jitter)),
        }
    }

    /// Whether it has died young so often in a row that it will hardly come up by itself.
    pub(super) const fn keeps_dying(&self) -> bool {
        self.young >= KEEPS_DYING
    }

    /// Forgets everything: an operator brings the slot back.
    pub(super) const fn forget(&mut self) {
        *self = Self::NONE;
    }
}

/// Doubles from [`FIRST_PAUSE`] with each young death after the second, less up to a quarter of jitter.
fn pause(young: u32, jitter: u32) -> Duration {
    let doublings = young.saturating_sub(2).min(16);
    let full = FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
    full - full * (jitter % 256) / 1024
}

/// Knuth's linear congruential step: good enough to spread pauses, and reproducible.
pub(super) const fn next_random(seed: u32) -> u32 {
    seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223).rotate_left(16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Option<Duration> {
        Some(Duration::from_millis(n))
    }

    #[test]
    fn the_first_young_death_is_answered_at_once_and_later_ones_after_growing_pauses() {
        let mut crashes = CrashCounter::NONE;
        let limits = LifecycleLimits::default();
        let verdicts: Vec<_> = (0..9).map(|_| crashes.count(None, Blame::Worker, &limits, 0)).collect();
        let pauses = [100, 200, 400, 800, 1600, 3200, 5000, 5000];
        assert_eq!(verdicts[0], RestartDecision::Again);
        for (verdict, pause) in verdicts[1..].iter().zip(pauses) {
            assert_eq!(*verdict, RestartDecision::AgainAfter(Duration::from_millis(pause)));
        }
    }

    #[test]
    fn jitter_only_shortens_a_pause_and_by_a_quarter_at_most() {
        for jitter in [1, 255, 256, u32::MAX] {
            let pause = pause(3, jitter);
            assert!(pause <= Duration::from_millis(200) && pause >= Duration::from_millis(150), "{pause:?}");
        }
    }

    #[test]
    fn a_life_over_a_second_ends_the_pauses_whatever_the_threshold_says() {
        let mut crashes = CrashCounter::NONE;
        let limits = LifecycleLimits {
            exit_threshold: ms(60_000),
            allowed_sequential_deaths: 100,
            ..LifecycleLimits::default()
        };
        crashes.count(None, Blame::Worker, &limits, 0);
        crashes.count(None, Blame::Worker, &limits, 0);
        assert_eq!(crashes.count(ms(1000), Blame::Worker, &limits, 0), RestartDecision::Again);
        assert_eq!(
            crashes.count(ms(10), Blame::Worker, &limits, 0),
            RestartDecision::Again,
            "the count of young crashes began anew"
        );
    }

    #[test]
    fn more_sequential_deaths_than_allowed_give_the_worker_up() {
        let mut crashes = CrashCounter::NONE;
        let limits = LifecycleLimits {
            exit_threshold: ms(5000),
            allowed_sequential_deaths: 1,
            ..LifecycleLimits::default()
        };
        assert_eq!(crashes.count(ms(10), Blame::Worker, &limits, 0), RestartDecision::Again);
        assert_eq!(crashes.count(ms(10), Blame::Worker, &limits, 0), RestartDecision::GiveUp(2));
    }

    #[test]
    fn a_life_that_outlives_the_threshold_resets_the_count() {
        let mut crashes = CrashCounter::NONE;
        let limits = LifecycleLimits {
            exit_threshold: ms(5000),
            allowed_sequential_deaths: 1,
            ..LifecycleLimits::default()
        };
        crashes.count(None, Blame::Worker, &limits, 0);
        assert_eq!(crashes.count(ms(5000), Blame::Worker, &limits, 0), RestartDecision::Again);
        assert_eq!(crashes.count(None, Blame::Worker, &limits, 0), RestartDecision::Again);
        assert_eq!(crashes.count(None, Blame::Worker, &limits, 0), RestartDecision::GiveUp(2));
    }

    #[test]
    fn without_a_threshold_no_worker_is_ever_given_up() {
        let mut crashes = CrashCounter::NONE;
        let limits = LifecycleLimits::default();
        for _ in 0..10_000 {
            assert!(!matches!(crashes.count(None, Blame::Worker, &limits, 7), RestartDecision::GiveUp(_)));
        }
    }

    #[test]
    fn slow_starts_and_versions_a_rollout_waits_for_only_back_off() {
        for blame in [Blame::Slowness, Blame::Version] {
            let mut crashes = CrashCounter::NONE;
            let limits = LifecycleLimits { exit_threshold: ms(5000), ..LifecycleLimits::default() };
            assert_eq!(crashes.count(None, blame, &limits, 0), RestartDecision::Again);
            for _ in 0..100 {
                assert!(matches!(crashes.count(None, blame, &limits, 0), RestartDecision::AgainAfter(_)));
            }
            assert_eq!(crashes.count(None, Blame::Worker, &limits, 0), RestartDecision::GiveUp(1));
        }
    }

    #[test]
    fn the_fifth_death_in_a_row_after_a_refused_listen_is_the_last() {
        let mut crashes = CrashCounter::NONE;
        let limits = LifecycleLimits::default();
        for _ in 0..2 {
            for _ in 1..REFUSED_TRIES {
                assert!(matches!(
                    crashes.count(None, Blame::ListenRefusal, &limits, 0),
                    RestartDecision::Again | RestartDecision::AgainAfter(_)
                ));
            }
            assert!(matches!(crashes.count(None, Blame::Worker, &limits, 0), RestartDecision::AgainAfter(_)));
        }
        for _ in 1..REFUSED_TRIES {
            crashes.count(None, Blame::ListenRefusal, &limits, 0);
        }
        assert_eq!(crashes.count(None, Blame::ListenRefusal, &limits, 0), RestartDecision::NeverServed(5));
    }
}
