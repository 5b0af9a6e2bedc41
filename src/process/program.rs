//! Finds the program that workers run: usually `node`, on PATH.
//!
//! Invariant: what is found is an absolute path to a file we may execute, with symbolic links kept: a version
//! manager that moves the link moves the next worker too.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, eaccess};
use thiserror::Error;

/// Where programs are looked for when there is no PATH, as `execvp` does it.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Why there is no program to run.
#[derive(Debug, Error)]
pub enum ProgramError {
    /// Nothing of this name on PATH.
    #[error(
        "no {name} on PATH (looked in {looked_in}); install Node.js, add its folder to PATH, or name the \
         program by its path"
    )]
    NotOnPath {
        /// What was looked for.
        name: String,
        /// The folders of PATH, shortened.
        looked_in: String,
    },
    /// The path given leads to nothing.
    #[error("{}: {source}; check the path of the program that workers run", path.display())]
    Missing {
        /// The path given.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The path given leads to something that cannot be run.
    #[error("{} is not an executable file; workers need a program such as /usr/bin/node", path.display())]
    NotExecutable {
        /// The path given.
        path: PathBuf,
    },
}

/// Finds `name`: a path if it has a slash (relative to the working directory), else a name to look up in `path`,
/// the value of PATH.
///
/// # Errors
/// Nothing executable is there.
pub fn find_program(name: &OsStr, path: Option<&OsStr>) -> Result<PathBuf, ProgramError> {
    if name.as_encoded_bytes().contains(&b'/') {
        return given(Path::new(name));
    }
    let path = path.unwrap_or(OsStr::new(DEFAULT_PATH));
    std::env::split_paths(path)
        // An empty entry means the working directory; joining keeps that.
        .filter_map(|folder| std::path::absolute(folder.join(name)).ok())
        .find(|candidate| is_executable(candidate))
        .ok_or_else(|| ProgramError::NotOnPath {
            name: name.to_string_lossy().into_owned(),
            looked_in: summary(path),
        })
}

fn given(path: &Path) -> Result<PathBuf, ProgramError> {
    let missing = |source| ProgramError::Missing { path: path.to_path_buf(), source };
    std::fs::metadata(path).map_err(missing)?;
    if is_executable(path) {
        std::path::absolute(path).map_err(missing)
    } else {
        Err(ProgramError::NotExecutable { path: path.to_path_buf() })
    }
}

fn is_executable(path: &Path) -> bool {
    // A directory passes the access check: its x bit means "may be searched".
    path.is_file() && eaccess(path, AccessFlags::X_OK).is_ok()
}

/// The first few folders; a PATH can be pages long.
fn summary(path: &OsStr) -> String {
    const SHOWN: usize = 5;
    let folders: Vec<String> =
        std::env::split_paths(path).map(|folder| folder.display().to_string()).collect();
    match folders.len() {
        0..=SHOWN => folders.join(", "),
        many => format!("{} and {} more", folders[..SHOWN].join(", "), many - SHOWN),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::{ProgramError, find_program};

    fn file(path: &Path, mode: u32) {
        std::fs::write(path, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn directories_and_plain_files_of_the_name_are_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["a/node", "b", "c"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        file(&dir.path().join("b/node"), 0o644);
        file(&dir.path().join("c/node"), 0o755);
        let path = std::env::join_paths(["a", "b", "c"].map(|folder| dir.path().join(folder))).unwrap();
        let found = find_program(OsStr::new("node"), Some(&path)).unwrap();
        assert_eq!(found, dir.path().join("c/node"));
    }

    #[test]
    fn a_missing_node_says_where_it_was_looked_for() {
        let path = OsStr::new("/no/1:/no/2:/no/3:/no/4:/no/5:/no/6:/no/7");
        let error = find_program(OsStr::new("node"), Some(path)).unwrap_err();
        assert!(matches!(error, ProgramError::NotOnPath { .. }));
        let text = error.to_string();
        assert!(text.contains("/no/1, /no/2, /no/3, /no/4, /no/5 and 2 more"), "{text}");
    }

    #[test]
    fn a_path_is_taken_as_given_or_refused_with_its_reason() {
        let dir = tempfile::tempdir().unwrap();
        file(&dir.path().join("run"), 0o755);
        file(&dir.path().join("read"), 0o644);
        let find = |name: &str| find_program(dir.path().join(name).as_os_str(), None);
        assert_eq!(find("run").unwrap(), dir.path().join("run"));
        assert!(matches!(find("read"), Err(ProgramError::NotExecutable { .. })));
        assert!(matches!(find("none"), Err(ProgramError::Missing { .. })));
        assert!(matches!(find_program(OsStr::new("/tmp"), None), Err(ProgramError::NotExecutable { .. })));
    }
}
