//! Chaos: a luster with real workers under load, to which everything happens that can, at random and repeatably.
//!
//! `cargo test --test chaos -- --seconds 120 --seed any`; `LUSTER_CHAOS_SECONDS` and `LUSTER_CHAOS_SEED` say the same. A seed is a
//! number, or `any`: the time. Without one it is always the same, so that whoever runs the tests is not stopped by a fault that he
//! has not caused; new faults are looked for with `any`, before each release for an hour. After every round everything must be as it was: the right number of workers as luster and as /proc say
//! it, no zombie, no orphan, no descriptor and no memory more than at first, every listener answers, every request that was
//! asked is answered, and no client's request has failed but those whose worker was hurt.

#[path = "../it/harness/mod.rs"]
#[expect(dead_code, unused_imports, reason = "stories use more of it")]
mod harness;

mod asking;
mod clients;
mod dice;
mod faults;
mod fleet;
mod inject;
mod journal;

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use dice::Dice;
use faults::Tracing;
use fleet::{Fleet, Shape};
use journal::Journal;

/// How long it takes beside the other tests.
const USUAL: u64 = 45;

/// The seed of a run that says none.
const USUAL_SEED: u64 = 732_960_016;

/// How long one luster lives.
const LIFE: Duration = Duration::from_secs(12);

/// What is to be done.
struct Plan {
    time: Duration,
    seed: u64,
}

/// What was.
#[derive(Default)]
struct Tally {
    lusters: u64,
    rounds: u64,
    faults: u64,
    answered: usize,
    failed: usize,
}

impl Plan {
    /// What the arguments say; nothing if other tests are meant by them.
    fn read() -> Option<Self> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let given = |option: &str, variable: &str| {
            let at = words.iter().position(|word| word == option);
            let given = at.and_then(|at| words.get(at + 1)).cloned();
            given.or_else(|| std::env::var(variable).ok())
        };
        let number = |word: String| word.parse().unwrap_or_else(|_| panic!("{word:?} is no number"));
        if words.iter().any(|word| word == "--list") {
            return None;
        }
        let valued = ["--seconds", "--seed", "--test-threads", "--format", "--color", "--skip"];
        let behind_option = |index: usize| index > 0 && valued.contains(&&*words[index - 1]);
        let mut filters = words
            .iter()
            .enumerate()
            .filter(|(index, word)| !word.starts_with('-') && !behind_option(*index))
            .peekable();
        let is_meant = filters.peek().is_none() || filters.any(|(_, word)| "chaos".contains(&**word));
        let by_time = || std::time::UNIX_EPOCH.elapsed().map_or(1, |time| u64::from(time.subsec_nanos()));
        is_meant.then(|| Self {
            time: Duration::from_secs(given("--seconds", "LUSTER_CHAOS_SECONDS").map_or(USUAL, number)),
            seed: match given("--seed", "LUSTER_CHAOS_SEED") {
                None => USUAL_SEED,
                Some(any) if any == "any" => by_time(),
                Some(seed) => number(seed),
            },
        })
    }
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a test tells how it went")]
fn main() -> ExitCode {
    let Some(plan) = Plan::read() else { return ExitCode::SUCCESS };
    let Plan { time, seed } = plan;
    println!("chaos for {} s, seed {seed}", time.as_secs());
    let tracing = tracing();
    let (journal, mut tally) = (Journal::new(), Tally::default());
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| run(&plan, tracing, &journal, &mut tally)));
    let Tally { lusters, rounds, faults, answered, failed } = tally;
    let reason = match outcome {
        Ok(Ok(())) => {
            println!(
                "chaos: {faults} faults survived in {rounds} rounds by {lusters} lusters; {answered} requests were answered, \
                 {failed} failed with their workers; seed {seed}"
            );
            return ExitCode::SUCCESS;
        }
        Ok(Err(reason)) => reason,
        Err(_) => "a panic, see above".to_owned(),
    };
    eprintln!("what was done last:\n{}", journal.last());
    eprintln!("chaos: after {faults} faults: {reason}");
    eprintln!("again: cargo test --test chaos -- --seconds {} --seed {seed}", time.as_secs());
    ExitCode::FAILURE
}

/// Whether system calls can be made to fail here.
#[expect(clippy::print_stderr, reason = "what is not tested is said")]
fn tracing() -> Tracing {
    let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep is there");
    let pid = i32::try_from(child.id()).expect("a pid");
    let attached = harness::Injection::attach(pid, "openat", "EMFILE", 1, 1);
    let _ = child.kill();
    let _ = child.wait();
    match attached {
        Ok(_) => Tracing::Permitted,
        Err(reason) => {
            eprintln!(
                "chaos: SKIPPED: no system call of luster fails, because ptrace is not permitted here: {reason}"
            );
            Tracing::Refused
        }
    }
}

#[expect(clippy::print_stdout, reason = "a test tells how it went")]
fn run(plan: &Plan, tracing: Tracing, journal: &Journal, tally: &mut Tally) -> Result<(), String> {
    let (deadline, mut dice) = (Instant::now() + plan.time, Dice::new(plan.seed));
    while Instant::now() < deadline {
        let shape = Shape::any(&mut dice);
        journal.note(format!("a luster: {shape:?}"));
        // Of its own, so that how many rounds one has does not change the next one.
        let mut rounds = Dice::new(dice.next());
        let mut fleet = Fleet::start(shape.clone(), journal.clone())?;
        tally.lusters += 1;
        if tally.lusters % 10 == 1 {
            tally.faults += faults::massacre(&mut fleet)?;
        }
        let life = Instant::now();
        while Instant::now() < deadline && life.elapsed() < LIFE {
            journal.note(format!("round {}", tally.rounds + 1));
            let survived = faults::happen(&mut fleet, &mut rounds, tracing)
                .and_then(|faults| fleet.recover().map(|()| faults));
            tally.faults += survived.map_err(|reason| format!("{reason}\n{}", fleet.testimony()))?;
            tally.rounds += 1;
        }
        fleet.clients.end();
        tally.answered += fleet.clients.answered();
        tally.failed += fleet.clients.failed();
        let (first, last) = fleet.memories();
        println!("{shape:?}: {} rounds so far, memory {first} KiB, then {last} KiB", tally.rounds);
        fleet.end()?;
    }
    Ok(())
}
