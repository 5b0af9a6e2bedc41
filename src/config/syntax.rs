//! Says what is wrong with a text that cannot be read, where, and what may help.
//!
//! Invariant: it is asked only about texts that were refused already; it decides nothing.

use std::path::Path;

use crate::config::error::{Error, ModuleFailure};
use crate::config::json5_parser::Node;
use crate::config::lexer::Fault;
use crate::config::origin::Origin;
use crate::config::text::SourceText;
use crate::config::thrown::{self, Thrown};

const JSON5_HINT: &str =
    "JSON has no comments, trailing commas, single quotes or bare keys; name the file `.json5` to use them";

/// Extensions of notations that luster does not read, which Node would take for JavaScript.
const OTHER_NOTATIONS: [&str; 7] = ["yaml", "yml", "toml", "ini", "xml", "env", "properties"];

/// The error at this place of the text.
pub(super) fn fault(
    name: &str,
    text: &SourceText,
    offset: usize,
    message: String,
    hint: Option<&'static str>,
) -> Error {
    let position = text.position(offset);
    Error::Syntax {
        at: Origin::File { name: name.to_owned(), line: position.line, column: position.column },
        message,
        excerpt: text.excerpt(offset..offset),
        hint,
    }
}

/// What is wrong with JSON; `tree` is what our own reader, which reads JSON5, makes of it.
pub(super) fn of_json(
    name: &str,
    text: &SourceText,
    error: &serde_json::Error,
    tree: Result<&Node, &Fault>,
) -> Error {
    if let Some(error) = of_nothing(name, text) {
        return error;
    }
    match tree {
        // Where something begins that never ends says more than where the file ends.
        Err(unclosed) if error.is_eof() => of_json5(name, text, unclosed),
        _ => {
            let offset = text.offset(error.line(), error.column());
            let said = error.to_string();
            // The place is told in our own way.
            let message = said.split(" at line ").next().unwrap_or(&said);
            fault(name, text, offset, message.to_owned(), tree.is_ok().then_some(JSON5_HINT))
        }
    }
}

/// What is wrong with JSON5.
pub(super) fn of_json5(name: &str, text: &SourceText, found: &Fault) -> Error {
    of_nothing(name, text).unwrap_or_else(|| fault(name, text, found.offset, found.message.to_owned(), None))
}

fn of_nothing(name: &str, text: &SourceText) -> Option<Error> {
    let hint = Some("a configuration is at least { \"app\": \"worker.js\" }");
    text.as_str().trim().is_empty().then(|| fault(name, text, 0, "the file is empty".to_owned(), hint))
}

/// What is wrong with a file in a notation that is none of ours.
pub(super) fn of_other_notation(file: &Path, name: &str) -> Option<Error> {
    let extension = file.extension()?.to_str()?.to_ascii_lowercase();
    OTHER_NOTATIONS
        .contains(&extension.as_str())
        .then(|| Error::OtherNotation { name: name.to_owned(), extension })
}

/// The error of a program that was run, shown where it does not parse, or where it threw.
pub(super) fn of_javascript(file: &Path, text: &SourceText, error: Error) -> Error {
    let Error::Module { name, failure: ModuleFailure::Threw(stack) } = &error else { return error };
    match unparsable(file, stack) {
        Some((line, column, message)) => {
            let offset = text.offset_of_character(line, column);
            fault(name, text, offset, format!("the configuration does not parse: {message}"), None)
        }
        None => match thrown::place(file, text, stack) {
            Some(place) => thrown_at(name, place, stack),
            None => error,
        },
    }
}

fn thrown_at(name: &str, place: Thrown, stack: &str) -> Error {
    let Thrown { other_file, line, column, excerpt } = place;
    let (stack, name) = (stack.to_owned(), name.to_owned());
    match other_file {
        None => {
            let at = Origin::File { name, line, column };
            Error::Threw { at, inside: String::new(), excerpt, stack }
        }
        Some(file) => {
            let inside = format!(" in {}:{line}:{column}", file.display());
            Error::Threw { at: Origin::WholeFile { name }, inside, excerpt, stack }
        }
    }
}

/// Line, column and message of an error that Node shows as `file:line`, the line, carets, and then the error.
fn unparsable(file: &Path, stack: &str) -> Option<(usize, usize, String)> {
    let mut lines = stack.lines();
    let (place, number) = lines.next()?.rsplit_once(':')?;
    let place = Path::new(place.strip_prefix("file://").unwrap_or(place));
    let same = place == file || file.canonicalize().is_ok_and(|real| real == place);
    let line = number.parse().ok().filter(|_| same)?;
    let carets = lines.nth(1).filter(|line| line.trim_start().starts_with('^'))?;
    let column = carets.chars().take_while(|c| *c != '^').count() + 1;
    let message = lines.find_map(|line| line.strip_prefix("SyntaxError: "))?;
    Some((line, column, message.to_owned()))
}

/// Whether running this text can export nothing: no word is in it by which a module exports. What has a configuration's
/// own name is one, even if it throws before it exports.
pub(super) fn exports_nothing(file: &Path, text: &str) -> bool {
    let extension = file.extension().and_then(|extension| extension.to_str());
    let is_javascript = extension.is_some_and(|extension| ["js", "cjs", "mjs"].contains(&extension));
    let is_named_so = file.file_stem().is_some_and(|stem| stem == "luster.conf");
    is_javascript
        && !is_named_so
        && !["export", "module", "this", "arguments", "eval", "Function"]
            .iter()
            .any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_node_cannot_parse_a_program_is_taken_from_what_it_shows() {
        let shown = "/x/c.js:3\n  workers: 2,\n  ^^^^^^^\n\nSyntaxError: Unexpected identifier\n    at y";
        let file = Path::new("/x/c.js");
        assert_eq!(unparsable(file, shown), Some((3, 3, "Unexpected identifier".to_owned())));
        assert_eq!(
            unparsable(file, &format!("file://{shown}")),
            Some((3, 3, "Unexpected identifier".to_owned()))
        );
        // Another file's, or thrown by the program itself.
        assert_eq!(unparsable(Path::new("/x/d.js"), shown), None);
        assert_eq!(unparsable(file, "SyntaxError: Unexpected token\n    at JSON.parse"), None);
        assert_eq!(unparsable(file, "/x/c.js:3\nthrow x\n^\n\nTypeError: x"), None);
        assert_eq!(unparsable(file, ""), None);
    }

    #[test]
    fn only_a_text_that_cannot_export_is_said_to_export_nothing() {
        let exports_nothing = |text| exports_nothing(Path::new("/x/c.js"), text);
        assert!(exports_nothing("require('http').createServer((q, r) => r.end()).listen(80)"));
        for text in ["exports.app = 1", "module['exp' + 'orts'] = 1", "this.app = 1", "export default 1"] {
            assert!(!exports_nothing(text), "{text}");
        }
    }
}
