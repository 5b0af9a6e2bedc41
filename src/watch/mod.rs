//! Files that are watched, and what is said when they change (what the extension luster-guard does).
//!
//! `patterns` says which files are meant, `own` which of them are luster's, `tree` which folders are watched for them, and
//! `guard` is the thread that listens.
//!
//! Invariants: whatever happens in the file system costs only that thread time; what has changed is said once when it has
//! been quiet for a while, however much it was.

mod guard;
mod own;
mod patterns;
mod tree;

pub use guard::{Guard, GuardError, Telling};
pub use own::OwnFiles;
pub use patterns::{PatternError, Patterns};
