//! The command line: what the user typed, and nothing of what it means.
//!
//! `luster [OPTIONS] [CONFIG [WORDS]...]` runs; `luster check` with the same only looks, `luster unit` prints. The words behind CONFIG are not
//! luster's, whatever they look like. The other commands are for a luster that runs, and take no such words. A configuration
//! whose name is that of a command is given with its folder: `luster ./check`.

mod client;
mod documents;
mod not_commands;
mod split;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use clap::error::ContextKind;
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};

pub(crate) use self::client::{List, Look, Reload, Scale, Size, Status, Waiting, Whom, Workers, is_plain};
pub(crate) use self::documents::{Shell, completions, manual};
pub(crate) use self::not_commands::advice;
use self::split::{Cut, cut};
use crate::exit::Exit;

const USAGE: &str = "luster [OPTIONS] [CONFIG [WORDS]...]\n       luster check [OPTIONS] [CONFIG [WORDS]...]\n       \
                     luster unit [OPTIONS] [CONFIG [WORDS]...]\n       luster COMMAND [OPTIONS] [CONFIG]";

const EXAMPLES: &str = "\
Examples:
  luster                           Run the workers of ./luster.conf.json (or .js, .cjs, .mjs, .json5)
  luster conf/production.js        Run those of this configuration
  luster check --strict conf.js    Say what is wrong or odd about it; in CI, before a deploy
  luster conf.js --port 8080       What follows CONFIG is in process.argv of the configuration and the workers
  luster reload                    Apply a changed configuration: replace the workers one by one, without dropping a request
  luster status                    Show how everything stands
  kill -HUP PID                    The same as luster reload, without an answer

A first configuration: luster init, or echo '{ \"app\": \"app.js\", \"workers\": 2 }' > luster.conf.json

Signals: SIGTERM, SIGINT and SIGQUIT stop gracefully (a second one kills), SIGHUP restarts the workers one by one, \
SIGUSR1 reopens log files.

Exit codes: 0 stopped as asked, or done; 1 all workers dead or a failed extension, 2 usage, 20 not done: aborted, taken back or \
overruled, 69 no luster runs there, 70 internal or system error, 71 no node or a failed fork or exec, 75 busy, 77 not permitted, \
78 configuration, 124 not done within --timeout, 130 Ctrl-C.";

/// Keeps Node.js workers alive and restarts them without dropping a request.
#[derive(Debug, Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    override_usage = USAGE,
    after_help = EXAMPLES
)]
pub(crate) struct Cli {
    /// A command; without one, luster runs the workers of CONFIG.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// What running takes without a command.
    #[command(flatten)]
    pub(crate) run: Arguments,
}

/// What else luster can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Validates CONFIG and exits
    Check(Check),
    /// Writes a first configuration for the app in this folder
    Init,
    /// Prints a systemd unit that runs CONFIG
    Unit(Unit),
    /// Shows how everything stands: workers, rollout, last failure
    Status(Status),
    /// Reads the configuration again and replaces the workers one by one
    Reload(Reload),
    /// Replaces workers one by one, with the configuration they have
    #[command(override_usage = "luster restart [OPTIONS] [APP | APP/WID | WID]... [CONFIG]")]
    Restart(Workers),
    /// Stops luster and all workers, or only some workers
    #[command(override_usage = "luster stop [OPTIONS] [APP | APP/WID | WID]... [CONFIG]")]
    Stop(Workers),
    /// Starts workers that were stopped
    #[command(override_usage = "luster start [OPTIONS] [APP | APP/WID | WID]... [CONFIG]")]
    Start(Workers),
    /// Changes the number of workers: N, +N, -N
    Scale(Scale),
    /// Lets workers start again that had died too often
    #[command(override_usage = "luster revive [OPTIONS] [APP | APP/WID | WID]... [CONFIG]")]
    Revive(Workers),
    /// Prints what happens from now on
    Events(Look),
    /// Lists the lusters of this user that run
    List(List),
    /// Prints what a shell completes luster's commands and options by
    Completions {
        /// bash, zsh or fish
        shell: Shell,
    },
    /// Prints the manual page of luster, or of one of its commands
    Man {
        /// The command
        command: Option<String>,
    },
    /// Supervises the workers of a custom master, whose channel is in `NODE_CHANNEL_FD`
    #[command(name = "__attach", hide = true)]
    Attach,
    /// Says what the configuration on stdin means
    #[command(name = "__validate", hide = true)]
    Validate,
    /// Hands a channel on
    #[command(name = "__link", hide = true)]
    Link,
}

