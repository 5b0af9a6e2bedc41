//! luster's own messages on a worker's channel (contract section 7): read and written.
//!
//! Invariant: whatever a worker sends, it is at most ignored.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::core::{Haste, LastWords};
use crate::node::cluster::BindRequest;

/// The callback id of our one call with an answer. An instance is suspended once, so one id does.
const SUSPEND_CALLBACK: &str = "luster.suspend";

/// More than a version of Node has.
const LONGEST_VERSION: usize = 40;

/// What a worker says in luster's language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// A worker event, from `core.master.broadcastWorkerEvent`.
    Event {
        /// Which.
        name: String,
        /// Whether the host has heard of it already.
        way: Way,
    },
    /// It begins to leave by itself (`cluster.worker.disconnect()`); said before it closes anything.
    Leaving,
    /// It has closed servers, their connections have ended, and it goes on.
    LivesOn,
    /// The answer to our request to bind: its number, and the error if there was one.
    Bound {
        /// Which request.
        id: u32,
        /// Why not, in place of the socket.
        errno: Option<i32>,
    },
    /// It is about to close its channel, and has no connection left; said at once before.
    Drained,
    /// It is about to die of this.
    LastWords(LastWords),
    /// Its Node is older than what is supported: this version.
    OldNode(String),
    /// The answer to our request to suspend.
    Suspended,
    /// A call of one of the commands that extensions and custom masters register.
    Call(String),
    /// It uses the direct channel from now on.
    LineOpen,
    /// Of luster's own, between a worker and the host.
    Internal,
    /// A message of the app's own.
    Foreign,
}

/// How a worker event comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Only to us.
    Channel,
    /// By the direct channel, too.
    DirectChannel,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    cmd: std::borrow::Cow<'a, str>,
    #[serde(borrow, default)]
    args: Vec<&'a RawValue>,
    /// The same has been told by the direct channel.
    #[serde(default)]
    direct: bool,
}

/// Understands a user message.
pub(super) fn parse(message: &RawValue) -> Said {
    let Ok(envelope) = serde_json::from_str::<Envelope<'_>>(message.get()) else { return Said::Foreign };
    let Some(command) = envelope.cmd.strip_prefix("luster_") else { return Said::Foreign };
    let first = envelope.args.first().and_then(|arg| serde_json::from_str::<String>(arg.get()).ok());
    match (command, first) {
        ("core.master.broadcastWorkerEvent", Some(name)) => {
            Said::Event { name, way: if envelope.direct { Way::DirectChannel } else { Way::Channel } }
        }
        ("core.master.leaving", _) => Said::Leaving,
        ("core.master.drained", _) => Said::Drained,
        ("core.master.livesOn", _) => Said::LivesOn,
        ("core.master.lastWords", Some(error)) => Said::LastWords(last_words(&error, envelope.args.get(1))),
        ("core.master.oldNode", Some(version)) => {
            Said::OldNode(version.chars().take(LONGEST_VERSION).collect())
        }
        ("core.master.bound", _) => bound(&envelope.args).unwrap_or(Said::Internal),
        ("core.master.directChannelOpen", _) => Said::LineOpen,
        ("core.callback", Some(id)) if id == SUSPEND_CALLBACK => Said::Suspended,
        (command, _) if command.starts_with("core.") => Said::Internal,
        (command, _) => Said::Call(command.to_owned()),
    }
}

/// What a worker says it dies of; nothing of where, if it does not say so.
fn last_words(error: &str, place: Option<&&RawValue>) -> LastWords {
    let place = place.and_then(|place| serde_json::from_str::<String>(place.get()).ok());
    LastWords::new(error, place.as_deref())
}

fn bound(args: &[&RawValue]) -> Option<Said> {
    let number = |at: usize| args.get(at).map(|arg| arg.get());
    let id = number(0)?.parse().ok()?;
    let errno = number(1).map(str::parse).transpose().ok()?;
    Some(Said::Bound { id, errno })
}

