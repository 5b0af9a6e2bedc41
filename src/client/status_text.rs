//! The status for people: who answers, how it goes, and a row for every worker.
//!
//! Invariants: it is made of the status alone; every row fits the table's width.

use std::fmt::Write;
use std::time::Duration;

use super::form::{Colour, FAINT, GREEN, RED, YELLOW};
use super::table::{self, Cell, Column, Side, end_of, painted};
use super::words::{bytes, counted, plain, processor_time, share, time};
use crate::control::schema::{
    App, AppState, FailedRollout, Failure, Goal, Host, HostKind, Instance, Outcome, Role, Rollout, State,
    Status, Worker,
};

const COLUMNS: [Column; 9] = [
    Column { head: "WID", side: Side::Right },
    Column { head: "STATE", side: Side::Left },
    Column { head: "PID", side: Side::Right },
    Column { head: "UP", side: Side::Right },
    Column { head: "RESTARTS", side: Side::Right },
    Column { head: "CPU", side: Side::Right },
    Column { head: "MEMORY", side: Side::Right },
    Column { head: "GEN", side: Side::Right },
    Column { head: "PORTS", side: Side::Left },
];

/// What went before, when it is shown again and again.
#[derive(Debug)]
pub(super) struct Before {
    pub(super) status: Status,
    /// How long ago that was.
    pub(super) ago: Duration,
}

/// How everything stands. Processor time is all that was used or, where something went before, the share since then.
pub(super) fn render(status: &Status, before: Option<&Before>, colour: Colour) -> String {
    let mut text = head(status, before, colour);
    let rows: Vec<_> = status.workers.iter().flat_map(|worker| rows(worker, before, colour)).collect();
    if !rows.is_empty() {
        text.push('\n');
        text.push_str(&table::render(COLUMNS, &rows, ports));
    }
    text
}

/// The colour of how many workers are ready.
pub(super) fn colour_of_readiness(status: &Status, colour: Colour) -> Option<&'static str> {
    let is_well = status.ready >= status.wanted && status.goal == Goal::Serving;
    colour.of(if is_well { GREEN } else { YELLOW })
}

fn head(status: &Status, before: Option<&Before>, colour: Colour) -> String {
    let master = &status.master;
    let mut text = format!("{}\n", plain(&master.config));
    let used = match before {
        Some(Before { status, ago }) => {
            used_since(master.cpu_ms, status.master.cpu_ms).map(|used| share(used, *ago))
        }
        None => master.cpu_ms.map(processor_time),
    };
    let used = used.map(|used| format!(", CPU {used}")).unwrap_or_default();
    let memory = master.memory_bytes.map(|memory| format!(", {}", bytes(memory))).unwrap_or_default();
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "luster {}, pid {}, up {}, generation {}{used}{memory}",
        plain(&master.version),
        master.pid,
        time(master.uptime_ms),
        status.generation
    );
    let ready = format!("{} of {} ready", status.ready, counted(status.wanted, "worker"));
    let ready = painted(&ready, colour_of_readiness(status, colour));
    let goal = match status.goal {
        Goal::Serving | Goal::Unknown => "",
        Goal::Stopping => "; everything is being stopped",
    };
    let _ = writeln!(text, "{ready}{goal}");
    if status.reading {
        text.push_str("the configuration is being read\n");
    }
    if let Some(rollout) = &status.rollout {
        let _ = writeln!(text, "{}", self::rollout(rollout));
    }
    if let Some(failed) = &status.failed_rollout {
        let _ = writeln!(text, "{}", painted(&failed_rollout(failed, status), colour.of(YELLOW)));
    }
    if let Some(host) = &status.host {
        let _ = writeln!(text, "{}", self::host(host));
    }
    for app in &status.apps {
        let _ = writeln!(text, "{}", self::app(app, colour));
    }
    if let Some((wid, failure)) = last_failure(status) {
        let _ = writeln!(
            text,
            "last failure: worker {wid}, {} ago: {}",
            time(failure.ago_ms),
            first_line(&failure.reason)
        );
    }
    text
}

