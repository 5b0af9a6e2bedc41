//! What the file of an app says that it is to be run by.
//!
//! Invariant: a file that Node runs without a word of it in the configuration is never taken for another program: only what is
//! executable and says by its first bytes that it is something else.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use nix::unistd::{AccessFlags, eaccess};

/// Extensions of programs in other languages, which Node would read as JavaScript or refuse.
const FOREIGN: [&str; 12] = ["py", "rb", "php", "sh", "bash", "pl", "lua", "go", "rs", "java", "jar", "exe"];

/// Extensions of what Node, or something that is loaded into it, runs.
pub(super) const RUNNABLE: [&str; 8] = ["js", "mjs", "cjs", "ts", "mts", "cts", "jsx", "tsx"];

/// What a file is to be run by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FileKind {
    Node,
    /// Itself.
    Executable,
    /// Nothing, for this reason: the end of a sentence.
    Refused(String),
}

/// What this file, which is there, is to be run by.
pub(super) fn kind_of(file: &Path) -> FileKind {
    let extension = file.extension().and_then(OsStr::to_str).unwrap_or_default();
    if RUNNABLE.contains(&extension) || ["json", "node", "wasm"].contains(&extension) {
        return FileKind::Node;
    }
    let head = head(file);
    let shebang =
        head.strip_prefix(b"#!").map(|rest| rest.split(|byte| *byte == b'\n').next().unwrap_or(rest));
    let shebang = shebang.map(|line| String::from_utf8_lossy(line).trim().to_owned());
    let is_foreign = FOREIGN.contains(&extension);
    match (shebang, head.starts_with(b"\x7fELF"), is_executable(file)) {
        (Some(line), _, _) if runs_node(&line) && !is_foreign => FileKind::Node,
        (Some(_), _, true) | (None, true, true) => FileKind::Executable,
        (None, true, false) => {
            FileKind::Refused("which is a program, but not executable: chmod +x it".to_owned())
        }
        (_, false, _) if is_foreign => {
            FileKind::Refused(format!("a .{extension} file; {}", advice(extension)))
        }
        // Node runs it, whatever its first line names.
        (Some(_) | None, _, _) => FileKind::Node,
    }
}

/// What to do with a file in another language that cannot be executed itself.
fn advice(extension: &str) -> &'static str {
    match extension {
        "py" => "name what runs it (\"interpreter\": \"python3\"), or make it executable, with a #! line",
        "rb" => "name what runs it (\"interpreter\": \"ruby\"), or make it executable, with a #! line",
        "php" => "name what runs it (\"interpreter\": \"php\"), or make it executable, with a #! line",
        "pl" => "name what runs it (\"interpreter\": \"perl\"), or make it executable, with a #! line",
        "lua" => "name what runs it (\"interpreter\": \"lua\"), or make it executable, with a #! line",
        "sh" | "bash" => {
            "name what runs it (\"interpreter\": \"bash\"), or make it executable, with a #! line"
        }
        "jar" => "name what runs it (\"interpreter\": [\"java\", \"-jar\"])",
        _ => "\"app\" may name the executable that is built of it, or \"interpreter\" what runs it",
    }
}

/// The first bytes of a file; nothing of one that is none, or cannot be read.
fn head(file: &Path) -> Vec<u8> {
    const MOST: u64 = 256;
    let mut head = Vec::new();
    // Opening a pipe would wait for who writes it.
    if file.is_file()
        && let Ok(file) = File::open(file)
    {
        // What was read before an error is what there is.
        let _ = file.take(MOST).read_to_end(&mut head);
    }
    head
}

/// Whether a `#!` line, without these two characters, names Node.
fn runs_node(line: &str) -> bool {
    let mut words = line.split_ascii_whitespace();
    let Some(first) = words.next() else { return false };
    let is_env = Path::new(first).file_name() == Some(OsStr::new("env"));
    let program = match is_env {
        true => words.find(|word| !word.starts_with('-') && !word.contains('=')).unwrap_or_default(),
        false => first,
    };
    names_node(program)
}

/// `node`, `nodejs`, `/usr/bin/node18`.
pub(super) fn names_node(program: &str) -> bool {
    let name = Path::new(program).file_name().and_then(OsStr::to_str).unwrap_or_default();
    let Some(rest) = name.strip_prefix("node") else { return false };
    rest == "js" || rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b'-')
}

/// Whether we may execute it.
pub(super) fn is_executable(file: &Path) -> bool {
    // A folder's x bit says that it may be searched.
    file.is_file() && eaccess(file, AccessFlags::X_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_says_what_it_is_run_by() {
        let folder = tempfile::tempdir().unwrap();
        let kind = |name: &str, text: &str, mode: u32| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            kind_of(&path)
        };
        for (name, text, mode) in [
            ("worker.js", "\x7fELF", 0o755),
            ("a.ts", "#!/usr/bin/env bun", 0o755),
            ("b", "#!/usr/bin/env node\n", 0o755),
            ("c", "#!/usr/bin/env -S NODE_ENV=x node --flag\n", 0o755),
            ("d", "#!/opt/node18 --x\n", 0o755),
            ("e", "require('x')", 0o755),
            ("f", "#!/bin/bash", 0o644),
            ("g", "", 0o644),
            ("h.json", "{}", 0o644),
        ] {
            assert_eq!(kind(name, text, mode), FileKind::Node, "{name}");
        }
        for (name, text) in [
            ("p", "\x7fELF"),
            ("q", "#!/bin/bash\n"),
            ("r", "#!/usr/bin/env python3"),
            ("s.py", "#! /usr/bin/python3\n"),
            ("t.sh", "#!/usr/bin/env -S nodemon\n"),
        ] {
            assert_eq!(kind(name, text, 0o755), FileKind::Executable, "{name}");
        }
        for (name, text, mode) in [("x", "\x7fELF", 0o644), ("y.py", "", 0o755), ("z.rs", "#!/x", 0o644)] {
            assert!(matches!(kind(name, text, mode), FileKind::Refused(_)), "{name}");
        }
    }
}
