//! Where the sockets of running masters may be.
//!
//! Invariants: a folder that somebody else could have made in a place of ours is not looked into; in folders that are not only
//! luster's, nothing is taken for a socket of luster's but what is called like one.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::control::place::{Identity, Surroundings, parse_file_name};

/// How long the name is that a configuration's path gives.
const HASH_LENGTH: usize = 16;

/// Where to look.
#[derive(Debug)]
pub(super) struct Places {
    surroundings: Surroundings,
    /// `/run`
    run: PathBuf,
    /// `/tmp`
    tmp: PathBuf,
}

/// A folder to look into.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Shelf {
    path: PathBuf,
    holds: Holds,
}

/// What is in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Holds {
    /// Sockets of luster's.
    Ours,
    /// Sockets of luster's among others: a service's folder.
    Others,
}

impl Places {
    /// Those of this user on this machine.
    pub(super) fn of_this_user() -> Self {
        Self { surroundings: Surroundings::now(), run: "/run".into(), tmp: "/tmp".into() }
    }

    /// The sockets of masters with this name, where masters that we started would have made them.
    pub(super) fn near(&self, identity: &Identity) -> Vec<PathBuf> {
        self.in_shelves(self.own(), |found, _| found == identity)
    }

    /// The sockets of masters with this name, wherever they may be.
    pub(super) fn named(&self, identity: &Identity) -> Vec<PathBuf> {
        self.in_shelves(self.own().chain(self.far()), |found, _| found == identity)
    }

    /// The sockets of all masters.
    pub(super) fn all(&self) -> Vec<PathBuf> {
        let is_hash =
            |name: &str| name.len() == HASH_LENGTH && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        self.in_shelves(self.own().chain(self.far()), |found, holds| {
            holds == Holds::Ours || is_hash(found.as_str())
        })
    }

    fn in_shelves(
        &self,
        shelves: impl Iterator<Item = Shelf>,
        is_wanted: impl Fn(&Identity, Holds) -> bool,
    ) -> Vec<PathBuf> {
        let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
        for Shelf { path, holds } in shelves {
            if !seen.insert(path.clone()) {
                continue;
            }
            let mut here: Vec<_> = entries(&path)
                .filter(|file| {
                    let name = file.file_name().and_then(parse_file_name);
                    name.is_some_and(|(identity, _)| is_wanted(&identity, holds)) && is_socket(file)
                })
                .collect();
            here.sort();
            found.extend(here);
        }
        found
    }

    /// Where masters of this user make theirs.
    fn own(&self) -> impl Iterator<Item = Shelf> {
        let uid = self.surroundings.uid;
        let folders = self.surroundings.folders().into_iter().map(|folder| folder.path);
        // A shell that came by su or cron does not have the variable that a master had.
        let session = self.run.join(format!("user/{uid}/luster"));
        let trusted = move |path: &PathBuf| owner(path).is_some_and(|owner| owner == uid || owner == 0);
        folders.chain([session]).filter(trusted).map(|path| Shelf { path, holds: Holds::Ours })
    }

    /// Where others make theirs: services in systemd's folders and, for root, other users.
    fn far(&self) -> impl Iterator<Item = Shelf> {
        let users = (self.surroundings.uid == 0).then(|| {
            let sessions = entries(&self.run.join("user")).filter_map(|folder| {
                let uid = folder.file_name()?.to_str()?.parse().ok()?;
                Some((folder.join("luster"), uid))
            });
            let temporary = entries(&self.tmp).filter_map(|folder| {
                let uid = folder.file_name()?.to_str()?.strip_prefix("luster-")?.parse().ok()?;
                Some((folder, uid))
            });
            let genuine = |(path, uid): &(PathBuf, u32)| owner(path) == Some(*uid);
            sessions.chain(temporary).filter(genuine).map(|(path, _)| Shelf { path, holds: Holds::Ours })
        });
        // Only root makes folders there.
        let services = entries(&self.run).filter(|path| owner(path).is_some());
        let services = services.map(|path| Shelf { path, holds: Holds::Others });
        users.into_iter().flatten().chain(services)
    }
}

/// What is in a folder; nothing if it cannot be read.
fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// The user a folder belongs to; nothing if there is no folder, or a link.
fn owner(folder: &Path) -> Option<u32> {
    let found = fs::symlink_metadata(folder).ok()?;
    found.is_dir().then(|| found.uid())
}

/// Whether it is a socket, or leads to one.
fn is_socket(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|found| found.file_type().is_socket())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn put(folder: &Path, names: &[&str]) {
        fs::create_dir_all(folder).expect("writable");
        for name in names {
            // A socket's file stays when its listener is gone.
            drop(UnixListener::bind(folder.join(name)).expect("a socket"));
        }
    }

    /// Those below this folder: the last resort of every user is always looked into, and others may have theirs there.
    fn names(root: &Path, found: Vec<PathBuf>) -> Vec<String> {
        let name = |path: PathBuf| Some(path.strip_prefix(root).ok()?.display().to_string());
        found.into_iter().filter_map(name).collect()
    }

    #[test]
    fn sockets_are_found_in_every_place_and_others_are_left_alone() {
        let root = tempfile::tempdir().expect("a folder");
        let path = root.path();
        let uid = nix::unistd::Uid::effective().as_raw();
        let hash = "0123456789abcdef";
        let file = |name: &str| format!("{name}.sock");
        put(&path.join("xdg/luster"), &[&file("web"), &file("web.7"), &file(hash), "other"]);
        fs::write(path.join("xdg/luster/file.sock"), "").expect("writable");
        put(&path.join(format!("run/user/{uid}/luster")), &[&file("session")]);
        put(&path.join("run/app"), &[&file(hash), &file("php")]);
        let places = Places {
            surroundings: Surroundings {
                runtime_directory: None,
                xdg_runtime_dir: Some(path.join("xdg").into()),
                uid,
            },
            run: path.join("run"),
            tmp: path.join("tmp"),
        };
        let (web, hashed) = (Identity::named("web").expect("a name"), Identity::named(hash).expect("a name"));
        assert_eq!(names(path, places.near(&web)), ["xdg/luster/web.7.sock", "xdg/luster/web.sock"]);
        assert_eq!(names(path, places.near(&hashed)), [format!("xdg/luster/{hash}.sock")]);
        let everywhere = [format!("xdg/luster/{hash}.sock"), format!("run/app/{hash}.sock")];
        assert_eq!(names(path, places.named(&hashed)), everywhere);
        let all = names(path, places.all());
        assert_eq!(all.len(), 5, "{all:?}");
        assert!(all.contains(&format!("run/user/{uid}/luster/session.sock")), "{all:?}");
        assert!(!all.iter().any(|name| name.contains("php") || name.contains("file")), "{all:?}");
    }

    #[test]
    fn a_link_in_place_of_a_folder_is_not_followed() {
        let root = tempfile::tempdir().expect("a folder");
        put(&root.path().join("elsewhere"), &["web.sock"]);
        fs::create_dir(root.path().join("xdg")).expect("writable");
        std::os::unix::fs::symlink(root.path().join("elsewhere"), root.path().join("xdg/luster"))
            .expect("ours");
        let places = Places {
            surroundings: Surroundings {
                runtime_directory: None,
                xdg_runtime_dir: Some(root.path().join("xdg").into()),
                uid: nix::unistd::Uid::effective().as_raw(),
            },
            run: root.path().join("run"),
            tmp: root.path().join("tmp"),
        };
        assert_eq!(names(root.path(), places.all()), [""; 0]);
    }
}
