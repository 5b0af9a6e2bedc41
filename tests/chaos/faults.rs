//! What is done to a fleet.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::dice::Dice;
use crate::fleet::{Fleet, Release};
use crate::harness::Injection;
use crate::inject::FAILURES;

/// What may be done at all here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tracing {
    Permitted,
    Refused,
}

/// Kinds of what is done.
const KINDS: &[Kind] = &[
    Kind::Kill,
    Kind::Pause,
    Kind::Deed,
    Kind::Boot,
    Kind::Deploy,
    Kind::Edit,
    Kind::Ask,
    Kind::Ask,
    Kind::Command,
    Kind::Hangup,
    Kind::KillHost,
    Kind::Inject,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Kill,
    Pause,
    Deed,
    Boot,
    Deploy,
    Edit,
    Ask,
    Command,
    Hangup,
    KillHost,
    Inject,
}

/// Several things at almost the same time; answers with how many.
pub(crate) fn happen(fleet: &mut Fleet, dice: &mut Dice, tracing: Tracing) -> Result<u64, String> {
    let (count, mut injections) = (dice.number(1..=4), Vec::new());
    for _ in 0..count {
        match dice.pick(KINDS) {
            Kind::Inject if tracing == Tracing::Permitted && injections.is_empty() => {
                injections.push(inject(fleet, dice)?);
            }
            // A second tracer is refused by the kernel.
            Kind::Inject => ask(fleet, dice),
            Kind::Kill => kill(fleet, dice),
            Kind::Pause => pause(fleet, dice),
            Kind::Deed => deed(fleet, dice),
            Kind::Boot => boot(fleet, dice),
            Kind::Deploy => deploy(fleet, dice),
            Kind::Edit => edit(fleet, dice),
            Kind::Ask => ask(fleet, dice),
            Kind::Command => command(fleet, dice),
            Kind::Hangup => hang_up(fleet),
            Kind::KillHost => kill_host(fleet),
        }
        // Chance decides how far one thing has come when the next one happens.
        std::thread::sleep(Duration::from_millis(dice.number(0..=250)));
    }
    std::thread::sleep(Duration::from_millis(dice.pick(&[0, 100, 700])));
    Ok(count)
}

fn some(fleet: &Fleet, dice: &mut Dice) -> Vec<i32> {
    let mut workers = fleet.workers();
    if !dice.once_in(3) {
        let most = dice.number(1..=2);
        while workers.len() as u64 > most {
            let index = dice.number(0..=workers.len() as u64 - 1);
            workers.swap_remove(usize::try_from(index).expect("an index"));
        }
    }
    workers
}

fn kill(fleet: &Fleet, dice: &mut Dice) {
    let workers = some(fleet, dice);
    let signal = dice.pick(&[Signal::SIGKILL, Signal::SIGKILL, Signal::SIGSEGV, Signal::SIGTERM]);
    fleet.note(format!("{signal} to {workers:?}"));
    fleet.hurt(&workers);
    workers.into_iter().for_each(|pid| Fleet::signal(pid, signal));
}

fn pause(fleet: &mut Fleet, dice: &mut Dice) {
    let workers = some(fleet, dice);
    fleet.note(format!("SIGSTOP to {workers:?}"));
    fleet.hurt(&workers);
    workers.iter().for_each(|pid| Fleet::signal(*pid, Signal::SIGSTOP));
    fleet.stopped.extend(workers);
}

fn deed(fleet: &mut Fleet, dice: &mut Dice) {
    let deed = dice.pick(&["garbage", "flood", "spin", "crash", "leave", "stay"]);
    let workers = some(fleet, dice);
    fleet.note(format!("{workers:?} are to do this: {deed}"));
    if deed != "leave" {
        fleet.hurt(&workers);
    }
    // Nobody misses one that spins and is not to end, or half a message.
    fleet.needs_reload |= matches!(deed, "spin" | "flood" | "stay");
    workers.into_iter().for_each(|pid| fleet.has_do(pid, deed));
}

fn boot(fleet: &mut Fleet, dice: &mut Dice) {
    let mode = dice.pick(&["exit", "hang", "spin"]);
    fleet.note(format!("new workers {mode} from now on"));
    fleet.running.put("mode", mode);
    fleet.needs_reload = true;
    if dice.once_in(2) {
        kill(fleet, dice);
    }
}

