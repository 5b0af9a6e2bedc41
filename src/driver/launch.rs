//! What a worker's process is started with: Node, its flags, the preload, the main module, and the environment; or a program.
//!
//! Sources: node-cluster-protocol.md section 1 (environment, inspector ports), contract section 3 (`port`,
//! `LUSTER_WID`).

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::core::{Generation, ListenRefusal, PoolName, Spawn, WorkerId};
use crate::node::host::{EnvChanges, Setup, needed};
use crate::node::scripts::{self, NodeFlags, readable_arg};
use crate::process::{Change, DescriptorLimit, FOR_LUSTER_ALONE, Forked, Sealed, SpawnError, Start, Stream};
use crate::program::ProgramCommand;

use super::spawn_overrides::{Serialization, SpawnOverrides, StreamOverride};

/// Node's default inspector port.
const INSPECTOR: u16 = 9229;

/// Starts workers, all alike but for their number, group and instance.
#[derive(Debug)]
pub struct Launcher {
    /// Whose workers they are.
    pub app: PoolName,
    /// The Node program.
    pub node: PathBuf,
    /// Flags for Node, before the preload.
    pub node_args: Vec<OsString>,
    /// What they run, by the reading of the configuration that it comes from.
    pub configured: BTreeMap<Generation, Configured>,
    /// The main module's arguments.
    pub args: Vec<OsString>,
    /// The workers' script.
    pub preload: scripts::Placed,
    /// The limit on descriptors luster was started with.
    pub limit: DescriptorLimit,
    /// What the host wants otherwise, once one has been there.
    pub overrides: Option<SpawnOverrides>,
    /// What one wants that is being started.
    pub arriving: Option<SpawnOverrides>,
}

/// What one reading of the configuration means to workers, whole: the app and the configuration belong together.
#[derive(Debug)]
pub struct Configured {
    /// Where the configuration really is, if there is a file of it.
    pub config: Option<PathBuf>,
    /// The app, or a custom master's script.
    pub app: PathBuf,
    /// What workers run.
    pub runs: Runs,
    /// What it overrides for workers.
    pub overrides: SpawnOverrides,
    /// Whether a host says that instead, once it is there.
    pub overridden_by: SettingsFrom,
}

/// What workers run.
#[derive(Debug)]
pub enum Runs {
    /// The app, as Node's main module.
    Node(NodeBoot),
    /// A program.
    Program(ProgramCommand),
}

/// What a Node worker is given besides its main module.
#[derive(Debug)]
pub struct NodeBoot {
    /// What the workers' script is told, as JSON (`LUSTER_BOOT`).
    pub boot: String,
    /// What that reads besides, whatever else a worker may read.
    pub readable: Vec<PathBuf>,
    /// The configuration, if it is data: the first of what a worker is given besides its channel.
    pub data: Option<Sealed>,
    /// `properties.masterInspectPort`.
    pub inspect_port: Option<u16>,
}

/// Who wants something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingsFrom {
    /// The configuration itself: there is no host.
    Configuration,
    /// The extension host.
    Host,
    /// A custom master's script.
    CustomMaster,
}

/// A worker's process, and how it was started.
#[derive(Debug)]
pub(super) struct Launched {
    pub(super) forked: Forked,
    /// The command line, its first word being the program.
    pub(super) argv: Vec<String>,
}