/// `api: running, 2 of 2 workers ready`.
fn app(app: &App, colour: Colour) -> String {
    let (state, painted_as) = match app.state {
        AppState::Running => ("running", GREEN),
        AppState::Waiting => ("waiting", YELLOW),
        AppState::Stopping => ("stopping", YELLOW),
        AppState::Stopped => ("stopped", FAINT),
        AppState::Dead => ("dead", RED),
        AppState::Unknown => ("unknown", FAINT),
    };
    let state = painted(state, colour.of(painted_as));
    let on = match app.waits_for.is_empty() {
        true => String::new(),
        false => format!(" for {}", plain(&app.waits_for.join(", "))),
    };
    let wanted = counted(app.wanted, "worker");
    format!(
        "{}: {state}{on}, {} of {wanted} ready, generation {}",
        plain(&app.name),
        app.ready,
        app.generation
    )
}

fn rollout(rollout: &Rollout) -> String {
    let Rollout { total, replaced, under_way, waiting, held, taking_back, elapsed_ms } = rollout;
    let what = if *taking_back { "taking back the last rollout" } else { "rollout" };
    let held = if *held { "; it waits for one that does not start" } else { "" };
    let elapsed = time(*elapsed_ms);
    format!(
        "{what}: replaced {replaced} of {total}, {under_way} under way, {waiting} waiting, {elapsed}{held}"
    )
}

/// How the last rollout has failed, and what runs now.
fn failed_rollout(failed: &FailedRollout, status: &Status) -> String {
    let is_under_way = status.rollout.as_ref().is_some_and(|rollout| rollout.taking_back);
    let (end, serving) = match failed.outcome {
        Outcome::TakenBack if is_under_way => (" and is being taken back", "workers go back to it"),
        Outcome::TakenBack => (" and was taken back", &*failed.serving),
        Outcome::Refused => (" before it began", &*failed.serving),
        Outcome::Accepted | Outcome::Done | Outcome::Aborted | Outcome::Overruled | Outcome::Unknown => {
            ("", &*failed.serving)
        }
    };
    let (ago, why, serving) = (time(failed.ago_ms), first_line(&failed.reason), plain(serving));
    let generation = status.generation;
    format!("the last rollout failed {ago} ago{end}: {why}; generation {generation} is in force: {serving}")
}

fn host(host: &Host) -> String {
    let what = match host.kind {
        HostKind::ExtensionHost => "extension host",
        HostKind::CustomMaster => "script",
        HostKind::Unknown => "host",
    };
    let pid = host.pid.map(|pid| format!(", pid {pid}")).unwrap_or_default();
    format!("{what}: {}{pid}", state_word(host.state))
}

fn last_failure(status: &Status) -> Option<(String, &Failure)> {
    let failures =
        status.workers.iter().filter_map(|worker| Some((worker_name(worker), worker.last_failure.as_ref()?)));
    failures.min_by_key(|(_, failure)| failure.ago_ms)
}

/// A clause of one line.
fn first_line(text: &str) -> String {
    plain(text.lines().next().unwrap_or_default())
}

/// The worker's own row, and one for each process besides.
fn rows(worker: &Worker, before: Option<&Before>, colour: Colour) -> Vec<[Cell; 9]> {
    let is_active = |instance: &&Instance| instance.role == Role::Active;
    let active = worker.instances.iter().find(is_active);
    let others = worker.instances.iter().filter(|instance| !is_active(instance));
    let pause = worker.backoff_ms.map(|left| format!(" {}", time(left))).unwrap_or_default();
    let state = format!("{}{pause}", state_word(worker.state));
    let own = row(
        worker_name(worker),
        Cell { text: state, colour: colour.of(state_colour(worker.state)) },
        worker.restarts.to_string(),
        active.map(|active| (active, before)),
    );
    let besides = others.map(|instance| {
        let role = match instance.role {
            Role::Successor => " (new)",
            Role::Retiring => " (old)",
            Role::Active | Role::Unknown => "",
        };
        let text = format!("{}{role}", state_word(instance.state));
        let state = Cell { text, colour: colour.of(state_colour(instance.state)) };
        row(String::new(), state, String::new(), Some((instance, before)))
    });
    [own].into_iter().chain(besides).collect()
}

