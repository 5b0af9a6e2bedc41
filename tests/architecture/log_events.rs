//! Holds the events of log lines to docs/log-events.md, both ways.

use std::path::Path;

use crate::source::{Source, read};

/// The names in the first column of the tables that have four.
fn documented() -> Vec<String> {
    let text = read(Path::new("docs/log-events.md"));
    let rows = text.lines().filter(|line| line.starts_with("| `") && line.matches(" | ").count() == 3);
    rows.filter_map(|row| row.split('`').nth(1).map(str::to_owned)).collect()
}

/// The names of events in a line: as a field, or in a variable of that name for several lines.
fn named(line: &str) -> impl Iterator<Item = &str> {
    let of_tuple = line.split_once("(event, ").and_then(|(_, rest)| rest.split_once(") = (\""));
    let of_fields = line.split("event = \"").skip(1);
    let rests = of_tuple.map(|(_, rest)| rest).into_iter().chain(of_fields);
    rests.map(|rest| rest.split('"').next().unwrap_or_default())
}

/// Events without a row, and rows without an event.
pub(crate) fn differences(sources: &[Source]) -> Vec<String> {
    let documented = documented();
    let (mut complaints, mut found) = (Vec::new(), Vec::new());
    for source in sources.iter().filter(|source| !source.is_test()) {
        for (number, line) in source.code() {
            for name in named(line) {
                if !documented.iter().any(|known| known == name) {
                    let file = source.name();
                    complaints.push(format!("{file}:{number}: event {name} is not in docs/log-events.md"));
                }
                found.push(name.to_owned());
            }
        }
    }
    let stale = documented.iter().filter(|name| !found.contains(name));
    complaints.extend(stale.map(|name| format!("docs/log-events.md: no event {name}")));
    complaints
}
