//! authbind: a library that is loaded before the C library, and asks a helper of root's to bind what an ordinary user may not.
//!
//! Invariant: only what this process itself was started with is looked at; what authbind allows is authbind's to say.

use std::ffi::OsStr;

use nix::unistd::getuid;

/// The library's name, wherever it is.
const LIBRARY: &[u8] = b"libauthbind";

/// Whether this process runs under authbind, by which an ordinary user may get a port below 1024.
#[must_use]
pub fn is_under_authbind() -> bool {
    std::env::var_os("LD_PRELOAD").is_some_and(|libraries| names_it(&libraries))
}

fn names_it(libraries: &OsStr) -> bool {
    libraries.as_encoded_bytes().windows(LIBRARY.len()).any(|part| part == LIBRARY)
}

/// What to do about a port that authbind has not let this process have; nothing if there is no authbind, or it has no say.
#[must_use]
pub fn authbind_advice(port: u16) -> Option<String> {
    (port < 1024 && is_under_authbind()).then(|| advice(port, getuid().as_raw()))
}

fn advice(port: u16, user: u32) -> String {
    if cfg!(target_env = "musl") {
        return format!(
            "authbind cannot give port {port} to this luster, which is the static binary: use the one for glibc"
        );
    }
    // See authbind(1): there the plain names are looked for only below 512.
    let file = if port < 512 {
        format!("/etc/authbind/byport/{port}")
    } else {
        format!("'/etc/authbind/byport/!{port}'")
    };
    format!(
        "authbind does not allow port {port} to user {user}: as root, `install -m 500 -o {user} /dev/null {file}`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_known_by_its_name() {
        assert!(names_it(OsStr::new("/a/b.so:/usr/lib/authbind/libauthbind.so.1")));
        assert!(!names_it(OsStr::new("/usr/lib/libjemalloc.so")));
    }

    #[test]
    fn the_file_is_named_as_authbind_looks_for_it() {
        assert!(advice(511, 7).contains(" -o 7 /dev/null /etc/authbind/byport/511`"));
        assert!(advice(512, 7).contains(" /dev/null '/etc/authbind/byport/!512'`"));
    }
}
