//! What `serve` and `attach` have in common: from settings to a fleet that can be run.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::Exit;
use crate::config::{Balance, Settings};
use crate::driver::{BuiltinExtensions, HostSetup, Launcher, RunSpec, SpawnOverrides};
use crate::logging;
use crate::node::cluster;
use crate::node::scripts::{Placed, Places, Script};
use crate::process::{self, DescriptorLimit, Sealed, Terminal};

/// What workers run.
pub(super) struct Program {
    pub(super) node: PathBuf,
    pub(super) node_args: Vec<OsString>,
    pub(super) main: PathBuf,
    pub(super) args: Vec<OsString>,
}

/// Makes a clean master of this process and finds what workers are started with. `boot` is what their script is told
/// besides what it always is.
pub(super) fn prepare(
    settings: &Settings,
    program: Program,
    boot: Value,
    data: Option<Sealed>,
    host_setup: HostSetup,
) -> Result<RunSpec, (Exit, String)> {
    let internal = |what: &str, error: io::Error| (Exit::Internal, format!("{what}: {error}"));
    process::adopt_orphans().map_err(|error| internal("orphans cannot be adopted", error))?;
    let limit =
        DescriptorLimit::raise().map_err(|error| internal("the descriptor limit cannot be raised", error))?;
    let preload = Placed::place(Script::Worker, Places::of_this_process())
        .map_err(|error| (Exit::ForkOrExec, error.to_string()))?;
    let readable = boot["config"].as_str().map(PathBuf::from).into_iter().collect();
    let launcher = Launcher {
        node: program.node,
        node_args: program.node_args,
        main: program.main,
        args: program.args,
        preload,
        boot: worker_boot(boot, settings).to_string(),
        readable,
        data,
        ports: settings.server.layout(settings.policy.workers).into_iter().map(|seat| seat.port).collect(),
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
        builtins: BuiltinExtensions::default(),
        terminal: Terminal::Unwatched,
        last_words: logging::finish,
    })
}

/// What every worker's script is told (`LUSTER_BOOT`): its own file's name, that the validation on a connection
/// acknowledges its descriptor, and whether Node is to keep what it has compiled.
fn worker_boot(mut boot: Value, settings: &Settings) -> Value {
    boot["cache"] = settings.compile_cache.into();
    boot["v"] = 1.into();
    boot["preload"] = Script::Worker.file_name().into();
    boot["acks"] = json!("by verdict");
    boot
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
