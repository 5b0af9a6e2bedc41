//! Puts a script on disk and keeps it there.
//!
//! Every worker runs such a file with its own rights, so whoever can change it owns the service. Hence: only a folder
//! that is ours and that nobody else can write to is used, and a file found there is used only if its content is right.
//!
//! Invariants: the file's name carries its content's hash, so different versions of luster never share one; it appears
//! whole or not at all (written aside, then renamed). Scripts are the one thing luster leaves behind: a worker of a master
//! that was killed may still need its own.

use std::env;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process;

use nix::unistd::Uid;

use super::Script;

/// Others may read the script (a worker may run as another user than its master), nobody may write it.
const FOLDER_MODE: u32 = 0o755;
const FILE_MODE: u32 = 0o644;
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Why a script could not be put on disk.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Every folder was tried.
    #[error("cannot write the {script}'s script to any of these folders: {refusals}")]
    NoPlace {
        /// Whose script.
        script: &'static str,
        /// What is wrong with each.
        refusals: String,
    },
}

/// Folders scripts may live in, best first.
#[derive(Debug, Clone)]
pub struct Places(Vec<PathBuf>);

/// A script's file on disk.
#[derive(Debug, Clone)]
pub struct Placed {
    script: Script,
    places: Places,
    path: PathBuf,
    seen: FileIdentity,
}

/// What one `stat` tells of a file: another value means somebody touched it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileIdentity {
    /// The device it is on.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
    /// How long it is, in bytes.
    pub size: u64,
    /// When it was changed last, in seconds and nanoseconds.
    pub changed: (i64, i64),
}

/// Why one folder will not do.
#[derive(Debug, thiserror::Error)]
enum FolderRefusal {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("not a folder")]
    NotAFolder,
    #[error("belongs to user {0}")]
    Foreign(u32),
    #[error("others may write to it")]
    WritableByOthers,
}

impl Places {
    /// The folders this process's environment and user suggest.
    #[must_use]
    pub fn of_this_process() -> Self {
        let uid = Uid::effective();
        let variable = |name| env::var_os(name).filter(|value| !value.is_empty());
        let mut places = Vec::new();
        if let Some(list) = variable("RUNTIME_DIRECTORY") {
            places.extend(env::split_paths(&list).take(1));
        }
        if let Some(folder) = variable("XDG_RUNTIME_DIR") {
            places.push(PathBuf::from(folder).join("luster"));
        }
        if uid.is_root() {
            places.push(PathBuf::from("/run/luster"));
        }
        places.push(env::temp_dir().join(format!("luster-{uid}")));
        places.push(PathBuf::from(format!("/dev/shm/luster-{uid}")));
        places.retain(|folder| folder.is_absolute());
        Self(places)
    }

    /// These folders and no others.
    #[must_use]
    pub fn only(folders: Vec<PathBuf>) -> Self {
        Self(folders)
    }
}

impl Placed {
    /// Puts the script in the first of `places` that will do.
    ///
    /// # Errors
    /// When none will do; the error names each and what is wrong with it.
    pub fn place(script: Script, places: Places) -> Result<Self, Error> {
        let mut refusals = Vec::new();
        for folder in &places.0 {
            match place_in(script, folder) {
                Ok((path, seen)) => return Ok(Self { script, places, path, seen }),
                Err(refusal) => refusals.push(format!("{}: {refusal}", folder.display())),
            }
        }
        Err(Error::NoPlace { script: script.name(), refusals: refusals.join("; ") })
    }

    /// Where it was put, and what it was like there. Programs that clean up temporary folders do not ask, so it has to be
    /// looked at before it is used: by somebody who may wait for the file system.
    #[must_use]
    pub fn seen(&self) -> (&Path, FileIdentity) {
        (&self.path, self.seen)
    }

    /// The script's path, after making sure that it is still there as it was. Waits for the file system.
    ///
    /// # Errors
    /// When the script is gone or changed and no place will take it again.
    pub fn ensure(&mut self) -> Result<&Path, Error> {
        if identity(&self.path).ok() != Some(self.seen) {
            *self = Self::place(self.script, self.places.clone())?;
        }
        Ok(&self.path)
    }
}

/// The file in `folder`, found right or written.
fn place_in(script: Script, folder: &Path) -> Result<(PathBuf, FileIdentity), FolderRefusal> {
    prepare(folder)?;
    let path = folder.join(script.file_name());
    if !is_right(script, &path) {
        write(script, folder, &path)?;
    }
    let seen = identity(&path)?;
    Ok((path, seen))
}

/// Makes the folder if it is absent, and refuses one that others control.
fn prepare(folder: &Path) -> Result<(), FolderRefusal> {
    match DirBuilder::new().mode(FOLDER_MODE).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
        _ => {}
    }
    // Of the name itself: a symbolic link would lead wherever its owner likes, later.
    let metadata = fs::symlink_metadata(folder)?;
    if !metadata.is_dir() {
        return Err(FolderRefusal::NotAFolder);
    }
    check_owner(&metadata)
}

fn check_owner(metadata: &Metadata) -> Result<(), FolderRefusal> {
    if metadata.uid() != Uid::effective().as_raw() {
        return Err(FolderRefusal::Foreign(metadata.uid()));
    }
    if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
        return Err(FolderRefusal::WritableByOthers);
    }
    Ok(())
}

/// Whether the file is a plain one of ours with exactly our script in it.
fn is_right(script: Script, path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file() && check_owner(&metadata).is_ok())
        && fs::read(path).is_ok_and(|content| content == script.text().as_bytes())
}

/// Writes the script under a name of this process's own and renames it: no reader ever sees a part of it.
fn write(script: Script, folder: &Path, path: &Path) -> io::Result<()> {
    let draft = folder.join(format!(".{}-{}", process::id(), script.file_name()));
    let written = write_new(script, &draft).and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written
}

fn write_new(script: Script, draft: &Path) -> io::Result<()> {
    // A draft of an earlier process with our id, killed at the wrong moment.
    let _ = fs::remove_file(draft);
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(draft)?;
    file.write_all(script.text().as_bytes())
}

fn identity(path: &Path) -> io::Result<FileIdentity> {
    let metadata = fs::symlink_metadata(path)?;
    Ok(FileIdentity {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.size(),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}