/// A worker's process could not be started.
#[derive(Debug, thiserror::Error)]
pub(super) enum LaunchError {
    /// It could not be forked or executed.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// What it prints to could not be made.
    #[error("its stdout and stderr cannot be made: {0}")]
    Streams(#[source] std::io::Error),
    /// It could not be given the socket it is to listen on.
    #[error("it cannot listen on {}: {}", .0.endpoint, .0.reason)]
    Refused(ListenRefusal),
    /// It could not be given its configuration.
    #[error("its configuration cannot be handed to it: {0}")]
    Data(#[source] std::io::Error),
    /// The core starts nothing on a configuration that it has forgotten.
    #[error("its configuration is gone, by a fault of luster; reload")]
    Forgotten,
    /// Its channel could not be made.
    #[error("its channel cannot be made: {0}")]
    Channel(#[from] std::io::Error),
}

/// What one Node worker is started with.
struct LaunchPlan<'a> {
    launcher: &'a Launcher,
    app: &'a Path,
    node: &'a NodeBoot,
    overrides: &'a SpawnOverrides,
    spawn: &'a Spawn,
}

impl Launcher {
    /// What workers on this configuration run; nothing if it was forgotten.
    pub(super) fn runs(&self, generation: Generation) -> Option<&Runs> {
        self.configured.get(&generation).map(|configured| &configured.runs)
    }

    /// What says to workers whose they are, where there are several apps.
    fn app_variable(&self) -> Option<(OsString, Change)> {
        let app = Some(&self.app).filter(|app| !app.is_nameless());
        app.map(|app| ("LUSTER_APP".into(), Change::Set(app.as_str().into())))
    }

    /// Starts those of another app, on this configuration.
    pub(super) fn of_another(&self, app: PoolName, configured: Configured) -> Self {
        Self {
            app,
            node: self.node.clone(),
            node_args: self.node_args.clone(),
            configured: BTreeMap::from([(Generation(0), configured)]),
            args: self.args.clone(),
            preload: self.preload.clone(),
            limit: self.limit,
            overrides: None,
            arriving: None,
        }
    }

    /// Starts a Node for this instance with this end of its channel and these streams. Whether it runs is known later.
    ///
    /// # Errors
    /// See [`LaunchError`]; nothing is left behind.
    pub(super) fn launch_node(
        &self,
        spawn: &Spawn,
        boot: &NodeBoot,
        channel: OwnedFd,
        stdio: [Stream; 3],
    ) -> Result<Launched, LaunchError> {
        let configured = self.configured.get(&spawn.generation).ok_or(LaunchError::Forgotten)?;
        let overrides = self.overrides_of(configured);
        let plan = LaunchPlan { launcher: self, app: &configured.app, node: boot, overrides, spawn };
        let (preload, seen) = self.preload.seen();
        let data = boot.data.as_ref().map(Sealed::share).transpose().map_err(LaunchError::Data)?;
        fork(Start {
            program: self.node.clone(),
            args: plan.args(preload),
            env: plan.env(),
            folder: overrides.folder.clone(),
            stdio,
            given: [channel].into_iter().chain(data).collect(),
            identity: overrides.identity,
            limit: self.limit,
            needed: Some(needed(preload, seen)),
            own_pid: None,
        })
    }

    /// The folder that workers on this configuration begin in, if it is not ours.
    pub(super) fn folder(&self, generation: Generation) -> Option<&Path> {
        let configured = self.configured.get(&generation)?;
        self.overrides_of(configured).folder.as_deref()
    }

    /// Starts a program for this instance with these sockets and streams. Whether it runs is known later.
    ///
    /// # Errors
    /// See [`LaunchError`]; nothing is left behind.
    pub(super) fn launch_program(
        &self,
        (spawn, notify): (&Spawn, Option<String>),
        command: &ProgramCommand,
        sockets: Vec<OwnedFd>,
        stdio: [Stream; 3],
    ) -> Result<Launched, LaunchError> {
        let configured = self.configured.get(&spawn.generation).ok_or(LaunchError::Forgotten)?;
        let overrides = self.overrides_of(configured);
        let mut env = overrides.env.clone();
        env.extend(command.env(spawn.worker, &spawn.port, sockets.len()));
        env.extend(self.app_variable());
        if let Some(socket) = notify {
            env.insert("NOTIFY_SOCKET".into(), Change::Set(socket.into()));
        }
        fork(Start {
            program: command.executable.clone(),
            args: command.args.clone(),
            env,
            folder: overrides.folder.clone(),
            stdio,
            own_pid: (!sockets.is_empty()).then_some("LISTEN_PID"),
            given: sockets,
            identity: overrides.identity,
            limit: self.limit,
            needed: None,
        })
    }

    /// How messages to workers on this configuration are written.
    pub(super) fn serialization(&self, generation: Generation) -> Serialization {
        let configured = self.configured.get(&generation);
        configured.map(|configured| self.overrides_of(configured).serialization).unwrap_or_default()
    }

    fn overrides_of<'a>(&'a self, configured: &'a Configured) -> &'a SpawnOverrides {
        match configured.overridden_by {
            SettingsFrom::Configuration => &configured.overrides,
            SettingsFrom::Host | SettingsFrom::CustomMaster => {
                self.overrides.as_ref().unwrap_or(&configured.overrides)
            }
        }
    }

    /// What the streams of workers on this configuration are to be.
    pub(super) fn streams_of(&self, generation: Generation) -> [StreamOverride; 3] {
        let configured = self.configured.get(&generation);
        configured.map(|configured| self.overrides_of(configured).streams).unwrap_or_default()
    }

    /// A host is started: it says all it wants, whatever an earlier one has wanted.
    pub(super) fn host_starts(&mut self) {
        self.arriving = Some(SpawnOverrides::default());
    }

    /// What it wants until now holds for workers from now on.
    pub(super) fn host_is_there(&mut self) {
        if let Some(overrides) = self.arriving.take() {
            self.overrides = Some(overrides);
        }
    }

    /// What the host that speaks wants.
    fn wanted(&mut self) -> &mut SpawnOverrides {
        match &mut self.arriving {
            Some(arriving) => arriving,
            None => self.overrides.get_or_insert_default(),
        }
    }

    /// Takes changes of the environment that the host wants.
    pub(super) fn change_env(&mut self, changes: EnvChanges) {
        self.wanted().change_env(changes);
    }

    /// Takes what the host wants from now on.
    pub(super) fn set_up(&mut self, setup: &Setup, by: SettingsFrom) {
        self.wanted().set_up(setup);
        match by {
            // Node's defaults name the script itself; for the extension host that is nothing to start.
            SettingsFrom::Host | SettingsFrom::Configuration => {}
            SettingsFrom::CustomMaster => {
                if let (Some(exec), Some(configured)) =
                    (&setup.exec, self.configured.values_mut().next_back())
                {
                    configured.app = PathBuf::from(exec);
                }
                if let Some(args) = &setup.args {
                    self.args = args.iter().map(OsString::from).collect();
                }
            }
        }
    }
}

fn fork(start: Start) -> Result<Launched, LaunchError> {
    let words = [start.program.as_os_str()].into_iter().chain(start.args.iter().map(OsString::as_os_str));
    let argv = words.map(|word| word.to_string_lossy().into_owned()).collect();
    Ok(Launched { forked: start.fork()?, argv })
}

impl LaunchPlan<'_> {
    fn node_args(&self) -> &[OsString] {
        self.overrides.node_args.as_deref().unwrap_or(&self.launcher.node_args)
    }

    fn args(&self, preload: &Path) -> Vec<OsString> {
        let flags = self.node_flags();
        let mut args = self.node_args().to_vec();
        args.extend(self.inspector_arg(&flags));
        if self.has_flag("--prof") && !self.has_flag("--logfile=") {
            args.push("--logfile=v8-%p.log".into());
        }
        if flags.has_permissions() {
            // The script's own first: the script takes all from there on out of what the app sees.
            let ours = [preload].into_iter().chain(self.node.readable.iter().map(PathBuf::as_path));
            args.extend(ours.map(readable_arg));
        }
        args.extend([OsString::from("-r"), preload.into(), self.app.into()]);
        args.extend(self.launcher.args.iter().cloned());
        args
    }

    /// Node's flags wherever they come from.
    fn node_flags(&self) -> NodeFlags {
        let options = match self.overrides.env.get(OsStr::new("NODE_OPTIONS")) {
            Some(Change::Set(options)) => Some(options.clone()),
            Some(Change::Remove) => None,
            None => std::env::var_os("NODE_OPTIONS"),
        };
        NodeFlags::new(self.node_args(), options.as_deref().and_then(OsStr::to_str))
    }

    /// Without a port of its own, every worker but the first would fail to open its inspector.
    fn inspector_arg(&self, flags: &NodeFlags) -> Option<OsString> {
        let flag = flags.last(&["--inspect", "--inspect-brk", "--inspect-port", "--debug-port"])?;
        if let Some(port) = self.overrides.inspect_port {
            return Some(format!("--inspect-port={port}").into());
        }
        let written =
            flag.split_once('=').and_then(|(_, value)| value.rsplit(':').next()?.parse::<u16>().ok());
        let base = self.node.inspect_port.or(written).unwrap_or(INSPECTOR);
        let port = inspector_port(base, self.spawn.worker);
        Some(format!("--inspect-port={port}").into())
    }

    fn has_flag(&self, prefix: &str) -> bool {
        self.node_args().iter().any(|arg| arg.to_string_lossy().starts_with(prefix))
    }

    fn env(&self) -> BTreeMap<OsString, Change> {
        let Spawn { worker, instance, port, .. } = self.spawn;
        let set = [
            ("NODE_CHANNEL_FD", "3".to_owned()),
            ("NODE_UNIQUE_ID", instance.0.to_string()),
            ("LUSTER_WID", worker.to_string()),
            ("port", port.as_ref().to_owned()),
            ("LUSTER_BOOT", self.node.boot.clone()),
        ];
        let set = set.into_iter().map(|(name, value)| (name.into(), Change::Set(value.into())));
        // Ours, if luster itself was started by a Node.
        let removed = ["NODE_CHANNEL_SERIALIZATION_MODE", "LUSTER_LAUNCHER"];
        let removed = removed.map(|name| (name.into(), Change::Remove));
        let of_our_starter = FOR_LUSTER_ALONE.map(|name| (name.into(), Change::Remove));
        let serialization = match self.overrides.serialization {
            Serialization::Json => Change::Remove,
            Serialization::Advanced => Change::Set("advanced".into()),
        };
        let set = set.chain([("LUSTER_SERIALIZATION".into(), serialization)]);
        let set = set.chain(self.launcher.app_variable());
        of_our_starter.into_iter().chain(self.overrides.env.clone()).chain(set).chain(removed).collect()
    }
}

/// The port of a worker's inspector.
fn inspector_port(base: u16, worker: WorkerId) -> u32 {
    match (u32::from(base), worker.0) {
        // Any: Node finds one for each.
        (0, _) => 0,
        // Node wraps from the last port to the first unprivileged one.
        (base, number) => match base.saturating_add(number) {
            beyond @ 65_536.. => 1024 + (beyond - 65_536) % (65_536 - 1024),
            port => port,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inspectors_have_ports_of_their_own_whatever_the_number() {
        for (base, number, port) in
            [(9229, 1, 9230), (0, 7, 0), (65_535, 1, 1024), (65_500, 36, 1024), (65_535, 64_513, 1024)]
        {
            assert_eq!(inspector_port(base, WorkerId(number)), port, "{base} + {number}");
        }
        assert!((1024..=65_535).contains(&inspector_port(u16::MAX, WorkerId(u32::MAX))));
    }
}
