//! What workers tell a story: lines of JSON on stdout, written by `tell({…})`.

use std::time::Instant;

use serde_json::Value;

use super::luster::Running;
use super::nodes::oldest_and_newest;
use super::{Node, PATIENCE, eventually, nodes};

/// Put before an app's code: gives it `tell(object)`, which adds the worker's number.
pub(crate) const TELL: &str = "const tell = what => \
    require('fs').writeSync(1, JSON.stringify({wid: Number(process.env.LUSTER_WID), ...what}) + '\\n');\n";

impl Running {
    /// What has been told so far.
    pub(crate) fn told(&self) -> Vec<Value> {
        objects(&self.stdout())
    }

    /// Waits until this much has been told, and gives it.
    #[track_caller]
    pub(crate) fn await_told(&self, count: usize) -> Vec<Value> {
        self.await_told_where(count, "anything", |_| true)
    }

    /// Waits until this much of what was told is `wanted`, and gives that.
    #[track_caller]
    pub(crate) fn await_told_where(
        &self,
        count: usize,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Vec<Value> {
        let deadline = Instant::now() + PATIENCE;
        let (mut looked_at, mut found) = (0, Vec::new());
        while found.len() < count {
            let new = self.stdout.wait(deadline, |text| {
                let end = text.rfind('\n')? + 1;
                (end > looked_at).then(|| text[looked_at..end].to_owned())
            });
            let new = new.unwrap_or_else(|| {
                let (told, log) = (self.stdout(), self.log_text());
                panic!("{count} times {what} were not told, only\n{told}\nthe log is\n{log}")
            });
            looked_at += new.len();
            found.extend(objects(&new).into_iter().filter(|told| wanted(told)));
        }
        found
    }

    /// Waits for the last exit of this worker so far, or the next one if there is none.
    #[track_caller]
    pub(crate) fn await_exit_of(&self, wid: u32) -> Value {
        self.await_event_where("exit", 1, |line| line["wid"] == wid)
    }

    /// Lines on stderr that are no log lines: what workers wrote there.
    pub(crate) fn stderr_of_workers(&self) -> String {
        let lines = self.log().into_iter().filter_map(|line| line.as_str().map(str::to_owned));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Waits until workers have written this on stderr.
    #[track_caller]
    pub(crate) fn await_stderr(&self, text: &str) {
        eventually(&format!("{text:?} on stderr"), || self.stderr_of_workers().contains(text).then_some(()));
    }
}

/// What the whole lines of this text tell.
fn objects(text: &str) -> Vec<Value> {
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// How a process ended, in words, by the fields of a log line.
pub(crate) fn ending_of(line: &Value) -> Value {
    let words = match (&line["code"], &line["signal"], &line["not_started"]) {
        (Value::Number(code), Value::Null, Value::Null) => format!("exited with code {code}"),
        (Value::Null, Value::String(name), Value::Null) => format!("was killed by {name}"),
        (Value::Null, Value::Null, Value::String(reason)) => format!("could not be started: {reason}"),
        _ => panic!("one of code, signal and not_started: {line}"),
    };
    words.into()
}

/// Tells a story on every supported Node, all at once.
pub(crate) fn on_every_node(story: impl Fn(&Node) + Sync) {
    on_nodes(&nodes(), story);
}

/// Tells a story on the oldest and the newest supported Node: one of what luster itself does, or of those parts of Node's
/// protocol that are the same in all of them (framing, acknowledgements, descriptors, how a worker leaves, exit codes).
pub(crate) fn on_oldest_and_newest(story: impl Fn(&Node) + Sync) {
    on_nodes(&oldest_and_newest(), story);
}

/// Tells a story on these Nodes, all at once.
pub(crate) fn on_nodes(nodes: &[Node], story: impl Fn(&Node) + Sync) {
    std::thread::scope(|scope| {
        let story = &story;
        for node in nodes {
            let name = format!("Node {}", node.major);
            std::thread::Builder::new()
                .name(name)
                .spawn_scoped(scope, move || story(node))
                .expect("a thread");
        }
    });
}
