//! One reading of the configuration, as workers and the extension host get it.
//!
//! Invariant: configuration and app are those of one release: both are named by where they really were when it was read.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::config::{self, Balance, Flavour, Loaded, Settings};
use crate::control::Wanted;
use crate::core::{HostKind, PoolName, PoolSpec};
use crate::driver::{Configured, InForce, NodeBoot, Runs, SettingsFrom, SpawnOverrides};
use crate::node::cluster::{self, SocketAccess};
use crate::node::scripts::Script;
use crate::process::{self, Sealed};
use crate::program::{Pass, ProgramCommand};

/// What workers get; `package` is luster's own npm package, `overrides` what the configuration has wished for if it was run.
pub(super) fn for_workers(
    (name, loaded): (&PoolName, &Loaded),
    package: Option<&Path>,
    overrides: SpawnOverrides,
    host_kind: HostKind,
) -> Result<Configured, String> {
    let runs = match &loaded.settings.program {
        Some(program) => Runs::Program(command(program, &loaded.real.app)),
        None => Runs::Node(node_boot((name, loaded), package)?),
    };
    Ok(Configured {
        config: Some(loaded.real.config.clone()),
        app: loaded.real.app.clone(),
        runs,
        overrides,
        overridden_by: match host_kind {
            HostKind::None => SettingsFrom::Configuration,
            HostKind::ExtensionHost { .. } => SettingsFrom::Host,
            HostKind::CustomMaster => SettingsFrom::CustomMaster,
        },
    })
}

/// How a program is run: by itself, or its interpreter.
fn command(program: &config::ProgramSettings, app: &Path) -> ProgramCommand {
    let config::ProgramSettings { interpreter, args, ready, stop_signal, pass } = program;
    let words = interpreter.iter().map(OsString::from).chain([app.as_os_str().to_owned()]);
    let mut words = words.chain(args.iter().map(OsString::from));
    let executable = words.next().map(PathBuf::from).unwrap_or_default();
    ProgramCommand {
        executable,
        args: words.collect(),
        ready: ready.clone(),
        stop_signal: *stop_signal,
        pass: if *pass { Pass::Socket } else { Pass::Nothing },
    }
}

fn node_boot((name, loaded): (&PoolName, &Loaded), package: Option<&Path>) -> Result<NodeBoot, String> {
    let data = sealed(loaded)?;
    let mut boot = about(name, loaded);
    if let Some(data) = &data {
        boot["data"] = json!({"descriptor": process::FURTHER, "size": data.size()});
    }
    boot["package"] = package.map(utf8).into();
    boot["extensionsPath"] = utf8(&loaded.real.extensions).into();
    // What is tried when the release is gone.
    boot["given"] =
        json!({"config": utf8(&loaded.path), "extensions": utf8(&loaded.settings.extensions_path)});
    let config = data.is_none().then(|| loaded.real.config.clone());
    Ok(NodeBoot {
        boot: worker_boot(boot, &loaded.settings),
        readable: config.into_iter().collect(),
        data,
        inspect_port: loaded.settings.master_inspect_port,
    })
}

/// What every worker's script is told (`LUSTER_BOOT`): its own file's name, that the validation on a connection
/// acknowledges its descriptor, and whether Node is to keep what it has compiled.
pub(super) fn worker_boot(mut boot: Value, settings: &Settings) -> String {
    boot["cache"] = settings.compile_cache.into();
    boot["v"] = 1.into();
    boot["preload"] = Script::Worker.file_name().into();
    boot["acks"] = json!("by verdict");
    boot.to_string()
}

/// Node itself only knows paths that are UTF-8.
pub(super) fn utf8(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// How JavaScript gets the configuration: it runs a program itself, and is given what is none.
fn about(name: &PoolName, loaded: &Loaded) -> Value {
    let format = if loaded.data.is_some() { "data" } else { "module" };
    let flavour = loaded.real.flavour.map(flavour);
    let mut about = json!({
        "config": utf8(&loaded.real.config), "baseDir": utf8(&loaded.base_dir), "format": format, "flavour": flavour,
    });
    if !name.is_nameless() {
        about["app"] = name.as_str().into();
    }
    about
}

/// The host's word for it.
pub(super) const fn flavour(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::CommonJs => "commonjs",
        Flavour::EsModule => "es",
    }
}

/// How the extension host gets it.
pub(super) fn for_host(name: &PoolName, loaded: &Loaded) -> Value {
    let mut boot = about(name, loaded);
    boot["extensions"] = place_of_extensions(loaded);
    boot
}

/// Where extensions are found by a host that is started when links lead elsewhere.
pub(super) fn place_of_extensions(loaded: &Loaded) -> Value {
    json!({"given": utf8(&loaded.settings.extensions_path), "real": utf8(&loaded.real.extensions)})
}

/// What it means to all but workers.
pub(super) fn in_force(
    (name, loaded): (&PoolName, &Loaded),
    control: Option<Wanted>,
) -> Result<InForce, String> {
    let settings = &loaded.settings;
    Ok(InForce {
        host: (for_host(name, loaded), sealed(loaded)?),
        access: access(settings),
        balance: balance(settings),
        control,
    })
}

/// Who may connect to unix sockets.
pub(super) const fn access(settings: &Settings) -> SocketAccess {
    SocketAccess { mode: settings.server.socket_mode, group: settings.server.socket_group }
}

/// How connections are shared.
pub(super) const fn balance(settings: &Settings) -> cluster::Balance {
    match settings.server.balance {
        Balance::RoundRobin => cluster::Balance::RoundRobin,
        Balance::Shared => cluster::Balance::Shared,
        Balance::Reuseport => cluster::Balance::Reuseport,
    }
}

/// What it wants of the fleet; `modules` are the extensions with a master's side.
pub(super) fn spec(loaded: &Loaded, configured: &Configured, modules: &[String]) -> PoolSpec {
    let data = loaded.data.as_deref().unwrap_or_default();
    let host = match modules.is_empty() {
        true => String::new(),
        false => json!([modules, loaded.raw.get("extensions"), utf8(&loaded.real.extensions)]).to_string(),
    };
    let run = match &configured.runs {
        Runs::Node(NodeBoot { boot, inspect_port, .. }) => format!("{boot}\n{inspect_port:?}"),
        Runs::Program(command) => format!("{command:?}"),
    };
    PoolSpec {
        run: format!("{}\n{run}\n{data}", configured.app.display()),
        host,
        ..plain_spec(&loaded.settings)
    }
}

/// What settings alone want of the fleet.
pub(super) fn plain_spec(settings: &Settings) -> PoolSpec {
    let listen = format!("{:?} {:?}", settings.server.balance, access(settings));
    PoolSpec {
        policy: settings.policy.clone(),
        layout: settings.server.layout(),
        run: String::new(),
        listen,
        host: String::new(),
    }
}

/// A configuration that is data, for processes to be given as it was when it was read.
pub(super) fn sealed(loaded: &Loaded) -> Result<Option<Sealed>, String> {
    let seal = |data: &String| Sealed::new("luster-configuration", data.as_bytes());
    let sealed = loaded.data.as_ref().map(seal).transpose();
    sealed.map_err(|error| format!("the configuration cannot be kept in memory for workers: {error}"))
}
