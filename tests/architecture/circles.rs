//! Finds files that import each other in a circle: neither can be understood before the other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::source::{Source, path_at, read};

type Graph = BTreeMap<String, BTreeSet<String>>;

/// Circles among Rust files. A `mod.rs` only declares and re-exports: an import through it is one of the file that
/// defines what is named.
pub(crate) fn in_rust(sources: &[Source]) -> Vec<String> {
    let modules: BTreeMap<_, _> = sources.iter().map(|source| (source.module.join("::"), source)).collect();
    let shipped = sources.iter().filter(|source| !source.is_test() && !source.is_mod() && !source.is_root());
    let edges = |source: &Source| {
        let named = imports(source).into_iter().filter_map(|path| defining_file(&path, &modules));
        named.filter(|file| *file != source.module.join("::")).collect()
    };
    circles(&shipped.map(|source| (source.module.join("::"), edges(source))).collect())
}

/// Circles among JavaScript files, by what they require when they are loaded; a `require` inside of a function is one
/// that is put off on purpose.
pub(crate) fn in_javascript(files: &[PathBuf]) -> Vec<String> {
    let edges = |file: &PathBuf| {
        let text = read(file);
        let loaded = text.lines().filter(|line| !line.starts_with(' ') && !line.starts_with('/'));
        loaded.flat_map(|line| required(line, file)).collect()
    };
    circles(&files.iter().map(|file| (file.display().to_string(), edges(file))).collect())
}

/// The files that a line of JavaScript requires.
pub(crate) fn required(line: &str, file: &std::path::Path) -> Vec<String> {
    let names = line.match_indices("require('.").filter_map(|(at, found)| {
        let rest = &line[at + found.len() - 1..];
        rest.find('\'').map(|end| rest[..end].to_owned())
    });
    let folder = file.parent().expect("a file is in a folder");
    let resolved = names.map(|name| {
        let mut parts: Vec<_> = folder.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        for part in name.split('/') {
            match part {
                "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part.to_owned()),
            }
        }
        format!("{}.js", parts.join("/"))
    });
    resolved.collect()
}

/// Every path that a file's `use` items name, from the crate's root.
fn imports(source: &Source) -> Vec<Vec<String>> {
    let code = source.code().map(|(_, line)| line).filter(|line| !line.trim_start().starts_with("//"));
    let code = code.collect::<Vec<_>>().join("\n");
    let items = code.split("use ").skip(1).filter_map(|rest| rest.split(';').next());
    let mut paths = Vec::new();
    for item in items {
        expand(Vec::new(), item.trim(), &mut paths);
    }
    paths.into_iter().filter_map(|path| from_root(path, source)).collect()
}

/// Writes `a::{b, c::d}` out as `a::b` and `a::c::d`.
fn expand(prefix: Vec<String>, item: &str, paths: &mut Vec<Vec<String>>) {
    let mut path = prefix;
    path.extend(path_at(item));
    let Some(group) = item.find('{').and_then(|open| item[open + 1..].strip_suffix('}')) else {
        paths.push(path);
        return;
    };
    let (mut depth, mut start) = (0_usize, 0);
    for (at, character) in group.char_indices().chain([(group.len(), ',')]) {
        match character {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                let part = group[start..at].trim();
                if !part.is_empty() {
                    expand(path.clone(), part, paths);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// A path as it is from the crate's root; nothing for one of another crate.
fn from_root(path: Vec<String>, source: &Source) -> Option<Vec<String>> {
    let mut names = path.into_iter().peekable();
    let mut base = match names.next()?.as_str() {
        "crate" => Vec::new(),
        "super" => source.module[..source.module.len() - 1].to_vec(),
        "self" => source.module.clone(),
        _ => return None,
    };
    while names.next_if(|name| name == "super").is_some() {
        base.pop();
    }
    base.extend(names);
    Some(base)
}

/// The file in which what this path names is defined.
fn defining_file(path: &[String], modules: &BTreeMap<String, &Source>) -> Option<String> {
    let length = (1..=path.len()).rev().find(|length| modules.contains_key(&path[..*length].join("::")))?;
    let module = path[..length].join("::");
    let source = modules[&module];
    if !source.is_mod() {
        return Some(module);
    }
    let name = path.get(length)?;
    let exported = reexports(source).into_iter().find(|path| path.last() == Some(name))?;
    let mut full = path[..length].to_vec();
    full.extend(exported);
    (full.len() > length + 1).then(|| defining_file(&full, modules)).flatten()
}

/// What a `mod.rs` re-exports of its own files: `["frame", "FrameBuffer"]`.
fn reexports(source: &Source) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for item in source.text.split("use ").skip(1).filter_map(|rest| rest.split(';').next()) {
        expand(Vec::new(), item.trim(), &mut paths);
    }
    paths
}

/// The circles of a graph: files that can be reached from each other.
fn circles(graph: &Graph) -> Vec<String> {
    let reachable: BTreeMap<_, _> = graph.keys().map(|from| (from, reach(graph, from))).collect();
    let mut found = BTreeSet::new();
    for (from, targets) in &reachable {
        let circle: BTreeSet<_> =
            targets.iter().filter(|to| reachable.get(to).is_some_and(|back| back.contains(*from))).collect();
        if circle.len() > 1 {
            found.insert(circle.into_iter().map(String::as_str).collect::<Vec<_>>().join(", "));
        }
    }
    found.into_iter().map(|circle| format!("a circle: {circle}")).collect()
}

fn reach(graph: &Graph, from: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut open = vec![from.to_owned()];
    while let Some(file) = open.pop() {
        for next in graph.get(&file).into_iter().flatten() {
            if seen.insert(next.clone()) {
                open.push(next.clone());
            }
        }
    }
    seen
}
