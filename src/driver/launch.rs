//! What a worker's process is started with: Node, its flags, the preload, the app, and the environment.
//!
//! Sources: node-cluster-protocol.md section 1 (environment, inspector ports), contract section 3 (`port`,
//! `LUSTER_WID`).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::preload;
use crate::process::{Change, Child, DescriptorLimit, SpawnError, Start};
use crate::supervisor::{Life, WorkerId};

/// Node's default inspector port.
const INSPECTOR: u32 = 9229;

/// Starts workers, all alike but for their number, group and life.
#[derive(Debug)]
pub struct Launcher {
    /// The Node program.
    pub node: PathBuf,
    /// Flags for Node, before the preload.
    pub node_args: Vec<OsString>,
    /// The app's main module.
    pub app: PathBuf,
    /// The worker's JavaScript.
    pub preload: preload::Preload,
    /// What the preload is told, as JSON (`LUSTER_BOOT`).
    pub boot: String,
    /// The value of `port` for each worker, from worker 1 on.
    pub ports: Vec<String>,
    /// `properties.masterInspectPort`.
    pub inspect_port: Option<u16>,
    /// The limit on descriptors luster was started with.
    pub limit: DescriptorLimit,
}

/// A worker's process could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// Its JavaScript cannot be placed.
    #[error(transparent)]
    Preload(#[from] preload::Error),
    /// It could not be forked or executed.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// Its channel could not be made.
    #[error("its channel cannot be made: {0}")]
    Channel(#[from] std::io::Error),
}

impl Launcher {
    /// Starts a process for this life with this end of its channel. Blocks until Node runs or could not be run.
    ///
    /// # Errors
    /// See [`LaunchError`]; nothing is left behind.
    pub fn launch(&mut self, worker: WorkerId, life: Life, channel: OwnedFd) -> Result<Child, LaunchError> {
        let preload = self.preload.ensure()?.to_owned();
        let start = Start {
            program: self.node.clone(),
            args: self.args(worker, &preload),
            env: self.env(worker, life),
            channel,
            limit: self.limit,
        };
        Ok(start.spawn()?)
    }

    fn args(&self, worker: WorkerId, preload: &Path) -> Vec<OsString> {
        let mut args = self.node_args.clone();
        args.extend(self.inspector_arg(worker));
        if self.has_flag("--prof") && !self.has_flag("--logfile=") {
            args.push("--logfile=v8-%p.log".into());
        }
        args.extend([OsString::from("-r"), preload.into(), self.app.clone().into()]);
        args
    }

    /// Without a port of its own, every worker but the first would fail to open its inspector.
    fn inspector_arg(&self, worker: WorkerId) -> Option<OsString> {
        let wanted = ["--inspect", "--inspect-brk", "--inspect-port", "--debug-port"];
        let options = std::env::var("NODE_OPTIONS").unwrap_or_default();
        // The command line has the last word.
        let flags = self.node_args.iter().rev().filter_map(|arg| arg.to_str());
        let mut flags = flags.chain(options.split_whitespace().rev());
        let flag = flags.find(|flag| wanted.contains(&flag.split('=').next().unwrap_or_default()))?;
        let written =
            flag.split_once('=').and_then(|(_, value)| value.rsplit(':').next()?.parse::<u32>().ok());
        let base = self.inspect_port.map_or_else(|| written.unwrap_or(INSPECTOR), u32::from);
        // Node wraps from the last port to the first unprivileged one.
        let port = base + worker.0;
        let port = if port > 65_535 { 1024 + (port - 65_536) % (65_536 - 1024) } else { port };
        Some(format!("--inspect-port={port}").into())
    }

    fn has_flag(&self, prefix: &str) -> bool {
        self.node_args.iter().any(|arg| arg.to_string_lossy().starts_with(prefix))
    }

    fn env(&self, worker: WorkerId, life: Life) -> BTreeMap<OsString, Change> {
        let port = self.ports.get(worker.0 as usize - 1).map_or("0", String::as_str);
        let set = [
            ("NODE_CHANNEL_FD", "3".to_owned()),
            ("NODE_UNIQUE_ID", life.0.to_string()),
            ("LUSTER_WID", worker.to_string()),
            ("port", port.to_owned()),
            ("LUSTER_BOOT", self.boot.clone()),
        ];
        let set = set.into_iter().map(|(name, value)| (name.into(), Change::Set(value.into())));
        // Ours, if luster itself runs below a Node that gave it a channel.
        let removed = [("NODE_CHANNEL_SERIALIZATION_MODE".into(), Change::Remove)];
        set.chain(removed).collect()
    }
}
