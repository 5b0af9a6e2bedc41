//! What `serve` and `attach` have in common: from settings to a fleet that can be run.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::Value;

use super::generation;
use crate::config::{ControlSocket, Settings};
use crate::control::place::{Identity, Surroundings};
use crate::control::{self, Place, Wanted};
use crate::core::{FleetPlan, Generation, PoolName};
use crate::driver::{
    AppSpec, BuiltinExtensions, Configured, HostSetup, InForce, Launcher, RunSpec, cause_of_death,
    rollout_failure,
};
use crate::exit::Exit;
use crate::listen;
use crate::logging;
use crate::node::scripts::{Placed, Places, Script};
use crate::process::{self, DescriptorLimit, Terminal};
use crate::systemd::ManagerEnvironment;

/// What workers run.
pub(super) struct Program {
    pub(super) node: PathBuf,
    pub(super) node_args: Vec<OsString>,
    pub(super) configured: Configured,
    pub(super) args: Vec<OsString>,
}

/// Makes a clean master of this process; answers with the limit on descriptors that it was started with.
pub(super) fn become_master() -> Result<DescriptorLimit, (Exit, String)> {
    let internal = |what: &str, error: io::Error| (Exit::Internal, format!("{what}: {error}"));
    process::adopt_orphans().map_err(|error| internal("orphans cannot be adopted", error))?;
    DescriptorLimit::raise().map_err(|error| internal("the descriptor limit cannot be raised", error))
}

/// Finds what an app's workers are started with.
pub(super) fn app(
    (name, settings): (&PoolName, &Settings),
    program: Program,
    host_setup: HostSetup,
    limit: DescriptorLimit,
) -> Result<AppSpec, (Exit, String)> {
    let preload = Placed::place(Script::Worker, Places::of_this_process())
        .map_err(|error| (Exit::ForkOrExec, error.to_string()))?;
    let launcher = Launcher {
        app: name.clone(),
        node: program.node,
        node_args: program.node_args,
        configured: BTreeMap::from([(Generation(0), program.configured)]),
        args: program.args,
        preload,
        limit,
        overrides: None,
        arriving: None,
    };
    Ok(AppSpec {
        spec: generation::plain_spec(settings),
        limits: Vec::new(),
        in_force: InForce {
            host: (Value::Null, None),
            access: generation::access(settings),
            balance: generation::balance(settings),
            control: None,
        },
        launcher,
        host_setup,
        builtins: BuiltinExtensions::default(),
    })
}

/// What is to be run of these apps, whose master is asked and told over this control socket.
pub(super) fn fleet(apps: BTreeMap<PoolName, AppSpec>, plan: FleetPlan, control: control::Setup) -> RunSpec {
    RunSpec {
        apps,
        plan,
        sockets: process::activated_sockets(listen::is_stored_name),
        read: None,
        terminal: Terminal::Unwatched,
        control,
        // A custom master's script is what the manager knows; it says by itself what it has to say.
        manager_environment: ManagerEnvironment::default(),
        last_words: logging::finish,
    }
}

/// What is to be run of the only app of a configuration.
pub(super) fn plain(app: AppSpec, control: control::Setup) -> RunSpec {
    fleet(BTreeMap::from([(PoolName::default(), app)]), FleetPlan::plain(), control)
}

/// The control socket of a master of this identity, which runs this.
pub(super) fn control(settings: &Settings, identity: Identity, config: &Path) -> control::Setup {
    let about = control::About {
        version: env!("CARGO_PKG_VERSION"),
        name: identity.as_str().to_owned(),
        config: config.to_owned(),
        started: Instant::now(),
        cause: cause_of_death,
        failure: rollout_failure,
    };
    let wanted = control_socket(settings, identity);
    control::Setup { wanted, about, lines: logging::listen, rest: process::give_back }
}

/// The control socket of a master of this identity, if it is to have one.
pub(super) fn control_socket(settings: &Settings, identity: Identity) -> Option<Wanted> {
    let place = match &settings.control_socket {
        ControlSocket::Default => Some(Place::by_environment()),
        ControlSocket::Path(path) => Some(Place::Given(path.clone(), Surroundings::now().folders())),
        ControlSocket::None => None,
    };
    place.map(|place| Wanted { identity, place, group: settings.control_group })
}
