//! The streams of a worker's that do not go where ours go.
//!
//! Invariant: our end never makes us wait, and closes at exec.

use std::io;

use crate::ipc::{self, UserHandle};
use crate::process::Stream;

use super::wishes::Wish;

/// What a process's stdio becomes, and our ends of what is piped.
pub(super) fn make(wishes: [Wish; 3]) -> io::Result<([Option<UserHandle>; 3], [Stream; 3])> {
    let mut ours = [None, None, None];
    let mut theirs = [Stream::Inherited, Stream::Inherited, Stream::Inherited];
    for (number, wish) in wishes.into_iter().enumerate() {
        theirs[number] = match wish {
            Wish::Inherited => Stream::Inherited,
            Wish::Null => Stream::Null,
            Wish::Piped => {
                // As Node makes them: one that is handed over must be a socket.
                let (end, given) = ipc::pair()?;
                ours[number] = UserHandle::new(end).ok();
                Stream::Given(given)
            }
        };
    }
    Ok((ours, theirs))
}