/// `3`, or `api/3` where there are several apps.
fn worker_name(worker: &Worker) -> String {
    match &worker.app {
        None => worker.wid.to_string(),
        Some(app) => format!("{}/{}", plain(app), worker.wid),
    }
}

fn row(
    wid: String,
    state: Cell,
    restarts: String,
    process: Option<(&Instance, Option<&Before>)>,
) -> [Cell; 9] {
    let Some((instance, before)) = process else {
        let [wid, restarts] = [wid, restarts].map(Cell::from);
        let none = Cell::default;
        return [wid, state, none(), none(), restarts, none(), none(), none(), none()];
    };
    let used = match before {
        Some(Before { status, ago }) => {
            let earlier = cpu_of(status, instance);
            used_since(instance.cpu_ms, earlier).map(|used| share(used, *ago))
        }
        None => instance.cpu_ms.map(processor_time),
    };
    let cells = [
        instance.pid.map(|pid| pid.to_string()).unwrap_or_default(),
        time(instance.uptime_ms),
        restarts,
        used.unwrap_or_default(),
        instance.memory_bytes.map(bytes).unwrap_or_default(),
        instance.generation.to_string(),
        instance.endpoints.iter().map(|endpoint| port(endpoint)).collect::<Vec<_>>().join(" "),
    ];
    let [pid, up, restarts, used, memory, generation, ports] = cells.map(Cell::from);
    [wid.into(), state, pid, up, restarts, used, memory, generation, ports]
}

fn used_since(now: Option<u64>, before: Option<u64>) -> Option<u64> {
    Some(now?.saturating_sub(before.unwrap_or(0)))
}

/// What this process had used: by its pid, because each app counts by itself.
fn cpu_of(status: &Status, now: &Instance) -> Option<u64> {
    let instances = status.workers.iter().flat_map(|worker| &worker.instances);
    instances.filter(|known| known.id == now.id && known.pid == now.pid).find_map(|known| known.cpu_ms)
}

/// `*:8080` for `tcp *:8080`, the path for a unix socket; what else there is stays.
fn port(endpoint: &str) -> String {
    let known = endpoint.strip_prefix("tcp ").or_else(|| endpoint.strip_prefix("unix "));
    // They are separated by spaces.
    plain(known.unwrap_or(endpoint)).replace(' ', "_")
}

/// As many ports as there is room for, and how many more there are.
fn ports(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let ports: Vec<_> = text.split(' ').collect();
    let shown = |count: usize| {
        let more = ports.len() - count;
        let some = ports[..count].join(" ");
        format!("{some}{}+{more}", if count == 0 { "" } else { " " })
    };
    let fitting = (1..ports.len()).rev().map(shown).find(|some| some.chars().count() <= width);
    match (fitting, ports.len()) {
        (Some(fitting), _) => fitting,
        (None, 1) => end_of(text, width),
        (None, _) => end_of(&shown(0), width),
    }
}

/// The state in a word, or two.
pub(super) const fn state_word(state: State) -> &'static str {
    match state {
        State::Starting => "starting",
        State::Ready => "ready",
        State::Draining => "draining",
        State::Stopping => "stopping",
        State::BackingOff => "backing off",
        State::Dead => "dead",
        State::Stopped => "stopped",
        State::Idle => "idle",
        State::Unknown => "unknown",
    }
}

const fn state_colour(state: State) -> &'static str {
    match state {
        State::Ready => GREEN,
        State::Starting | State::Draining | State::Stopping | State::BackingOff => YELLOW,
        State::Dead => RED,
        State::Stopped | State::Idle | State::Unknown => FAINT,
    }
}
