//! `luster __validate`: says what the configuration on stdin means, for luster's own JavaScript.
//!
//! Reads `{value, odd, app, baseDir, name}` and writes `{workers, ports, warnings}` or `{problems, exit}`, as JSON.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli;
use crate::config::{self, Held, Problem, SIZE_LIMIT};
use crate::exit::Exit;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Question {
    /// Absent if it is nothing that JSON has a word for.
    #[serde(default)]
    value: Value,
    #[serde(default)]
    odd: BTreeMap<String, String>,
    /// The app's file, where Node finds one.
    app: Option<PathBuf>,
    base_dir: PathBuf,
    name: String,
    /// `LUSTER_CONF`, if it was applied.
    #[serde(default)]
    luster_conf: String,
}

/// Does it.
pub(super) fn run() -> Exit {
    let mut text = Vec::new();
    // A little more than a configuration may have, for what stands around it.
    let read = std::io::stdin().take(2 * SIZE_LIMIT as u64).read_to_end(&mut text);
    match read.ok().and_then(|_| serde_json::from_slice(&text).ok()) {
        Some(question) => cli::print(&format!("{}\n", answer(question))),
        None => {
            cli::complain("luster: `luster __validate` is for luster's own use, by its JavaScript");
            Exit::Usage
        }
    }
}

fn answer(question: Question) -> Value {
    let Question { value, odd, app, base_dir, name, luster_conf } = question;
    match config::validate(Held { value, odd, app }, &name, &base_dir, &luster_conf) {
        Ok((settings, warnings)) => {
            let workers = settings.policy.workers;
            let ports = settings.server.ports(workers);
            let ports: Vec<_> = ports.iter().collect();
            let warnings: Vec<_> = warnings.iter().map(Problem::headline).collect();
            json!({"workers": workers, "ports": ports, "warnings": warnings})
        }
        Err(error) => json!({"problems": error.to_string(), "exit": error.exit().code()}),
    }
}
