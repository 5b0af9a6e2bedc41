//! Holds the code to ARCHITECTURE.md: heads, sizes, which room may name which, and what the pure core never does.
//!
//! It reads the tables of ARCHITECTURE.md and the sources as text, so a rule that is broken fails by file and line.

mod circles;
mod impls;
mod javascript;
mod log_events;
mod source;
mod tables;

use source::{Source, sources};
use tables::Rooms;

/// What the pure core never touches: the world, an order of things that no two processes share, and what would leave a part of
/// its state out when that is written.
const IMPURE: &[&str] = &[
    "HashMap",
    "HashSet",
    "serde(skip",
    "skip_serializing",
    "skip_deserializing",
    "tokio",
    "nix::",
    "std::process",
    "std::fs",
    "std::net",
    "std::io",
    "std::os",
    "std::thread",
    "std::env",
    "Instant::",
    "SystemTime",
    "tracing",
    "println",
    "async ",
];

/// Lines of code in a file, its inline tests not counted.
const LONGEST_FILE: usize = 400;

fn check(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn every_file_opens_with_what_it_owns() {
    let headless = sources().into_iter().filter(|source| !source.text.starts_with("//! "));
    check(headless.map(|source| format!("{}:1: no `//!` head", source.name())).collect());
}

#[test]
fn a_file_can_be_held_in_the_head() {
    let long = |source: &Source| {
        let length = source.code().count();
        (!source.is_test() && length > LONGEST_FILE).then(|| format!("{}: {length} lines", source.name()))
    };
    check(sources().iter().filter_map(long).collect());
}

#[test]
fn every_file_is_in_a_room_of_the_table_and_every_row_has_files() {
    let (rooms, sources) = (Rooms::read(), sources());
    let holds_rooms = |source: &Source| source.is_mod() && rooms.are_below(&source.module);
    let homeless = sources
        .iter()
        .filter(|source| !source.is_root() && !holds_rooms(source) && rooms.of(&source.module).is_none());
    let mut complaints: Vec<_> =
        homeless.map(|source| format!("{}: no room of ARCHITECTURE.md's table", source.name())).collect();
    for room in rooms.names() {
        if !sources.iter().any(|source| rooms.of(&source.module) == Some(room)) {
            complaints.push(format!("ARCHITECTURE.md: `{room}` has no files"));
        }
    }
    check(complaints);
}

#[test]
fn rooms_name_only_what_the_table_allows() {
    let rooms = Rooms::read();
    let mut complaints = Vec::new();
    for source in sources().iter().filter(|source| !source.is_root()) {
        let Some(room) = rooms.of(&source.module) else { continue };
        for (number, line) in source.code() {
            if line.contains("super::super") && !source.is_test() {
                complaints.push(format!("{}:{number}: super::super", source.name()));
            }
            for path in source::paths_from_crate(line) {
                if path.is_empty() {
                    let why = "a group hides what it names";
                    complaints.push(format!("{}:{number}: {why}: {line}", source.name()));
                    continue;
                }
                match rooms.of(&path) {
                    Some(named) if rooms.allows(room, named) => {}
                    Some(named) => {
                        complaints.push(format!("{}:{number}: {room} names {named}", source.name()));
                    }
                    None => {
                        let path = path.join("::");
                        complaints.push(format!("{}:{number}: crate::{path} is in no room", source.name()));
                    }
                }
            }
        }
    }
    check(complaints);
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    check(circles::in_rust(&sources()));
}

#[test]
fn a_type_has_its_methods_in_its_own_room() {
    check(impls::spread_over_rooms(&sources(), &Rooms::read()));
}

#[test]
fn the_core_is_pure() {
    let mut complaints = Vec::new();
    let core = |source: &&Source| source.module.first().is_some_and(|room| room == "core");
    for source in sources().iter().filter(core).filter(|source| !source.is_test()) {
        for (number, line) in source.code().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for word in IMPURE.iter().filter(|word| line.contains(**word)) {
                complaints.push(format!("{}:{number}: {word}", source.name()));
            }
        }
    }
    check(complaints);
}

#[test]
fn unsafe_code_lives_in_files_called_sys() {
    let outside = |source: &Source| {
        let lines = source.code().filter(|(_, line)| line.contains("unsafe {") || line.contains("unsafe fn"));
        let found =
            lines.map(|(number, _)| format!("{}:{number}: unsafe", source.name())).collect::<Vec<_>>();
        if source.path.ends_with("sys.rs") || source.is_test() { Vec::new() } else { found }
    };
    check(sources().iter().flat_map(outside).collect());
}

#[test]
fn every_log_event_is_in_the_document_and_nothing_else() {
    check(log_events::differences(&sources()));
}

#[test]
fn every_javascript_file_opens_with_what_it_owns_and_can_be_held_in_the_head() {
    check(javascript::heads_and_sizes(LONGEST_FILE));
}

#[test]
fn javascript_folders_require_only_what_the_table_allows() {
    check(javascript::requires());
}

#[test]
fn no_javascript_files_require_each_other_in_a_circle() {
    check(circles::in_javascript(&javascript::files()));
}