fn release(fleet: &mut Fleet, dice: &mut Dice) -> Release {
    let resized = Release::Resized(dice.number(1..=5));
    let release = dice.pick(&[
        Release::Good,
        Release::Good,
        resized,
        Release::NoJson,
        Release::WrongType,
        Release::NoConfiguration,
        Release::NoApp,
        Release::SyntaxError,
        Release::Exits,
        Release::NeverReady,
        Release::Crashes,
    ]);
    fleet.needs_reload = true;
    if release == Release::Crashes {
        // Who that is turns out later.
        fleet.hurt(&[]);
    }
    release
}

fn deploy(fleet: &mut Fleet, dice: &mut Dice) {
    let release = release(fleet, dice);
    fleet.note(format!("a release is deployed by the link: {release:?}"));
    fleet.deploy(release);
    if dice.once_in(2) {
        fleet.ask_for("reload", json!({}));
    }
}

fn edit(fleet: &mut Fleet, dice: &mut Dice) {
    let release = release(fleet, dice);
    fleet.note(format!("the release is changed in its place: {release:?}"));
    fleet.edit(release);
    if dice.once_in(2) {
        fleet.ask_for("reload", json!({}));
    }
}

/// Worker 1 is never stopped on request: somebody has to listen.
fn ask(fleet: &mut Fleet, dice: &mut Dice) {
    let worker = dice.number(2..=fleet.shape.workers + 1);
    let (what, body) = dice.pick(&[
        ("reload", json!({})),
        ("restart", json!({})),
        ("restart", json!({"workers": [1, worker]})),
        ("scale", json!({"count": dice.clone().number(1..=6)})),
        ("scale", json!({"change": dice.clone().pick(&[-1, 1, 2])})),
        ("stop", json!({"workers": [worker]})),
        ("start", json!({"workers": [worker]})),
        ("start", json!({})),
        ("revive", json!({})),
    ]);
    // The next one gets other numbers than these.
    let _ = dice.next();
    fleet.note(format!("asked for {what} {body}"));
    fleet.needs_reload |= !matches!(what, "restart" | "revive" | "start");
    fleet.ask_for(what, body);
}

fn command(fleet: &mut Fleet, dice: &mut Dice) {
    let worker = dice.number(2..=fleet.shape.workers).to_string();
    let words = dice.pick(&[
        vec!["reload"],
        vec!["restart"],
        vec!["restart", &worker],
        vec!["scale", "+1"],
        vec!["scale", "2"],
        vec!["stop", &worker],
        vec!["start", &worker],
        vec!["status"],
        vec!["reload", "--no-wait"],
    ]);
    fleet.note(format!("luster {}", words.join(" ")));
    fleet.needs_reload = true;
    fleet.command_for(&words);
}

fn hang_up(fleet: &mut Fleet) {
    fleet.note("SIGHUP");
    fleet.needs_reload = true;
    fleet.running.signal(Signal::SIGHUP);
}

fn kill_host(fleet: &Fleet) {
    if let Some(pid) = fleet.host() {
        fleet.note(format!("the host {pid} is killed"));
        Fleet::signal(pid, Signal::SIGKILL);
    }
}

/// System calls fail, and something is done that makes them.
fn inject(fleet: &mut Fleet, dice: &mut Dice) -> Result<Injection, String> {
    let (calls, errors) = dice.pick(FAILURES);
    let error = dice.pick(errors);
    let (first, step) = (dice.number(1..=3), dice.pick(&[1, 2, 5]));
    fleet.note(format!("{calls} fail with {error}, from number {first} each {step}"));
    fleet.needs_reload = true;
    let injection = Injection::attach(fleet.running.pid(), calls, error, first, step)?;
    match dice.number(1..=3) {
        1 => kill(fleet, dice),
        2 => fleet.ask_for("restart", json!({})),
        _ => fleet.ask_for("reload", json!({})),
    }
    std::thread::sleep(Duration::from_millis(dice.number(100..=900)));
    Ok(injection)
}

/// Many workers that all die at once; answers with how many.
pub(crate) fn massacre(fleet: &mut Fleet) -> Result<u64, String> {
    let usual = std::mem::replace(&mut fleet.shape.workers, 24);
    let base = fleet.base.take();
    fleet.note("scaled to 24, and all of them are killed");
    fleet.ask_for("scale", json!({"count": 24}));
    fleet.await_health("a scale to 24")?;
    let workers = fleet.workers();
    fleet.hurt(&workers);
    workers.iter().for_each(|pid| Fleet::signal(*pid, Signal::SIGKILL));
    fleet.await_health("the death of all 24")?;
    (fleet.shape.workers, fleet.base) = (usual, base);
    fleet.ask_for("scale", json!({"count": usual}));
    fleet.recover()?;
    Ok(workers.len() as u64)
}
