//! Finds methods of a type outside of the room that defines it.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Source, path_at};
use crate::tables::Rooms;

/// `impl` blocks of types, and of traits for types, that stand in another room than both.
pub(crate) fn spread_over_rooms(sources: &[Source], rooms: &Rooms) -> Vec<String> {
    let mut defined: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for source in sources {
        let Some(room) = rooms.of(&source.module) else { continue };
        for (_, line) in source.code() {
            if let Some(name) = definition(line) {
                defined.entry(name).or_default().insert(room);
            }
        }
    }
    let mut complaints = Vec::new();
    for source in sources.iter().filter(|source| !source.is_test()) {
        let Some(room) = rooms.of(&source.module) else { continue };
        let elsewhere = |name: &str| defined.get(name).is_some_and(|rooms| !rooms.contains(room));
        let here = |name: &str| defined.get(name).is_some_and(|rooms| rooms.contains(room));
        for (number, line) in source.code() {
            let Some((of_trait, of_type)) = implementation(line) else { continue };
            if elsewhere(&of_type) && !of_trait.is_some_and(|name| here(&name)) {
                complaints.push(format!("{}:{number}: {room} has methods of {of_type}", source.name()));
            }
        }
    }
    complaints
}

/// The name a line defines a type or a trait by.
fn definition(line: &str) -> Option<String> {
    let line = line.trim_start();
    let line = match line.strip_prefix("pub") {
        Some(rest) => rest.trim_start_matches(|c: char| c != ' ').trim_start(),
        None => line,
    };
    let kinds = ["struct ", "enum ", "trait ", "union "];
    kinds.iter().find_map(|kind| path_at(line.strip_prefix(kind)?).into_iter().next())
}

/// The trait, if any, and the type of an `impl` line.
fn implementation(line: &str) -> Option<(Option<String>, String)> {
    let rest = line.strip_prefix("impl")?;
    let rest = if rest.starts_with('<') { after_generics(rest)? } else { rest };
    let last = |text: &str| path_at(text.trim_start()).pop();
    match rest.split_once(" for ") {
        Some((of_trait, of_type)) => Some((last(of_trait), last(of_type.trim_start_matches('&'))?)),
        None => Some((None, last(rest)?)),
    }
}

fn after_generics(text: &str) -> Option<&str> {
    let mut depth = 0_usize;
    for (at, character) in text.char_indices() {
        match character {
            '<' => depth += 1,
            '>' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(&text[at + 1..]);
        }
    }
    None
}
