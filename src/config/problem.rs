//! One thing that is wrong or odd about a configuration, and where it was written.
//!
//! Invariant: it can be told in one line, or with the source line and the value marked.

use std::fmt;

use crate::config::origin::Origin;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The dotted key, if one is at fault.
    pub key: Option<String>,
    /// What is wrong, quoting the key.
    pub message: String,
    /// Where the value was written.
    pub origin: Origin,
    /// The source line with the value marked, two lines of text.
    pub excerpt: Option<String>,
}

impl Problem {
    /// The place and what is wrong, on one line.
    #[must_use]
    pub fn headline(&self) -> String {
        format!("{}: {}", self.origin, self.message)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.message)?;
        match &self.excerpt {
            Some(excerpt) => write!(f, "\n{excerpt}"),
            None => Ok(()),
        }
    }
}
