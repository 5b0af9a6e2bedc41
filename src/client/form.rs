//! For whom something is printed, and whether in colours.

use std::env;
use std::io::IsTerminal;

/// How terminals are told of colours (ECMA-48, SGR).
pub(super) const GREEN: &str = "32";
pub(super) const YELLOW: &str = "33";
pub(super) const RED: &str = "31";
pub(super) const FAINT: &str = "2";

/// For whom something is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// For programs.
    Json,
    /// For people.
    Text(Colour),
}

/// Whether to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    Yes,
    No,
}

impl Form {
    /// For people, as they like it where stdout goes.
    pub(crate) fn for_people() -> Self {
        let objects = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self::Text(if is_screen(&std::io::stdout()) && !objects { Colour::Yes } else { Colour::No })
    }
}

impl Colour {
    pub(super) fn of(self, colour: &'static str) -> Option<&'static str> {
        (self == Self::Yes).then_some(colour)
    }
}

/// Whether this is a terminal whose cursor can be moved.
pub(super) fn is_screen(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && env::var_os("TERM").is_none_or(|term| term != "dumb")
}
