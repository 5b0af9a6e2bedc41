//! What the service may not do, and what it may all the same because the configuration needs it.
//!
//! Invariant: nothing is forbidden that luster or Node's own start needs, nor any path that the configuration names.

use std::ffi::OsStr;
use std::path::Path;

use super::unit_facts::{Facts, Manager};
use crate::systemd::{UnitFile, Unwritable};

/// Ports below need a capability.
const FIRST_FREE_PORT: u16 = 1024;

/// What is forbidden without a question.
const PLAIN: [(&str, &str); 11] = [
    ("PrivateDevices", "yes"),
    ("ProtectClock", "yes"),
    ("ProtectControlGroups", "yes"),
    ("ProtectHostname", "yes"),
    ("ProtectKernelLogs", "yes"),
    ("ProtectKernelModules", "yes"),
    ("ProtectKernelTunables", "yes"),
    ("LockPersonality", "yes"),
    ("RestrictRealtime", "yes"),
    ("RestrictSUIDSGID", "yes"),
    ("SystemCallArchitectures", "native"),
];

/// Writes it.
pub(super) fn write(facts: &Facts<'_>, unit: &mut UnitFile) -> Result<(), Unwritable> {
    match facts.manager {
        Manager::System => of_system(facts, unit),
        Manager::User => {
            if facts.port().is_some_and(|port| port < FIRST_FREE_PORT) {
                unit.comment(
                    "A user's service has no right to ports below 1024: see sysctl net.ipv4.ip_unprivileged_port_start.",
                );
            }
            unit.set("NoNewPrivileges", "yes");
            Ok(())
        }
    }
}

fn of_system(facts: &Facts<'_>, unit: &mut UnitFile) -> Result<(), Unwritable> {
    capabilities(facts, unit);
    unit.comment("Remove what an app cannot do with. No MemoryDenyWriteExecute: Node compiles to memory.");
    unit.set("NoNewPrivileges", "yes");
    unit.comment("Nothing can be written to but what is named here and by the directories above. Add what the app writes.");
    unit.set("ProtectSystem", "strict");
    let (logs, sockets) = (facts.log_folders(), facts.socket_folders());
    let made = |folder: &&std::path::PathBuf| !folder.starts_with("/run");
    let written: Vec<_> = logs.iter().chain(sockets.iter().filter(made)).collect();
    if !written.is_empty() {
        // A folder that is not there yet is no reason not to start: luster tells what is missing.
        unit.words("ReadWritePaths", written.iter().map(|folder| ("-", folder.as_os_str())))?;
    }
    let (reads, writes) = (facts.read_paths(), written);
    let needs = |folders: &[&str]| {
        let is_below = |path: &Path| folders.iter().any(|folder| path.starts_with(folder));
        reads.iter().any(|path| is_below(path)) || writes.iter().any(|path| is_below(path))
    };
    unit.set("ProtectHome", if needs(&["/home", "/root", "/run/user"]) { "read-only" } else { "yes" });
    if needs(&["/tmp", "/var/tmp"]) {
        unit.comment("PrivateTmp=yes is left out: something of this configuration is in /tmp.");
    } else {
        unit.set("PrivateTmp", "yes");
    }
    for (key, value) in PLAIN {
        unit.set(key, value);
    }
    let families = ["AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK"].map(|family| ("", OsStr::new(family)));
    unit.words("RestrictAddressFamilies", families)
}

fn capabilities(facts: &Facts<'_>, unit: &mut UnitFile) {
    if facts.is_roots() {
        return;
    }
    if facts.port().is_some_and(|port| port < FIRST_FREE_PORT) {
        unit.comment("server.port is below 1024.");
        unit.set("AmbientCapabilities", "CAP_NET_BIND_SERVICE");
        unit.set("CapabilityBoundingSet", "CAP_NET_BIND_SERVICE");
    } else {
        unit.set("CapabilityBoundingSet", "");
    }
}
