//! Clients written for Node: a script that runs until its stdin ends and then says how it went.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

/// A script of `tests/it/clients` that runs.
#[derive(Debug)]
pub(crate) struct Script {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Script {
    /// Starts it and waits until its first line, which says that it has begun in earnest.
    #[track_caller]
    pub(crate) fn start(name: &str, args: &[&str]) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/clients").join(name);
        let mut child = Command::new(super::usual_node().path)
            .arg(path)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Node is installed");
        let stdout = child.stdout.take().expect("piped");
        let mut script = Self { child, lines: BufReader::new(stdout) };
        assert_eq!(script.line(), "begun\n", "{name}");
        script
    }

    /// Ends it: the object it prints.
    #[track_caller]
    pub(crate) fn end(mut self) -> Value {
        drop(self.child.stdin.take());
        serde_json::from_str(&self.line()).expect("a report")
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("readable");
        line
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
