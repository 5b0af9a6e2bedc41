//! What `serve` and `attach` have in common: from settings to a fleet that can be run.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::{Balance, Settings};
use crate::driver::{BuiltinExtensions, Configured, HostSetup, Launcher, RunSpec, SpawnOverrides};
use crate::exit::Exit;
use crate::logging;
use crate::node::cluster;
use crate::node::scripts::{Placed, Places, Script};
use crate::process::{self, DescriptorLimit, Terminal};

/// What workers run.
pub(super) struct Program {
    pub(super) node: PathBuf,
    pub(super) node_args: Vec<OsString>,
    pub(super) configured: Configured,
    pub(super) args: Vec<OsString>,
}

/// Makes a clean master of this process and finds what workers are started with.
pub(super) fn prepare(
    settings: &Settings,
    program: Program,
    host_setup: HostSetup,
) -> Result<RunSpec, (Exit, String)> {
    let internal = |what: &str, error: io::Error| (Exit::Internal, format!("{what}: {error}"));
    process::adopt_orphans().map_err(|error| internal("orphans cannot be adopted", error))?;
    let limit =
        DescriptorLimit::raise().map_err(|error| internal("the descriptor limit cannot be raised", error))?;
    let preload = Placed::place(Script::Worker, Places::of_this_process())
        .map_err(|error| (Exit::ForkOrExec, error.to_string()))?;
    let layout = settings.server.layout(settings.policy.workers);
    let launcher = Launcher {
        node: program.node,
        node_args: program.node_args,
        configured: program.configured,
        args: program.args,
        preload,
        ports: layout.into_iter().map(|seat| (seat.worker, seat.port)).collect(),
        inspect_port: settings.master_inspect_port,
        limit,
        overrides: SpawnOverrides::default(),
    };
    let policy = settings.policy.clone();
    let balance = balance(settings.server.balance);
    Ok(RunSpec {
        policy,
        limits: Vec::new(),
        balance,
        access: cluster::SocketAccess {
            mode: settings.server.socket_mode,
            group: settings.server.socket_group,
        },
        sockets: process::activated_sockets(),
        launcher,
        host_setup,
        read: None,
        builtins: BuiltinExtensions::default(),
        terminal: Terminal::Unwatched,
        last_words: logging::finish,
    })
}

/// Node itself only knows paths that are UTF-8.
pub(super) fn utf8(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

const fn balance(configured: Balance) -> cluster::Balance {
    match configured {
        Balance::RoundRobin => cluster::Balance::RoundRobin,
        Balance::Shared => cluster::Balance::Shared,
        Balance::Reuseport => cluster::Balance::Reuseport,
    }
}