/// What checking takes.
#[derive(Debug, Args)]
#[command(override_usage = "luster check [OPTIONS] [CONFIG [WORDS]...]")]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) arguments: Arguments,
    /// Treats warnings as errors: exit code 78
    #[arg(long)]
    pub(crate) strict: bool,
}

/// What a unit takes.
#[derive(Debug, Args)]
#[command(override_usage = "luster unit [OPTIONS] [CONFIG [WORDS]...]")]
pub(crate) struct Unit {
    #[command(flatten)]
    pub(crate) arguments: Arguments,
    /// Prints it for the user's own systemd (systemctl --user)
    #[arg(long)]
    pub(crate) user: bool,
}

/// What running, checking and a unit take.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) source: Source,
    /// What this luster is called on its control socket [default: made of CONFIG's path and LUSTER_CONF]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Prints the settings in force and where each comes from, and exits
    #[arg(long)]
    pub(crate) print_config: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// Where the configuration is and which Node runs it.
#[derive(Debug, Args)]
pub(crate) struct Source {
    /// The configuration, found as Node's require() would (.js, .json, .cjs, .mjs, .json5) [default: luster.conf]
    pub(crate) config: Option<PathBuf>,
    /// What follows CONFIG, for the configuration and the app.
    #[arg(skip)]
    pub(crate) words: Vec<OsString>,
    /// The Node.js program [default: node on PATH]
    #[arg(long, value_name = "PROGRAM", env = "LUSTER_NODE", hide_env_values = true)]
    pub(crate) node: Option<OsString>,
    /// A flag for every worker's Node, such as --node-arg=--max-http-header-size=16384; repeatable
    #[arg(long, value_name = "FLAG", allow_hyphen_values = true)]
    pub(crate) node_arg: Vec<OsString>,
}

/// How luster tells what happens.
#[derive(Debug, Args)]
pub(crate) struct Output {
    /// More verbose: -v adds debug lines, -vv what goes on inside luster
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Less verbose: -q only warnings and errors, -qq only errors
    #[arg(short, long, action = ArgAction::Count, conflicts_with = "verbose")]
    pub(crate) quiet: u8,
    /// The format of log lines on stderr
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people; with colour on a terminal.
    Text,
    /// One JSON object a line.
    Json,
}

/// Writes to stdout. A reader that has gone away is no fault.
pub(crate) fn print(text: &str) -> Exit {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Exit::Stopped,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Stopped,
        Err(_) => Exit::Internal,
    }
}

/// Writes to stdout what is followed by more; whether that has a point.
pub(crate) fn is_printed(text: &str) -> bool {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
}

/// Shows something on stderr that does not stay.
pub(crate) fn show(text: &str) {
    let mut out = std::io::stderr().lock();
    // As in complaining.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes to stderr, outside the log.
pub(crate) fn complain(text: &str) {
    // Where complaining fails there is nobody left to tell.
    let _ = writeln!(std::io::stderr(), "{}", text.trim_end());
}

/// Understands the command line, or says with which code to end.
pub(crate) fn parse() -> Result<Cli, Exit> {
    let Cut { ours, theirs } = cut(std::env::args_os(), &Cli::command());
    let mut cli = Cli::try_parse_from(ours).map_err(|mut error| {
        // That a word can be forced to be another CONFIG helps nobody.
        error.remove(ContextKind::Suggested);
        let _ = error.print();
        if error.use_stderr() { Exit::Usage } else { Exit::Stopped }
    })?;
    match &mut cli.command {
        Some(Command::Check(check)) => check.arguments.source.words = theirs,
        Some(Command::Unit(unit)) => unit.arguments.source.words = theirs,
        None => cli.run.source.words = theirs,
        Some(
            Command::Restart(workers)
            | Command::Stop(workers)
            | Command::Start(workers)
            | Command::Revive(workers),
        ) => workers.sort().map_err(|mistake| {
            complain(&format!("luster: {mistake}"));
            Exit::Usage
        })?,
        Some(
            Command::Status(_)
            | Command::Reload(_)
            | Command::Scale(_)
            | Command::Events(_)
            | Command::List(_),
        )
        | Some(
            Command::Init
            | Command::Completions { .. }
            | Command::Man { .. }
            | Command::Attach
            | Command::Validate
            | Command::Link,
        ) => {}
    }
    Ok(cli)
}

/// Those of the words behind CONFIG that luster would understand before it.
pub(crate) fn misplaced(words: &[OsString]) -> impl Iterator<Item = &OsString> {
    let command = Cli::command();
    words.iter().take_while(|word| *word != "--").filter(move |word| split::is_own_option(word, &command))
}
