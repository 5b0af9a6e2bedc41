//! Sockets that outlive the processes which serve them: where to listen and how, opening, accepting, the files of unix
//! sockets, and the groups the kernel spreads connections over.
//!
//! A [`BindAddress`] and [`Options`] say what is wanted; `bind` (and `unix_path`) makes a [`BoundSocket`] of them, `inherited`
//! finds one that was there before luster, `stored` one that a former luster has left. `accept` takes connections from it, `group` also where every slot has its own.
//!
//! Invariants: every socket is non-blocking, close-on-exec and owned; nothing here waits, reads a clock, logs, or knows who is
//! at the other end; no file is removed but a stale socket, or the very one we made.

mod accept;
mod bind;
mod bind_address;
mod bound_as;
mod group;
mod inherited;
mod options;
mod passing;
mod socket;
mod socket_file;
mod stored;
mod sys;
mod unix_path;

pub use bind_address::Site;
pub use options::SocketAccess;
pub use stored::is_stored_name;

pub(crate) use accept::{AcceptSource, AcceptState, Accepted};
pub(crate) use bind::{Sharing, open, open_beside};
pub(crate) use bind_address::{BindAddress, Families, Host, Transport};
pub(crate) use bound_as::is_bound_as;
pub(crate) use group::{Group, Membership, Owner, SourceChange};
pub(crate) use inherited::Inherited;
pub(crate) use options::{Options, Reuse};
pub(crate) use passing::prepare as prepare_to_pass;
pub(crate) use socket::{BoundSocket, address_of};
pub(crate) use socket_file::SocketFile;
pub(crate) use stored::{FoundListener, StoredSockets, can_be_stored, name_of, refuse_clients};
pub(crate) use sys::listen;
pub(crate) use unix_path::widen_access;
