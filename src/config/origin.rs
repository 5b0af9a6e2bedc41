//! Where one value came from, as the user is shown it.
//!
//! Invariant: a place is only given where there is one in a file.

use std::fmt;

/// Where one value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A place in the configuration file, as shown to the user: `luster.conf.json:3:5`.
    File {
        /// The file as the user would name it: relative to the working directory if it is below it.
        name: String,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
    },
    /// The configuration file as a whole: a program's values have no place, and neither has what is absent.
    WholeFile {
        /// The file, named as above.
        name: String,
    },
    /// The environment variable `LUSTER_CONF`.
    Environment,
    /// Nobody wrote it.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, line, column } => write!(f, "{name}:{line}:{column}"),
            Self::WholeFile { name } => f.write_str(name),
            Self::Environment => f.write_str("LUSTER_CONF"),
            Self::Default => f.write_str("default"),
        }
    }
}
