//! What luster is to do, once the configuration has been read and validated.
//!
//! Invariant: every value is within its limits and every default is filled in; a `Settings` that exists can
//! be used.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::builtin_extensions::BuiltinOptions;
use crate::core::{Policy, Port, ReadyCheck};

/// Everything the configuration decides. Each field's key is in parentheses.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The worker's main module: an absolute path to an existing file, found as Node finds a main module; or a program
    /// (`app`).
    pub app: PathBuf,
    /// How the app is run, if not by Node (`interpreter`, `args`, or what the file itself says).
    pub program: Option<ProgramSettings>,
    /// The folder that the configuration's relative paths start from.
    pub base_dir: PathBuf,
    /// How workers are started, watched, stopped and replaced (`workers`, `control.*`).
    pub policy: Policy,
    /// Whether workers keep what Node has compiled for those after them (`control.compileCache`).
    pub compile_cache: bool,
    /// Where luster can be asked and told while it runs (`control.socket`).
    pub control_socket: ControlSocket,
    /// The group whose users may ask there, too (`control.group`).
    pub control_group: Option<u32>,
    /// What workers listen on (`server.*`).
    pub server: Server,
    /// The names of the extensions, in the order written (`extensions`).
    pub extensions: Vec<String>,
    /// The options of those whose work luster can do itself.
    pub builtins: BuiltinOptions,
    /// The absolute folder extensions are resolved from; the app's folder unless given (`extensionsPath`).
    pub extensions_path: PathBuf,
    /// For all extensions to be configured; `None` is no limit (`extensionsLoadTimeout`).
    pub extensions_load_timeout: Option<Duration>,
    /// Node's warning limit for listeners of one event; 0 is no limit (`maxEventListeners`).
    pub max_event_listeners: u32,
    /// Worker k's validator listens on this port + k (`properties.masterInspectPort`).
    pub master_inspect_port: Option<u16>,
}

/// A program that is not Node's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramSettings {
    /// The interpreter's file and its own arguments, the app coming behind them (`interpreter`); empty if the app is executed
    /// itself.
    pub interpreter: Vec<String>,
    /// The app's arguments (`args`).
    pub args: Vec<String>,
    /// When one that runs is ready (`control.ready`).
    pub ready: ReadyCheck,
    /// The number of the signal that asks one to end (`control.stopSignal`).
    pub stop_signal: i32,
    /// Whether one is started with its listening socket, where there is a port (`server.pass`).
    pub pass: bool,
}

/// Where the control socket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlSocket {
    /// Where the environment has a place for it.
    Default,
    /// At this absolute path.
    Path(PathBuf),
    /// Nowhere: there is none.
    None,
}

/// What workers listen on, and how connections are shared among them.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// The first group's port (`server.port`).
    pub port: Option<Port>,
    /// How many groups there are: with workers that do not divide evenly, more than `server.groups` says.
    pub groups: u32,
    /// How many workers were asked for, as they count for the groups: perhaps a fraction.
    pub workers_written: f64,
    /// How many groups were asked for.
    pub groups_written: f64,
    /// The distance between two groups' ports (`server.portsPerGroup`).
    pub ports_per_group: u32,
    /// How connections are shared among workers (`server.balance`).
    pub balance: Balance,
    /// The permission bits of a unix socket's file; the umask's if absent (`server.socketMode`).
    pub socket_mode: Option<u32>,
    /// The group of a unix socket's file; luster's own if absent (`server.socketGroup`).
    pub socket_group: Option<u32>,
}

/// How connections are shared among workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balance {
    /// luster accepts and hands each connection to the next worker (Node's default).
    RoundRobin,
    /// Workers accept from one shared listening socket.
    Shared,
    /// Each worker has a listening socket of its own on the same port (`SO_REUSEPORT`).
    Reuseport,
}
