//! The loop itself, from the first fork to the exit code.

use anyhow::Context;
use tracing::info;

use super::app::{RunSpec, ready_now};
use super::clock;
use super::ending;
use super::fleet::{Fleet, next_of};
use crate::exit::Exit;
use crate::node::ipc::Progress;
use crate::process::{Asked, ReceivedSignal, Remaining, Signals};

/// Runs the workers until they are stopped or all dead. Blocks.
///
/// # Errors
/// The kernel refuses what the loop itself needs: an epoll instance, the signals' pipe.
pub fn run(job: RunSpec) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("the event loop cannot be made")?.block_on(drive(job))
}

async fn drive(job: RunSpec) -> anyhow::Result<Exit> {
    let mut signals = Signals::listen(job.terminal).context("signals cannot be received")?;
    let last_words = job.last_words;
    let mut fleet = Fleet::prepare(job)?;
    let mut dead = Remaining::More;
    // Somebody was answered over the control socket last: now it is others' turn.
    let mut answered = Progress::Idle;
    while fleet.outcome.is_none() {
        if let Some(names) = fleet.signals_wanted() {
            signals.pass_on(&names);
        }
        let due = fleet.next_wake();
        let asked = std::mem::replace(&mut answered, Progress::Idle);
        let Fleet { apps, desk, reader, turn, .. } = &mut fleet;
        tokio::select! {
            // Requests first: no load may keep a stop from being heard. The dead next, because their
            // connections wait for others. Deadlines before traffic, which never ends. Whoever asks how things stand comes
            // between, every other time at most.
            biased;
            received = signals.next() => match received {
                ReceivedSignal::Asked(asked, passed) => {
                    announce(asked);
                    // The host hears of it before its consequences.
                    passed.inspect(|passed| fleet.pass_on_signal(clock::now(), *passed));
                    fleet.asked_by_signal(clock::now(), asked);
                }
                ReceivedSignal::Passed(passed) => fleet.pass_on_signal(clock::now(), passed),
                ReceivedSignal::ChildChanged => dead = fleet.reap(clock::now()),
            },
            () = ready_now(dead == Remaining::More) => dead = fleet.reap(clock::now()),
            () = clock::reaches(due) => fleet.wake(clock::now()),
            call = desk.control.next(), if asked == Progress::Idle => {
                fleet.control_call(clock::now(), call);
                answered = Progress::More;
            }
            (number, word) = reader.next() => fleet.hear_reader(clock::now(), number, word),
            (name, happened) = next_of(apps, turn) => fleet.take_up(clock::now(), &name, happened?),
            () = ready_now(asked == Progress::More) => {}
        }
        fleet.settle(clock::now());
    }
    fleet.clean_up();
    let exit = fleet.outcome.as_ref().map_or(Exit::Internal, ending::exit);
    fleet.desk.control.end();
    // The log files that it may go to are closed with the hands.
    last_words();
    Ok(exit)
}

fn announce(asked: Asked) {
    match asked {
        Asked::Stop(cause) => info!(event = "asked", signal = %cause, "got {cause}"),
        Asked::Restart => info!(event = "asked", signal = "SIGHUP", "got SIGHUP"),
        Asked::ReopenLogs => info!(event = "asked", signal = "SIGUSR1", "got SIGUSR1"),
    }
}
