//! What grows while a story waits for it: a log, an output. Whoever waits looks only when it has grown, and only at what is
//! new: looking at everything every few milliseconds took a tenth of the suite's processor time.

use std::sync::{Condvar, Mutex};
use std::time::Instant;

/// A value that is only ever added to.
#[derive(Debug, Default)]
pub(super) struct Growing<T> {
    value: Mutex<T>,
    grown: Condvar,
}

impl<T> Growing<T> {
    /// Adds to it.
    pub(super) fn grow(&self, add: impl FnOnce(&mut T)) {
        add(&mut self.value.lock().expect("unpoisoned"));
        self.grown.notify_all();
    }

    /// Looks at what there is.
    pub(super) fn look<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.value.lock().expect("unpoisoned"))
    }

    /// Waits until there is something `new`, and gives it; `None` if there is nothing until the deadline.
    pub(super) fn wait<R>(&self, deadline: Instant, mut new: impl FnMut(&T) -> Option<R>) -> Option<R> {
        let mut value = self.value.lock().expect("unpoisoned");
        loop {
            if let Some(new) = new(&value) {
                return Some(new);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            value = self.grown.wait_timeout(value, left).expect("unpoisoned").0;
        }
    }
}
