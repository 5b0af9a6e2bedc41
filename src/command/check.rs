//! `luster check [CONFIG]`: says what is wrong or odd about a configuration, and starts nothing.
//!
//! Invariant: warnings have the form of mistakes; what depends on this machine and this user is only a warning, since
//! another may run it.

use std::fs;
use std::path::Path;

use super::apps::{counted, of_app, what_runs};
use super::extensions;
use super::found::{self, Found, FoundApp, Warnings};
use crate::cli::{self, Check, LogFormat, Output};
use crate::config::{ControlSocket, Loaded, LogTarget, Port, Problem};
use crate::exit::Exit;
use crate::process;

/// Does it.
pub(super) fn run(check: &Check) -> Exit {
    let output = &check.arguments.output;
    found::with_config(&check.arguments, Warnings::Kept, |Found { fleet, apps, .. }| {
        for FoundApp { name, loaded, extension_plan, .. } in &apps {
            if let Some(error) = extensions::missing(loaded, extension_plan) {
                return found::refuse(output, error.exit(), &of_app(name, &error.to_string()));
            }
        }
        let of_app = |app: &FoundApp<'_>| {
            app.plan.warnings.iter().cloned().chain(here(app.loaded)).collect::<Vec<_>>()
        };
        let mut warnings: Vec<_> = fleet.warnings().cloned().collect();
        for odd in apps.iter().flat_map(of_app) {
            if !warnings.contains(&odd) {
                warnings.push(odd);
            }
        }
        tell(output, &warnings);
        let (file, counted) = (fleet.any().path.display(), counted(warnings.len(), "warning"));
        if check.strict && !warnings.is_empty() {
            return found::refuse(
                output,
                Exit::Config,
                &format!("{file}: {counted}, which --strict takes for mistakes"),
            );
        }
        let found =
            if warnings.is_empty() { "no mistakes".to_owned() } else { format!("no mistakes, {counted}") };
        cli::print(&format!("{file}: {found}; it runs {}\n", what_runs(fleet)))
    })
}

fn tell(output: &Output, warnings: &[Problem]) {
    match output.log_format {
        LogFormat::Json => found::tell_warnings(warnings),
        LogFormat::Text if warnings.is_empty() => {}
        LogFormat::Text => {
            let paragraphs: Vec<_> = warnings.iter().map(|warning| format!("warning: {warning}")).collect();
            cli::complain(&paragraphs.join("\n\n"));
        }
    }
}

/// What would not work on this machine, or for this user.
fn here(loaded: &Loaded) -> Vec<Problem> {
    const PORT: &str = "server.port";
    let settings = &loaded.settings;
    let mut odd = Vec::new();
    match &settings.server.port {
        Some(Port::Tcp(port)) if *port < first_port() && !process::is_under_authbind() => odd.push(loaded.origins.problem(
            PORT,
            format!(
                "server.port is {port}; ports below {} need root or CAP_NET_BIND_SERVICE, which this user has not (systemd: \
                 AmbientCapabilities=CAP_NET_BIND_SERVICE)",
                first_port()
            ),
        )),
        Some(Port::Unix(path)) => {
            if !path.starts_with('\0') {
                odd.extend(missing_folder(loaded, PORT, Path::new(path)));
            }
        }
        Some(Port::Tcp(_)) | None => {}
    }
    if let ControlSocket::Path(path) = &settings.control_socket {
        odd.extend(missing_folder(loaded, "control.socket", path));
    }
    odd.extend(log_folders(loaded));
    odd
}

/// What is said of a socket whose folder is not there. Those below `/run` are made when a service starts (systemd's
/// `RuntimeDirectory=`), so that they are missing says nothing.
fn missing_folder(loaded: &Loaded, key: &str, socket: &Path) -> Option<Problem> {
    let comes_later = ["/run", "/var/run"].iter().any(|runtime| socket.starts_with(runtime));
    let folder = socket.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir())?;
    if comes_later {
        return None;
    }
    let message = format!("{key} is in {}, which is no folder that is there", folder.display());
    Some(loaded.origins.problem(key, message))
}

/// The folders of log files are made where they are missing; a file may stand in the way.
fn log_folders(loaded: &Loaded) -> Vec<Problem> {
    let Some(Ok(log_file)) = &loaded.settings.builtins.log_file else { return Vec::new() };
    let targets = [("stdout", &log_file.stdout), ("stderr", &log_file.stderr)];
    let problem = |(stream, target): (&str, &LogTarget)| {
        let LogTarget::File(path) = target else { return None };
        let there = path.ancestors().skip(1).find(|above| above.exists())?;
        let key = format!("extensions.luster-log-file.{stream}");
        let message = format!("{key} is below {}, which is no folder", there.display());
        (!there.is_dir()).then(|| loaded.origins.problem(&key, message))
    };
    targets.into_iter().filter_map(problem).collect()
}

/// The lowest port that this process may bind.
fn first_port() -> u16 {
    /// See capabilities(7).
    const CAP_NET_BIND_SERVICE: u32 = 10;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    if effective.is_none_or(|effective| effective & (1 << CAP_NET_BIND_SERVICE) != 0) {
        return 0;
    }
    let start = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    start.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1024)
}
