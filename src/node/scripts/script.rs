//! The scripts themselves: every module of `npm/lib` they need as one text each, put together by `build.rs`.
//!
//! Invariant: the modules are declared, not run; what is run, and when, is in `npm/bundles/*_end.js`.

use std::hash::{DefaultHasher, Hash, Hasher};

/// A script that luster brings along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// What `node -r` loads in every worker.
    Worker,
    /// The main module of the process that runs configurations and the extensions' master side.
    Host,
}

impl Script {
    /// Its JavaScript.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Worker => include_str!(concat!(env!("OUT_DIR"), "/worker.cjs")),
            Self::Host => include_str!(concat!(env!("OUT_DIR"), "/host.cjs")),
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Host => "host",
        }
    }

    /// `worker-3.0.0-<hash>.cjs`. The hash tells builds apart; that the content is right is checked byte for byte. The
    /// extension says CommonJS, whatever a `package.json` beside it says.
    #[must_use]
    pub fn file_name(self) -> String {
        let mut hasher = DefaultHasher::new();
        self.text().hash(&mut hasher);
        format!("{}-{}-{:016x}.cjs", self.name(), env!("CARGO_PKG_VERSION"), hasher.finish())
    }
}