/// Whether a message to a worker is a remote call.
pub(super) fn is_call(message: &RawValue) -> bool {
    message.get().starts_with(r#"{"cmd":"luster_"#)
        && !message.get().starts_with(r#"{"cmd":"luster_core.worker.directChannel"#)
}

/// Whether a message to a worker says that the direct channel is used from now on.
pub(super) fn opens_direct_channel(message: &RawValue) -> bool {
    message.get() == r#"{"cmd":"luster_core.worker.directChannelOpen"}"#
}

/// A command to a worker.
#[derive(Debug, Serialize)]
pub(super) struct WorkerCommand<T> {
    cmd: &'static str,
    args: T,
}

/// What a worker cannot know by itself; it loads the app when it has it.
#[derive(Debug, Serialize)]
pub(super) struct ForeignProperties {
    pid: i32,
}

/// Tells a worker its foreign properties.
pub(super) const fn foreign_properties(pid: i32) -> WorkerCommand<[ForeignProperties; 1]> {
    WorkerCommand { cmd: "luster_core.worker.applyForeignProperties", args: [ForeignProperties { pid }] }
}

/// What a worker has to know of a stop.
#[derive(Debug, Serialize)]
pub(super) struct Stop {
    /// Whether clients or people wait for its end.
    hasty: bool,
}

/// Asks a worker to run its suspend functions and answer.
pub(super) const fn suspend(haste: Haste) -> WorkerCommand<(Option<Stop>, &'static str)> {
    let stop = match haste {
        Haste::None => None,
        Haste::Some => Some(Stop { hasty: true }),
    };
    WorkerCommand { cmd: "luster_core.worker.suspend", args: (stop, SUSPEND_CALLBACK) }
}

/// Tells a worker to let its connections end in their own time from now on.
pub(super) const fn drain() -> WorkerCommand<[(); 0]> {
    WorkerCommand { cmd: "luster_core.worker.drain", args: [] }
}

/// Asks a worker to bind what we may not.
pub(super) const fn bind(request: &BindRequest) -> WorkerCommand<[&BindRequest; 1]> {
    WorkerCommand { cmd: "luster_core.worker.bind", args: [request] }
}

/// Gives a worker its end of a direct channel, which comes along.
pub(super) const fn direct_channel() -> WorkerCommand<[(); 0]> {
    WorkerCommand { cmd: "luster_core.worker.directChannel", args: [] }
}

/// What a worker says when it is ready, for a host that comes later.
pub(super) const READY: &str = r#"{"cmd":"luster_core.master.broadcastWorkerEvent","args":["ready"]}"#;

#[cfg(test)]
mod tests {
    use super::*;

    fn said(json: &str) -> Said {
        parse(&RawValue::from_string(json.to_owned()).unwrap())
    }

    #[test]
    fn the_words_of_a_worker_are_understood() {
        let event = |name: &str, way| Said::Event { name: name.into(), way };
        let cases = [
            (
                r#"{"cmd":"luster_core.master.broadcastWorkerEvent","args":["ready"]}"#,
                event("ready", Way::Channel),
            ),
            (READY, event("ready", Way::Channel)),
            (
                r#"{"cmd":"luster_core.master.broadcastWorkerEvent","args":["loaded","/app.js"],"direct":true}"#,
                event("loaded", Way::DirectChannel),
            ),
            (r#"{"cmd":"luster_core.master.leaving"}"#, Said::Leaving),
            (r#"{"cmd":"luster_core.master.drained"}"#, Said::Drained),
            (r#"{"cmd":"luster_core.master.livesOn"}"#, Said::LivesOn),
            (
                r#"{"cmd":"luster_core.master.lastWords","args":["Error: a\n b","/app.js:1:2"]}"#,
                Said::LastWords(LastWords::new("Error: a b", Some("/app.js:1:2"))),
            ),
            (r#"{"cmd":"luster_core.master.lastWords","args":[1]}"#, Said::Internal),
            (r#"{"cmd":"luster_core.master.oldNode","args":["v14.1.0"]}"#, Said::OldNode("v14.1.0".into())),
            (r#"{"cmd":"luster_core.master.bound","args":[7]}"#, Said::Bound { id: 7, errno: None }),
            (r#"{"cmd":"luster_core.master.bound","args":[7,-13]}"#, Said::Bound { id: 7, errno: Some(-13) }),
            (r#"{"cmd":"luster_core.callback","args":["luster.suspend",null]}"#, Said::Suspended),
            (r#"{"cmd":"luster_core.callback","args":["other"]}"#, Said::Internal),
            (r#"{"cmd":"luster_core.master.directChannelOpen"}"#, Said::LineOpen),
            (r#"{"cmd":"luster_mine","args":[1]}"#, Said::Call("mine".into())),
        ];
        for (json, expected) in cases {
            assert_eq!(said(json), expected, "{json}");
        }
    }

    #[test]
    fn anything_else_is_the_apps_own() {
        for json in
            [r#""hello""#, "1", "null", "[1]", r#"{"cmd":1}"#, r#"{"cmd":"x"}"#, r#"{"args":["ready"]}"#]
        {
            assert_eq!(said(json), Said::Foreign, "{json}");
        }
    }

    #[test]
    fn our_commands_have_the_form_of_js_luster() {
        let suspend = serde_json::to_string(&suspend(Haste::None)).unwrap();
        assert_eq!(suspend, r#"{"cmd":"luster_core.worker.suspend","args":[null,"luster.suspend"]}"#);
        let properties = serde_json::to_string(&foreign_properties(7)).unwrap();
        assert_eq!(properties, r#"{"cmd":"luster_core.worker.applyForeignProperties","args":[{"pid":7}]}"#);
    }
}
