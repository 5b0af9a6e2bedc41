//! `luster list`: every master of this user that runs.
//!
//! Invariant: one that does not answer is not among them.

use std::path::PathBuf;

use serde::Serialize;

use super::form::Colour;
use super::places::Places;
use super::status_text::colour_of_readiness;
use super::table::{self, Cell, Column, Side, end_of};
use super::target::{Master, all, runs};
use super::words::{plain, time};
use crate::control::schema::{self, Goal, SCHEMA};

const COLUMNS: [Column; 6] = [
    Column { head: "PID", side: Side::Right },
    Column { head: "UP", side: Side::Right },
    Column { head: "READY", side: Side::Right },
    Column { head: "GEN", side: Side::Right },
    Column { head: "NAME", side: Side::Left },
    Column { head: "CONFIG", side: Side::Left },
];

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct List<'a> {
    schema: u32,
    masters: Vec<Entry<'a>>,
}

/// One of them: the status without its workers.
#[derive(Debug, Serialize)]
struct Entry<'a> {
    master: &'a schema::Master,
    goal: Goal,
    generation: u32,
    wanted: u32,
    ready: u32,
}

/// Those that run one of these files, or all.
pub(super) async fn find(files: Option<&[PathBuf]>) -> Vec<Master> {
    let mut masters = all(&Places::of_this_user()).await;
    if let Some(files) = files {
        masters.retain(|master| runs(&master.status, files));
    }
    masters
}

/// For programs.
pub(super) fn json(masters: &[Master]) -> String {
    let list = List { schema: SCHEMA, masters: masters.iter().map(entry).collect() };
    serde_json::to_string(&list).unwrap_or_default() + "\n"
}

fn entry(Master { status, .. }: &Master) -> Entry<'_> {
    Entry {
        master: &status.master,
        goal: status.goal,
        generation: status.generation,
        wanted: status.wanted,
        ready: status.ready,
    }
}

/// For people.
pub(super) fn text(masters: &[Master], colour: Colour) -> String {
    let rows: Vec<_> = masters.iter().map(|master| row(&master.status, colour)).collect();
    if rows.is_empty() { String::new() } else { table::render(COLUMNS, &rows, end_of) }
}

fn row(status: &schema::Status, colour: Colour) -> [Cell; 6] {
    let about = &status.master;
    let ready = Cell {
        text: format!("{}/{}", status.ready, status.wanted),
        colour: colour_of_readiness(status, colour),
    };
    [
        about.pid.to_string().into(),
        time(about.uptime_ms).into(),
        ready,
        status.generation.to_string().into(),
        plain(&about.name).into(),
        plain(&about.config).into(),
    ]
}
