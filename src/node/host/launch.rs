//! Starts the process that runs a configuration, and the extensions' master side if it comes to that.
//!
//! Invariants: it is ours to kill, and killed with us; it has a group of its own, so that Ctrl-C reaches only luster; it
//! is nobody's worker, even if luster itself is some Node program's child.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use serde_json::{Value, json};

use crate::node::scripts::{self, NodeFlags, readable_arg};
use crate::process::{
    self, Change, Child, DescriptorLimit, FOR_LUSTER_ALONE, Forked, Identity, Needed, Sealed, SpawnError,
    Start, Stream,
};

/// How often a script that is gone is put back before that is given up.
const TRIES: u32 = 5;

/// What the process is started with.
#[derive(Debug)]
pub struct HostLauncher {
    /// The Node program.
    pub node: PathBuf,
    /// Node's flags; those of the inspector are left out.
    pub node_args: Vec<OsString>,
    /// Its script.
    pub script: scripts::Placed,
    /// What that is told (`LUSTER_HOST`), less what changes from start to start.
    pub boot: Value,
    /// The working directory.
    pub folder: PathBuf,
    /// Our parent's channel, if it gave us one: `process.send` is then to it.
    pub parent: Option<OwnedFd>,
    /// The configuration, if it is data.
    pub data: Option<Sealed>,
    /// The limit on descriptors luster was started with.
    pub limit: DescriptorLimit,
}

/// The process could not be started.
#[derive(Debug, thiserror::Error)]
pub enum HostLaunchError {
    /// Its script cannot be placed.
    #[error(transparent)]
    Script(#[from] scripts::Error),
    /// It could not be forked or executed.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// Its socket could not be made.
    #[error("its socket cannot be made: {0}")]
    Socket(#[from] std::io::Error),
}

impl HostLauncher {
    /// Starts the process and waits until it runs Node; `more` is added to what its script is told. Answers with our end
    /// of its socket, which is blocking. Blocks: for what is started before the loop.
    ///
    /// # Errors
    /// Nothing is left behind.
    pub fn launch(&mut self, more: &Value) -> Result<(Child, OwnedFd), HostLaunchError> {
        self.launch_by(more, |start| Ok(start.spawn()?))
    }

    /// The same, where another thread starts the process.
    ///
    /// # Errors
    /// Nothing is left behind.
    pub fn launch_by(
        &mut self,
        more: &Value,
        spawn: impl Fn(Start) -> Result<Child, HostLaunchError>,
    ) -> Result<(Child, OwnedFd), HostLaunchError> {
        let mut tries = 0;
        loop {
            self.script.ensure()?;
            let (start, ours) = self.start(more)?;
            match spawn(start) {
                // Another luster has put the same script there at the same moment.
                Err(HostLaunchError::Spawn(SpawnError::Lacking { .. })) if tries < TRIES => tries += 1,
                spawned => return Ok((spawned?, ours)),
            }
        }
    }

    /// Whoever is started from now on gets this configuration.
    pub fn configure(&mut self, about: &Value, data: Option<Sealed>) {
        for (name, value) in about.as_object().into_iter().flatten() {
            self.boot[name.as_str()] = value.clone();
        }
        self.data = data;
    }

    /// The same without waiting. If its script is gone that is told as [`SpawnError::Lacking`]: [`Self::mend`] helps.
    ///
    /// # Errors
    /// There is no process.
    pub fn fork(&self, more: &Value) -> Result<(Forked, OwnedFd), HostLaunchError> {
        let (start, ours) = self.start(more)?;
        Ok((start.fork()?, ours))
    }

    /// Puts its script back. Waits for a file system that has just answered.
    ///
    /// # Errors
    /// No place will take it.
    pub fn mend(&mut self) -> Result<(), scripts::Error> {
        self.script.ensure().map(drop)
    }

    fn start(&self, more: &Value) -> Result<(Start, OwnedFd), HostLaunchError> {
        let (script, seen) = self.script.seen();
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)
            .map_err(std::io::Error::from)?;
        let parent = self.parent.as_ref().map(OwnedFd::try_clone).transpose()?;
        let data = self.data.as_ref().map(Sealed::share).transpose()?;
        let mut args: Vec<OsString> =
            self.node_args.iter().filter(|argument| !is_inspector(argument)).cloned().collect();
        if NodeFlags::from_environment(&self.node_args).has_permissions() {
            let config = self.boot["config"].as_str().map(Path::new);
            args.extend([script].into_iter().chain(config).map(readable_arg));
        }
        args.push(script.into());
        let start = Start {
            program: self.node.clone(),
            args,
            env: self.env(more),
            folder: Some(self.folder.clone()),
            stdio: [Stream::Inherited, Stream::Inherited, Stream::Inherited],
            given: [theirs].into_iter().chain(parent).chain(data).collect(),
            identity: Identity::default(),
            limit: self.limit,
            needed: Some(needed(script, seen)),
            own_pid: None,
        };
        Ok((start, ours))
    }

    fn env(&self, more: &Value) -> BTreeMap<OsString, Change> {
        let mut boot = self.boot.clone();
        // Its socket's number, and a program that hands its channel on to us.
        boot["socket"] = 3.into();
        boot["helper"] = helper().to_string_lossy().into();
        if let Some(data) = &self.data {
            let number = process::FURTHER + i32::from(self.parent.is_some());
            boot["data"] = json!({"descriptor": number, "size": data.size()});
        }
        for (name, value) in more.as_object().into_iter().flatten() {
            boot[name.as_str()] = value.clone();
        }
        let mut env = BTreeMap::new();
        let mut removed = vec!["NODE_UNIQUE_ID", "LUSTER_LAUNCHER"];
        match &self.parent {
            // In the language it speaks already.
            Some(_) => {
                _ = env.insert("NODE_CHANNEL_FD".into(), Change::Set(process::FURTHER.to_string().into()));
            }
            None => removed.extend(["NODE_CHANNEL_FD", "NODE_CHANNEL_SERIALIZATION_MODE"]),
        }
        removed.extend(FOR_LUSTER_ALONE);
        env.extend(removed.into_iter().map(|name| (name.into(), Change::Remove)));
        env.insert("LUSTER_HOST".into(), Change::Set(boot.to_string().into()));
        env
    }

    /// What one that is started when its app begins is told besides: what workers are told to listen on.
    #[must_use]
    pub fn first(ports: &[String]) -> Value {
        json!({"validation": {"ports": ports}})
    }

    /// What a host that is started again is told besides: there is nothing to evaluate, and workers may run, which are told
    /// to listen on these.
    #[must_use]
    pub fn again(ports: &[String]) -> Value {
        json!({"replay": true, "validation": {"ports": ports}})
    }
}

/// A script, as something a process needs.
pub(crate) fn needed(path: &Path, seen: scripts::FileIdentity) -> Needed {
    let scripts::FileIdentity { device, inode, size, changed } = seen;
    Needed { path: path.to_owned(), device, inode, size, changed }
}

/// Our program: by its name, or where that is gone because of an upgrade, by our process, which the kernel lets others
/// execute only if we have no capabilities that they have not. Asks no file system.
fn helper() -> PathBuf {
    // The kernel marks the name of one that is gone.
    let file = std::env::current_exe().ok().filter(|file| !file.to_string_lossy().ends_with(" (deleted)"));
    file.unwrap_or_else(|| format!("/proc/{}/exe", std::process::id()).into())
}

/// The inspector is meant for the workers; here it would take their port, or wait for a debugger for ever.
fn is_inspector(argument: &OsStr) -> bool {
    argument.to_string_lossy().starts_with("--inspect")
}
