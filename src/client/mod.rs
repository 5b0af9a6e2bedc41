//! Asks a luster that runs: finds it, asks it over its control socket, and tells what it says.
//!
//! `places` knows where sockets may be, `target` chooses one, `connection` speaks HTTP over it; `status`, `list`, `events` and
//! `order` are the commands, with `progress` while they wait; `status_text`, `table`, `words` and `form` are what people read.
//!
//! Invariants: a configuration's path matters, never what is in it; what was asked for goes on when waiting for it ends; every
//! wait for an answer has a deadline, every answer a limit.

mod connection;
mod error;
mod events;
mod form;
mod list;
mod order;
mod places;
mod progress;
mod run;
mod status;
mod status_text;
mod sys;
mod table;
mod target;
#[cfg(test)]
mod tests;
mod words;

pub(crate) use form::Form;
pub(crate) use order::{CompletionSource, Order, Wait};
pub(crate) use progress::Shown;
pub(crate) use run::{Watch, carry_out, events, list, status};
pub(crate) use target::{By, Target};
