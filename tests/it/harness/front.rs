//! What users start: the binary, the npm package's script, or a script of their own.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// How luster is started.
pub(super) enum Front {
    Binary,
    /// The npm package's script, by this Node with these flags.
    Package(PathBuf, Vec<String>),
    /// A custom master, `master.js`, by this Node with these flags.
    Script(PathBuf, Vec<String>),
}

impl Front {
    /// The command line; `options` are the binary's.
    pub(super) fn words(&self, options: &[&str]) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        match self {
            Self::Binary => words.push(env!("CARGO_BIN_EXE_luster").into()),
            Self::Package(node, flags) | Self::Script(node, flags) => {
                words.push(node.into());
                words.extend(flags.iter().map(OsString::from));
            }
        }
        match self {
            Self::Binary => {}
            Self::Package(..) => words.push(package().join("bin/luster.js").into()),
            // How its supervisor tells what happens is in the environment.
            Self::Script(..) => {
                words.push("master.js".into());
                return words;
            }
        }
        words.extend(options.iter().map(OsString::from));
        words
    }
}

/// Our npm package.
pub(crate) fn package() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("npm")
}
