//! A link where clients look, to a socket that is elsewhere: who sets `control.socket` is found by the configuration all the same.
//!
//! Invariants: without it everything else goes on; a link is removed only if it leads to nobody, or is the one we made.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::place::{Folder, Identity};
use super::socket::{Socket, lock, prepare, remove_dead_link};

/// A link that is there.
#[derive(Debug)]
pub(super) struct Pointer {
    link: PathBuf,
    /// Where it leads.
    socket: PathBuf,
    /// The name it would have had if nobody had that.
    first: PathBuf,
}

impl Pointer {
    /// Makes it in the first of these folders that can be used.
    pub(super) fn make(socket: &Socket, identity: &Identity, folders: &[Folder]) -> Option<Self> {
        folders.iter().find_map(|folder| {
            prepare(folder, None).ok()?;
            let _lock = lock(&folder.path);
            let names = [identity.file_name(), identity.second_file_name(std::process::id())];
            let first = folder.path.join(&names[0]);
            let link = names.into_iter().map(|name| folder.path.join(name)).find(|link| {
                remove_dead_link(link);
                // One that was killed has left it, and now it leads to us.
                leads_to(link, socket.path()) || symlink(socket.path(), link).is_ok()
            })?;
            Some(Self { link, socket: socket.path().to_owned(), first })
        })
    }

    /// Whether this is where it is.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        self.link == path && leads_to(&self.link, &self.socket)
    }

    /// The name it is to have when we have that no more.
    pub(super) fn next_path(&self) -> Option<&Path> {
        (self.link != self.first).then_some(&self.first)
    }

    /// Takes that name. Without it, it stays where it is.
    pub(super) fn take_next_path(&mut self) {
        if leads_to(&self.link, &self.socket) && fs::rename(&self.link, &self.first).is_ok() {
            self.link.clone_from(&self.first);
        }
    }

    /// It leads to the same socket, which has another name.
    pub(super) fn follow(&mut self, socket: &Socket) {
        if self.socket != socket.path() && leads_to(&self.link, &self.socket) {
            let replaced = fs::remove_file(&self.link).and_then(|()| symlink(socket.path(), &self.link));
            if replaced.is_ok() {
                self.socket = socket.path().to_owned();
            }
        }
    }

    /// Takes it away, unless somebody has put another in its place.
    pub(super) fn remove(&self) {
        if leads_to(&self.link, &self.socket) {
            // Nothing more can be done about it; the next master takes it for a dead one's.
            drop(fs::remove_file(&self.link));
        }
    }
}

fn leads_to(link: &Path, socket: &Path) -> bool {
    fs::read_link(link).is_ok_and(|found| found == socket)
}
