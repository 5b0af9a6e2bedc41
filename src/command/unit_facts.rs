//! What goes into a unit: from the configuration, the command line, and who owns the folder.
//!
//! Invariant: every path is absolute, links not followed.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use nix::unistd::{Group, Uid, User};

use super::found::Found;
use super::npm_launcher::NpmLauncher;
use crate::cli::{Source, Unit};
use crate::config::{ControlSocket, Loaded, LogTarget, Port};
use crate::exit::Exit;
use crate::process;

/// Where systemd looks for programs.
const PATH_OF_SYSTEMD: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Whose manager runs the unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manager {
    System,
    User,
}

/// Everything the unit says, before it is written.
pub(super) struct Facts<'a> {
    pub(super) loaded: &'a Loaded,
    pub(super) manager: Manager,
    /// The service's.
    pub(super) name: String,
    pub(super) program: PathBuf,
    /// What the program is called with for any command: Node's own script, where the npm package has started us.
    pub(super) script: Vec<OsString>,
    pub(super) options: Vec<OsString>,
    pub(super) words: &'a [OsString],
    pub(super) chosen_name: Option<&'a str>,
    node: Option<PathBuf>,
    pub(super) luster_conf: Option<OsString>,
}

impl<'a> Facts<'a> {
    pub(super) fn of(unit: &'a Unit, found: &Found<'a>, loaded: &'a Loaded) -> Result<Self, (Exit, String)> {
        let source = &unit.arguments.source;
        let launched = &found.environment.launched;
        let node = match (&found.environment.node, &loaded.settings.program) {
            (Ok(node), _) => Some(node),
            (Err(_), Some(_)) => None,
            (Err(error), None) => return Err((Exit::ForkOrExec, error.to_string())),
        };
        let ourselves = |error| (Exit::Internal, format!("luster cannot find its own program: {error}"));
        let (program, script) = match (&launched.node, &launched.program) {
            (Some(node), Some(script)) => {
                let script = std::path::absolute(script).map_err(ourselves)?.into_os_string();
                (node.clone(), flags_of(launched, source).chain([script]).collect())
            }
            (_, _) => (own_program().map_err(ourselves)?, Vec::new()),
        };
        let mut options: Vec<OsString> = Vec::new();
        if let Some(node) = node
            && script.is_empty()
            && (source.node.is_some() || !systemd_finds(node))
        {
            options.extend(["--node".into(), node.clone().into_os_string()]);
        }
        for flag in &source.node_arg {
            options.extend(["--node-arg".into(), flag.clone()]);
        }
        let manager = if unit.user { Manager::User } else { Manager::System };
        let chosen_name = unit.arguments.name.as_deref();
        Ok(Self {
            loaded,
            manager,
            name: chosen_name.map_or_else(|| name_of(&loaded.base_dir), str::to_owned),
            program,
            script,
            options,
            words: &source.words,
            chosen_name,
            node: node.cloned(),
            luster_conf: found.request.luster_conf.clone().filter(|value| !value.is_empty()),
        })
    }

    /// Folders right below `/run` that sockets are to be made in.
    pub(super) fn in_run(&self) -> Vec<String> {
        let mut folders: Vec<_> = self
            .socket_folders()
            .iter()
            .filter_map(|folder| {
                let below = folder.strip_prefix("/run").ok()?.components().next()?;
                below.as_os_str().to_str().map(str::to_owned)
            })
            .collect();
        folders.sort();
        folders.dedup();
        folders
    }

    /// The folders that sockets with a file are made in.
    pub(super) fn socket_folders(&self) -> Vec<PathBuf> {
        let settings = &self.loaded.settings;
        let control = match &settings.control_socket {
            ControlSocket::Path(path) => Some(path.clone()),
            ControlSocket::Default | ControlSocket::None => None,
        };
        let served = match &settings.server.port {
            Some(Port::Unix(path)) => Some(self.loaded.base_dir.join(path)),
            Some(Port::Tcp(_)) | None => None,
        };
        let parents = control.into_iter().chain(served).filter_map(|path| Some(path.parent()?.to_owned()));
        parents.collect()
    }

