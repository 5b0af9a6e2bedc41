//! Whether a program that was named in place of `node` is one: `--node python3` would start workers that can never work.
//!
//! Invariant: a program called node costs nothing; one that gives no answer in time, or cannot be run, is left to fail as
//! every other does.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::exit::Exit;

/// How long it may take to say its version.
const PATIENCE: Duration = Duration::from_secs(2);

/// How much of an answer is looked at, in bytes.
const ANSWER_LIMIT: u64 = 200;

/// Refuses a program that says itself that it is another one.
pub(super) fn check(node: &Path) -> Result<(), (Exit, String)> {
    let name = node.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if name.starts_with("node") {
        return Ok(());
    }
    let Some(answer) = version(node) else { return Ok(()) };
    let is_version =
        answer.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    if is_version {
        return Ok(());
    }
    let answer = answer.lines().next().filter(|line| !line.is_empty()).unwrap_or("nothing");
    let reason = format!(
        "{} is not Node.js: it answers `--version` with {answer:?}; name a Node.js program with --node or LUSTER_NODE",
        node.display()
    );
    Err((Exit::ForkOrExec, reason))
}

/// What it answers to `--version`; nothing if it does not end in time.
fn version(node: &Path) -> Option<String> {
    let mut child = Command::new(node)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let ended = ends(&mut child);
    if !ended {
        let _ = child.kill();
        let _ = child.wait();
        return None;
    }
    let mut answer = Vec::new();
    // A pipe holds this much, so it need not be read before the end.
    child.stdout.take()?.take(ANSWER_LIMIT).read_to_end(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer).into_owned())
}

fn ends(child: &mut Child) -> bool {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match child.try_wait() {
            Ok(Some(_)) => return true,
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(2)), // poll
            Ok(None) | Err(_) => return false,
        }
    }
}
