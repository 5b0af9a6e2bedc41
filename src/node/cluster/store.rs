//! What the service manager keeps while luster is not there, and what it is to be told of that.
//!
//! Invariants: there is one store, which all clusters of the loop share: what workers of one leave, those of another may take;
//! what waits to be told is bounded by the room there is: what is to be forgotten takes its place until that has been told; a
//! borrow lasts no longer than a call.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use crate::core::Endpoint;
use crate::listen::{self, BindAddress, FoundListener, Options, SocketFile, StoredSockets};

/// How often it is told at a time that there is no room.
const COMPLAINTS: usize = 16;

/// The manager's store, as we know it. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct SocketStore(Rc<RefCell<State>>);

/// What the service manager is to be told.
#[derive(Debug, Clone)]
pub enum StoreChange {
    /// To keep this under that name.
    Keep {
        /// The name.
        name: String,
        /// The socket.
        socket: Arc<OwnedFd>,
    },
    /// To keep what has this name no longer.
    Forget {
        /// The name.
        name: String,
    },
    /// Nothing: it has no room for a listener's sockets, or no name.
    NoRoom {
        /// What will not be kept.
        endpoint: Endpoint,
    },
}

#[derive(Debug, Default)]
struct State {
    /// How many descriptors the manager keeps; 0 if none.
    capacity: usize,
    /// Of what was there at the start, what nobody has asked for yet.
    found: StoredSockets,
    /// Of all that it has, or is to be told to keep, or has not been told to forget yet.
    names: BTreeSet<String>,
    changes: VecDeque<StoreChange>,
}

/// What the manager's store has of a listener.
#[derive(Debug, Default)]
pub(super) enum Kept {
    /// Nothing yet.
    #[default]
    Nothing,
    /// Its first sockets, under these names; the next one gets this number.
    Sockets { names: Vec<String>, next: usize },
    /// Nothing, and nothing is to be told: there was no room.
    Never,
}

impl Kept {
    pub(super) const fn found(names: Vec<String>, next: usize) -> Self {
        Self::Sockets { names, next }
    }

    pub(super) fn take_names(&mut self) -> Vec<String> {
        match std::mem::take(self) {
            Self::Sockets { names, next: _ } => names,
            Self::Nothing | Self::Never => Vec::new(),
        }
    }
}

impl SocketStore {
    /// The service manager keeps so many sockets, and has kept these since a former luster ended.
    #[must_use]
    pub fn new(capacity: usize, found: Vec<(String, Option<OwnedFd>)>) -> Self {
        let names = found.iter().map(|(name, _)| name.clone()).collect();
        let (found, useless) = StoredSockets::new(found);
        let mut state = State { capacity, found, names, changes: VecDeque::new() };
        state.forget(useless);
        Self(Rc::new(RefCell::new(state)))
    }

    /// What the manager is to be told next.
    #[must_use]
    pub fn change(&self) -> Option<StoreChange> {
        self.0.borrow().changes.front().cloned()
    }

    /// It has been told.
    pub fn changed(&self) {
        let mut state = self.0.borrow_mut();
        match state.changes.pop_front() {
            Some(StoreChange::Forget { name }) => _ = state.names.remove(&name),
            Some(StoreChange::Keep { .. } | StoreChange::NoRoom { .. }) | None => {}
        }
    }

    /// Everybody listens who is going to: closes what was found at the start and nobody has asked for; says how many sockets.
    #[must_use]
    pub fn release_found(&self) -> usize {
        let mut state = self.0.borrow_mut();
        let names = state.found.take_all();
        let count = names.len();
        state.forget(names);
        count
    }

    /// Whether there is one.
    pub(super) fn exists(&self) -> bool {
        self.0.borrow().capacity > 0
    }

    /// What was found for this place, bound already.
    pub(super) fn take(&self, place: &BindAddress, options: Options) -> Option<FoundListener> {
        if !listen::can_be_stored(place) {
            return None;
        }
        self.0.borrow_mut().found.take(place, options)
    }

    /// Closes what was found and keeps this place from being bound. Says whether there was any.
    pub(super) fn makes_way(&self, place: &BindAddress) -> bool {
        let mut state = self.0.borrow_mut();
        let names = state.found.take_in_the_way(place);
        let any = !names.is_empty();
        state.forget(names);
        any
    }

    /// Has the manager keep one more socket of this place, which is the `next`th or later; answers with its name and number,
    /// or nothing if there is no room.
    pub(super) fn keep(
        &self,
        place: &BindAddress,
        mut next: usize,
        file: Option<&SocketFile>,
        socket: Arc<OwnedFd>,
    ) -> Option<(String, usize)> {
        let mut state = self.0.borrow_mut();
        if state.names.len() >= state.capacity {
            return None;
        }
        let mut name = listen::name_of(place, next, file)?;
        // Another app's, or not forgotten yet.
        while state.names.contains(&name) {
            next += 1;
            name = listen::name_of(place, next, file)?;
        }
        state.names.insert(name.clone());
        state.changes.push_back(StoreChange::Keep { name: name.clone(), socket });
        Some((name, next))
    }

    /// Has it keep these no longer, or not be told to in the first place.
    pub(super) fn forget(&self, names: Vec<String>) {
        self.0.borrow_mut().forget(names);
    }

    /// There was no room.
    pub(super) fn tell_no_room(&self, endpoint: Endpoint) {
        let mut state = self.0.borrow_mut();
        let is_complaint = |change: &&StoreChange| matches!(change, StoreChange::NoRoom { .. });
        if state.changes.iter().filter(is_complaint).count() < COMPLAINTS {
            state.changes.push_back(StoreChange::NoRoom { endpoint });
        }
    }

    /// Whether it has been told to keep all of these.
    pub(super) fn has(&self, names: &[String]) -> bool {
        let state = self.0.borrow();
        names.iter().all(|name| !state.changes.iter().any(|change| change.is_keeping(name)))
    }
}

impl State {
    fn forget(&mut self, names: Vec<String>) {
        for name in names {
            let before = self.changes.len();
            self.changes.retain(|change| !change.is_keeping(&name));
            if self.changes.len() < before {
                self.names.remove(&name);
            } else {
                self.changes.push_back(StoreChange::Forget { name });
            }
        }
    }
}

impl StoreChange {
    fn is_keeping(&self, wanted: &str) -> bool {
        match self {
            Self::Keep { name, .. } => name == wanted,
            Self::Forget { .. } | Self::NoRoom { .. } => false,
        }
    }
}