    /// The folders of log files.
    pub(super) fn log_folders(&self) -> Vec<PathBuf> {
        let Some(Ok(log_file)) = &self.loaded.settings.builtins.log_file else { return Vec::new() };
        let mut folders: Vec<_> = [&log_file.stdout, &log_file.stderr]
            .into_iter()
            .filter_map(|target| match target {
                LogTarget::File(path) => Some(path.parent()?.to_owned()),
                LogTarget::Own | LogTarget::Nothing => None,
            })
            .collect();
        folders.dedup();
        folders
    }

    /// Everything that is read.
    pub(super) fn read_paths(&self) -> Vec<&Path> {
        let Loaded { path, base_dir, real, settings, .. } = self.loaded;
        let mut paths: Vec<&Path> =
            vec![path, base_dir, &real.config, &real.app, &settings.extensions_path, &self.program];
        paths.extend(self.node.as_deref());
        paths.extend(self.interpreter());
        paths
    }

    /// What runs the app, if that is not Node.
    fn interpreter(&self) -> Option<&Path> {
        self.loaded.settings.program.as_ref()?.interpreter.first().map(Path::new)
    }

    /// What `PATH` has to be for luster to find the interpreter again; nothing if systemd's own does.
    pub(super) fn path(&self) -> Option<OsString> {
        let folder = self.interpreter().filter(|program| !systemd_finds(program))?.parent()?;
        let mut path = folder.as_os_str().to_owned();
        path.push(format!(":{}", PATH_OF_SYSTEMD.join(":")));
        Some(path)
    }

    /// The least port that workers are told to listen on.
    pub(super) const fn port(&self) -> Option<u16> {
        match &self.loaded.settings.server.port {
            Some(Port::Tcp(port)) => Some(*port),
            Some(Port::Unix(_)) | None => None,
        }
    }

    /// Whether the service is root's.
    pub(super) fn is_roots(&self) -> bool {
        self.owner().is_none_or(|(uid, _)| uid == 0)
    }

    /// Who owns the folder: its workers run as that.
    pub(super) fn owner(&self) -> Option<(u32, String)> {
        let uid = fs::metadata(&self.loaded.base_dir).ok()?.uid();
        let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        Some((uid, user.map_or_else(|| uid.to_string(), |user| user.name)))
    }

    pub(super) fn groups(&self) -> Vec<String> {
        let settings = &self.loaded.settings;
        let ids = [settings.server.socket_group, settings.control_group].into_iter().flatten();
        let mut groups: Vec<_> = ids
            .map(|gid| {
                Group::from_gid(gid.into()).ok().flatten().map_or_else(|| gid.to_string(), |group| group.name)
            })
            .collect();
        groups.dedup();
        groups
    }
}

/// Whether this program is found by its name in a service.
fn systemd_finds(program: &Path) -> bool {
    program.parent().is_some_and(|folder| PATH_OF_SYSTEMD.iter().any(|it| folder == Path::new(it)))
}

/// The flags that Node was started with itself; those of --node-arg are behind them.
fn flags_of<'a>(launched: &'a NpmLauncher, source: &Source) -> impl Iterator<Item = OsString> + 'a {
    let own = launched.node_args.len().saturating_sub(source.node_arg.len());
    launched.node_args.iter().take(own).cloned()
}

/// What the service is called: as its folder, or the one above a link to a release.
fn name_of(folder: &Path) -> String {
    let names = folder.ancestors().filter_map(|folder| folder.file_name()?.to_str());
    let mut names = names.filter(|name| !matches!(*name, "current" | "app" | "src" | "config" | "conf"));
    let fit = |character: char| {
        if character.is_ascii_alphanumeric() || "-_".contains(character) { character } else { '-' }
    };
    let name: String = names.next().unwrap_or_default().chars().map(fit).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "luster".to_owned() } else { name.to_owned() }
}

/// The file that runs, by the path it was started by where that leads to it.
fn own_program() -> std::io::Result<PathBuf> {
    let real = std::env::current_exe()?;
    let called = std::env::args_os().next().unwrap_or_default();
    let named = process::find_program(&called, std::env::var_os("PATH").as_deref()).ok();
    let is_ours = |path: &PathBuf| {
        fs::metadata(path)
            .ok()
            .zip(fs::metadata(&real).ok())
            .is_some_and(|(named, real)| (named.dev(), named.ino()) == (real.dev(), real.ino()))
    };
    let has_no_way_up = |path: &PathBuf| !path.components().any(|part| part == Component::ParentDir);
    Ok(named.filter(has_no_way_up).filter(is_ours).unwrap_or(real))
}
