//! Whose rights a new process has.
//!
//! Invariant: what is not said stays ours.

use std::fmt;

/// A user and a group to become; what is `None` stays ours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Identity {
    /// The user's number.
    pub user: Option<u32>,
    /// The group's number.
    pub group: Option<u32>,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.user, self.group) {
            (Some(user), Some(group)) => write!(f, "user {user} and group {group}"),
            (Some(user), None) => write!(f, "user {user}"),
            (None, Some(group)) => write!(f, "group {group}"),
            (None, None) => f.write_str("ourselves"),
        }
    }
}
