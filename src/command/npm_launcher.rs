//! What the npm package says about how it was started (`LUSTER_LAUNCHER`, see `npm/bin/luster.js`): in place of a command
//! line, because Node's own flags come before its script.

use std::ffi::OsString;
use std::path::PathBuf;

use serde::Deserialize;

use crate::process::Pid;

/// What it says; nothing if it was not the package that started us.
#[derive(Debug, Default)]
pub(super) struct NpmLauncher {
    /// The Node that ran the package's script.
    pub(super) node: Option<PathBuf>,
    /// Its flags.
    pub(super) node_args: Vec<OsString>,
    /// The script, as the command line named it.
    pub(super) program: Option<PathBuf>,
    /// The package's folder.
    pub(super) package: Option<PathBuf>,
    /// The process that stands in for us where Node cannot become us: our parent, unless it is gone.
    pub(super) stand_in: Option<Pid>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LauncherInfo {
    node: PathBuf,
    exec_argv: Vec<String>,
    program: PathBuf,
    package: PathBuf,
    stand_in: Option<i32>,
}

impl NpmLauncher {
    /// Reads the variable; one that makes no sense is not the package's.
    pub(super) fn by_package() -> Self {
        let told = std::env::var("LUSTER_LAUNCHER").ok().and_then(|text| serde_json::from_str(&text).ok());
        let Some(LauncherInfo { node, exec_argv, program, package, stand_in }) = told else {
            return Self::default();
        };
        Self {
            node: Some(node),
            node_args: exec_argv.into_iter().map(OsString::from).collect(),
            program: Some(program),
            package: Some(package),
            stand_in: stand_in.and_then(Pid::new),
        }
    }
}
