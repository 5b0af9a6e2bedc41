//! What a process says it dies of.
//!
//! Invariant: one line within bounds, whatever was said.

use serde::{Deserialize, Serialize};

/// The most bytes that are kept of what a process says it dies of.
const LONGEST_WORDS: usize = 2048;

/// What a process died of by its own account: the error that nobody caught.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastWords {
    /// Its kind and message: `SyntaxError: Unexpected end of input`.
    pub error: String,
    /// Where it was thrown, if that is known: `/srv/app.js:12:5`.
    pub place: Option<String>,
}

impl LastWords {
    /// What was said, whatever that is, as one line within bounds.
    #[must_use]
    pub fn new(error: &str, place: Option<&str>) -> Self {
        Self { error: one_line(error), place: place.map(one_line).filter(|place| !place.is_empty()) }
    }
}

fn one_line(text: &str) -> String {
    let mut end = text.len().min(LONGEST_WORDS);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let words = text[..end].split(|letter: char| letter.is_control() || letter.is_whitespace());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}
