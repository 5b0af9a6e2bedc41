//! Where a configuration that is a program threw its error, shown as a mistake in a data file is: file, line, the line itself.
//!
//! Invariants: it is asked only about stacks of errors that ended a configuration; the line is read from a regular file of
//! bounded size, or from the configuration that was read already.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::config::text::SourceText;

/// Larger files are bundles, of which a line says little.
const FILE_LIMIT: u64 = 1024 * 1024;

/// The most frames that are looked at: Node shows ten, but `Error.stackTraceLimit` may be anything.
const FRAMES: usize = 50;

/// A place in a program.
#[derive(Debug, PartialEq, Eq)]
struct Frame {
    path: PathBuf,
    line: usize,
    column: usize,
}

/// Where it was thrown.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Thrown {
    /// The file if it is not the configuration itself, as the stack has it.
    pub(super) other_file: Option<PathBuf>,
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) excerpt: String,
}

/// The first place of the stack that is in a file of the user's; `file` is the configuration, `text` what is in it.
pub(super) fn place(file: &Path, text: &SourceText, stack: &str) -> Option<Thrown> {
    // Of a file that does not parse Node has put the place in front.
    let is_shown = stack.lines().nth(2).is_some_and(|line| line.trim_start().starts_with('^'));
    let frame = stack.lines().take(FRAMES).find_map(frame).filter(|_| !is_shown)?;
    let is_configuration = frame.path == file
        || file.canonicalize().is_ok_and(|real| frame.path.canonicalize().ok() == Some(real));
    let Frame { path, line, column } = frame;
    if is_configuration {
        let excerpt = excerpt(text, line, column)?;
        return Some(Thrown { other_file: None, line, column, excerpt });
    }
    let excerpt = excerpt(&source(&path)?, line, column)?;
    Some(Thrown { other_file: Some(path), line, column, excerpt })
}

/// `    at name (/file:1:2)`, `    at async file:///file:1:2`; Node's own files are `node:…`.
fn frame(line: &str) -> Option<Frame> {
    let place = line.trim_start().strip_prefix("at ")?;
    let place = match place.strip_suffix(')') {
        Some(inside) => inside.rsplit_once('(')?.1,
        None => place.strip_prefix("async ").unwrap_or(place),
    };
    let (place, column) = place.rsplit_once(':')?;
    let (path, line) = place.rsplit_once(':')?;
    let path = PathBuf::from(path.strip_prefix("file://").unwrap_or(path));
    let path = Some(path).filter(|path| path.is_absolute())?;
    Some(Frame { path, line: line.parse().ok()?, column: column.parse().ok()? })
}

/// Of a file that has changed meanwhile, or was compiled from another, there is nothing to show.
fn excerpt(text: &SourceText, line: usize, column: usize) -> Option<String> {
    let shown = text.as_str().lines().nth(line.checked_sub(1)?)?;
    (column >= 1 && column <= shown.encode_utf16().count() + 1).then(|| {
        let offset = text.offset_of_character(line, column);
        text.excerpt(offset..offset)
    })
}

fn source(path: &Path) -> Option<SourceText> {
    // Asked before opening: opening a pipe would wait for its writer.
    fs::metadata(path).ok().filter(|found| found.is_file() && found.len() <= FILE_LIMIT)?;
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(FILE_LIMIT).read_to_end(&mut bytes).ok()?;
    Some(SourceText::decode(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_frame_in_a_file_is_taken_whatever_its_form() {
        let frame_of = |text: &str| {
            text.lines()
                .find_map(frame)
                .map(|frame| (frame.path.display().to_string(), frame.line, frame.column))
        };
        let expected = Some(("/x/c.js".to_owned(), 3, 12));
        for text in [
            "ReferenceError: os is not defined\n    at Object.<anonymous> (/x/c.js:3:12)\n    at y (/z.js:1:1)",
            "Error: x\n    at Module._load (node:internal/modules/cjs/loader:1:2)\n    at /x/c.js:3:12",
            "Error: x\n    at new Promise (<anonymous>)\n    at file:///x/c.js:3:12\n    at async f (/z.js:1:1)",
            "Error: x\n    at async /x/c.js:3:12",
            "Error: x\n    at Object.a [as b] (/x/c.js:3:12)",
        ] {
            assert_eq!(frame_of(text), expected, "{text}");
        }
        for text in [
            "",
            "text",
            "Error: at x",
            "    at",
            "    at native",
            "    at f (c.js:3:12)",
            "    at f (/x:a:1)",
        ] {
            assert_eq!(frame_of(text), None, "{text}");
        }
    }

    #[test]
    fn what_the_file_does_not_have_is_not_shown() {
        let file = Path::new("/x/c.js");
        let text = SourceText::decode(b"a;\n  b();\n");
        let at = |place: &str| super::place(file, &text, &format!("Error: x\n    at /x/c.js:{place}"));
        let found = at("2:3").expect("it is there");
        assert_eq!((found.other_file, found.line, found.column), (None, 2, 3));
        assert_eq!(found.excerpt, "  2 |   b();\n    |   ^");
        assert_eq!((at("9:1"), at("0:1"), at("2:99"), at("2:0")), (None, None, None, None));
        let missing = super::place(file, &text, "Error: x\n    at /no/such/file.js:1:1");
        assert_eq!(missing, None);
        let device = super::place(file, &text, "Error: x\n    at /dev/zero:1:1");
        assert_eq!(device, None);
    }
}
