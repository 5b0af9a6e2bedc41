//! Where control sockets are, and what they are called: the same rules for the master that makes one and for whoever looks
//! for it.
//!
//! Invariants: a name is fit to be a file's, and never has a dot, so that the process number a second master adds can be told
//! from it; the same configuration and `LUSTER_CONF` have the same name whatever links lead where.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::unistd::Uid;
use thiserror::Error;

/// The longest name, in bytes.
const LONGEST_NAME: usize = 40;

/// How sockets' files end.
const SUFFIX: &str = ".sock";

/// What masters of one user are told apart by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity(String);

/// Why a name is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the name {0:?} is not usable: it takes 1 to {LONGEST_NAME} letters, digits, `-` and `_`")]
pub struct BadName(String);

/// A folder that sockets may be in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// Who makes it.
    pub owner: Owner,
}

/// Who makes a folder and gives it its permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// We do.
    Ours,
    /// systemd does (`RuntimeDirectory=`).
    ServiceManager,
}

/// What of the environment says where sockets are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// `$RUNTIME_DIRECTORY`: folders that systemd has made for the service, separated by colons.
    pub runtime_directory: Option<OsString>,
    /// `$XDG_RUNTIME_DIR`: the user's folder while logged in.
    pub xdg_runtime_dir: Option<OsString>,
    /// The user's number.
    pub uid: u32,
}

impl Identity {
    /// That of a configuration: its absolute path as it was given, links not followed, and `LUSTER_CONF`.
    #[must_use]
    pub fn of(config: &Path, luster_conf: Option<&OsStr>) -> Self {
        let mut hash = Fnv::new();
        hash.feed(config.as_os_str().as_bytes());
        if let Some(luster_conf) = luster_conf.filter(|value| !value.is_empty()) {
            // Not a byte that either could have.
            hash.feed(&[0]);
            hash.feed(luster_conf.as_bytes());
        }
        Self(format!("{:016x}", hash.0))
    }

    /// One that was chosen.
    ///
    /// # Errors
    /// It is not fit for a name.
    pub fn named(name: &str) -> Result<Self, BadName> {
        let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        match (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(is_fit) {
            true => Ok(Self(name.to_owned())),
            false => Err(BadName(name.to_owned())),
        }
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the socket's file.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}{SUFFIX}", self.0)
    }

    /// The name of the socket's file of another master with the same identity, which has this process number.
    #[must_use]
    pub fn second_file_name(&self, pid: u32) -> String {
        format!("{}.{pid}{SUFFIX}", self.0)
    }
}

/// What the name of a socket's file says: whose it is, and the process number if it is that of a second master.
#[must_use]
pub fn parse_file_name(file_name: &OsStr) -> Option<(Identity, Option<u32>)> {
    let stem = file_name.to_str()?.strip_suffix(SUFFIX)?;
    match stem.split_once('.') {
        None => Some((Identity::named(stem).ok()?, None)),
        Some((name, pid)) => Some((Identity::named(name).ok()?, Some(pid.parse().ok()?))),
    }
}

impl Surroundings {
    /// Those of this process.
    #[must_use]
    pub fn now() -> Self {
        let path = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        Self {
            runtime_directory: path("RUNTIME_DIRECTORY"),
            xdg_runtime_dir: path("XDG_RUNTIME_DIR"),
            uid: Uid::effective().as_raw(),
        }
    }

    /// The folders that sockets of this user may be in: a master takes the first that it can use.
    #[must_use]
    pub fn folders(&self) -> Vec<Folder> {
        let ours = |path| Folder { path, owner: Owner::Ours };
        let mut folders = Vec::new();
        let first = self.runtime_directory.as_ref().and_then(|list| env::split_paths(list).next());
        if let Some(path) = first.filter(|path| path.is_absolute()) {
            folders.push(Folder { path, owner: Owner::ServiceManager });
        }
        // The specification has a relative path be ignored.
        if let Some(path) = self.xdg_runtime_dir.as_ref().map(Path::new).filter(|path| path.is_absolute()) {
            folders.push(ours(path.join("luster")));
        }
        folders.push(ours(match self.uid {
            0 => PathBuf::from("/run/luster"),
            uid => PathBuf::from(format!("/tmp/luster-{uid}")),
        }));
        folders
    }
}

/// FNV-1a, 64 bits: the same in every version of luster, which the standard library's hash does not promise.
struct Fnv(u64);

impl Fnv {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_has_the_same_name_in_every_version() {
        let of = |path: &str, conf: Option<&str>| {
            Identity::of(Path::new(path), conf.map(OsStr::new)).as_str().to_owned()
        };
        // From the reference implementation of FNV-1a: `foobar`.
        assert_eq!(of("foobar", None), "85944171f73967e8");
        assert_eq!(of("/a", Some("")), of("/a", None));
        assert_ne!(of("/a", Some("workers=2")), of("/a", None));
        assert_ne!(of("/a", Some("workers=2")), of("/a", Some("workers=3")));
    }

    #[test]
    fn names_are_fit_for_files() {
        for name in ["web", "a-b_C9", &"x".repeat(40)] {
            assert_eq!(Identity::named(name).expect("a name").as_str(), name);
        }
        for name in ["", "a.b", "a/b", "..", "ü", "a b", &"x".repeat(41)] {
            assert_eq!(Identity::named(name), Err(BadName(name.to_owned())));
        }
    }

    #[test]
    fn the_name_of_a_file_says_whose_it_is() {
        let web = Identity::named("web").expect("a name");
        assert_eq!(parse_file_name(OsStr::new(&web.file_name())), Some((web.clone(), None)));
        assert_eq!(parse_file_name(OsStr::new(&web.second_file_name(7))), Some((web, Some(7))));
        for other in ["web", "web.7", "web.x.sock", ".sock", "a b.sock", "web.1.2.sock"] {
            assert_eq!(parse_file_name(OsStr::new(other)), None, "{other}");
        }
    }

    #[test]
    fn folders_come_in_the_documented_order() {
        let paths = |runtime: Option<&str>, xdg: Option<&str>, uid| {
            let surroundings = Surroundings {
                runtime_directory: runtime.map(OsString::from),
                xdg_runtime_dir: xdg.map(OsString::from),
                uid,
            };
            let folders = surroundings.folders().into_iter();
            folders.map(|folder| folder.path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(paths(None, None, 0), ["/run/luster"]);
        assert_eq!(paths(None, None, 33), ["/tmp/luster-33"]);
        assert_eq!(
            paths(Some("/run/a:/run/b"), Some("/run/user/33"), 33),
            ["/run/a", "/run/user/33/luster", "/tmp/luster-33"]
        );
        assert_eq!(paths(Some("a"), Some("b"), 0), ["/run/luster"]);
    }
}
