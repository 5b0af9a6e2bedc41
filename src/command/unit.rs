//! `luster unit [CONFIG]`: prints a systemd unit that runs this configuration.
//!
//! Invariants: a configuration that cannot be run gets no unit; every path in it is absolute, links not followed, so that a
//! release that a link leads to tomorrow is run tomorrow; what is in it follows from the configuration and this command line, but
//! for the user, who is the owner of the folder.

use std::ffi::{OsStr, OsString};

use super::extensions;
use super::found::{self, Warnings};
use super::unit_facts::{Facts, Manager};
use super::unit_sandbox;
use super::unit_times::Times;
use crate::cli::{self, Unit};
use crate::config::{Balance, ControlSocket};
use crate::exit::Exit;
use crate::systemd::{UnitFile, Unwritable};

/// The least number of sockets that systemd is to have room for.
const STORE: u32 = 64;

/// Does it.
pub(super) fn run(unit: &Unit) -> Exit {
    let output = &unit.arguments.output;
    found::with_config(&unit.arguments, Warnings::Logged, |found| {
        let ([app], Some(_)) = (found.apps.as_slice(), found.fleet.only()) else {
            let reason = "luster: luster unit knows configurations of one app only, and this one has several \"apps\": have a \
                unit printed for one of them alone, and change its times and folders for all";
            return found::refuse(output, Exit::Config, reason);
        };
        if let Some(error) = extensions::missing(app.loaded, &app.extension_plan) {
            return found::refuse(output, error.exit(), &error.to_string());
        }
        let facts = match Facts::of(unit, &found, app.loaded) {
            Ok(facts) => facts,
            Err((exit, reason)) => return found::refuse(output, exit, &reason),
        };
        match facts.unit() {
            Ok(text) => cli::print(&text),
            Err(error) => found::refuse(output, Exit::Config, &format!("luster: {error}")),
        }
    })
}

impl Facts<'_> {
    fn unit(&self) -> Result<String, Unwritable> {
        let mut unit = UnitFile::default();
        self.head(&mut unit)?;
        unit.section("Service");
        self.start(&mut unit)?;
        self.reload(&mut unit)?;
        Times::of(self.loaded).write(&mut unit);
        self.restart(&mut unit);
        self.folders(&mut unit)?;
        unit_sandbox::write(self, &mut unit)?;
        unit.section("Install");
        unit.set(
            "WantedBy",
            match self.manager {
                Manager::System => "multi-user.target",
                Manager::User => "default.target",
            },
        );
        Ok(unit.into_text())
    }

    fn head(&self, unit: &mut UnitFile) -> Result<(), Unwritable> {
        let (name, version) = (&self.name, env!("CARGO_PKG_VERSION"));
        let (place, option) = match self.manager {
            Manager::System => (format!("/etc/systemd/system/{name}.service"), ""),
            Manager::User => (format!("~/.config/systemd/user/{name}.service"), " --user"),
        };
        unit.comment(&format!(
            "Printed by luster {version}, for {place}; then: systemctl{option} daemon-reload && systemctl{option} enable --now {name}"
        ));
        unit.section("Unit");
        unit.text("Description", OsStr::new(&format!("{name}, kept by luster")))?;
        if self.manager == Manager::System {
            unit.set("After", "network.target");
        }
        Ok(())
    }

    fn start(&self, unit: &mut UnitFile) -> Result<(), Unwritable> {
        unit.comment("A start is over when all workers serve.");
        unit.set("Type", "notify");
        if !self.script.is_empty() {
            unit.comment("The npm package's script may stay in front of luster.");
            unit.set("NotifyAccess", "all");
        }
        if self.manager == Manager::System {
            match self.owner().filter(|(uid, _)| *uid != 0) {
                Some((_, user)) => unit.text("User", OsStr::new(&user))?,
                None => unit.comment("User=app is missing: as it is, the workers are root's."),
            }
            let groups = self.groups();
            if !groups.is_empty() {
                unit.comment(
                    "server.socketGroup and control.group: only their members may give sockets to them.",
                );
                unit.set("SupplementaryGroups", groups.join(" "));
            }
        }
        unit.text("WorkingDirectory", self.loaded.base_dir.as_os_str())?;
        self.environment(unit)?;
        let config = self.loaded.path.as_os_str();
        let name = self.chosen_name.map(|name| ["--name", name].map(OsStr::new));
        let options = self.options.iter().map(OsString::as_os_str).chain(name.into_iter().flatten());
        let script = self.script.iter().map(OsString::as_os_str);
        let words = self.words.iter().map(OsString::as_os_str);
        let arguments: Vec<_> = script.chain(options).chain([config]).chain(words).collect();
        unit.command("ExecStart", &self.program, &arguments)
    }

    fn environment(&self, unit: &mut UnitFile) -> Result<(), Unwritable> {
        let node_env = std::env::var_os("NODE_ENV").filter(|value| !value.is_empty());
        let binary = std::env::var_os("LUSTER_BINARY").filter(|_| !self.script.is_empty());
        let path = self.path();
        for (name, value) in [
            ("LUSTER_CONF", &self.luster_conf),
            ("LUSTER_BINARY", &binary),
            ("NODE_ENV", &node_env),
            ("PATH", &path),
        ] {
            if let Some(value) = value {
                let mut assignment = OsString::from(format!("{name}="));
                assignment.push(value);
                unit.words("Environment", [("", assignment.as_os_str())])?;
            }
        }
        Ok(())
    }

    fn reload(&self, unit: &mut UnitFile) -> Result<(), Unwritable> {
        if self.loaded.settings.control_socket == ControlSocket::None {
            unit.comment(
                "Without a control socket a reload is only asked for: the log tells what comes of it. With Type=notify-reload instead \
                 (systemd 253 or later) systemctl reload waits until it is over.",
            );
            unit.set("ExecReload", "/bin/kill -HUP $MAINPID");
            return Ok(());
        }
        unit.comment(
            "It replaces the workers one by one, and fails if the configuration is wrong or a replacement fails. With \
             Type=notify-reload (systemd 253 or later) and without ExecReload systemd would take every reload for a success.",
        );
        let whom = match self.chosen_name {
            Some(name) => vec![OsStr::new("--name"), OsStr::new(name)],
            None => vec![self.loaded.path.as_os_str()],
        };
        let script = self.script.iter().map(OsString::as_os_str);
        let arguments: Vec<_> = script.chain([OsStr::new("reload")]).chain(whom).collect();
        unit.command("ExecReload", &self.program, &arguments)
    }

    fn restart(&self, unit: &mut UnitFile) {
        unit.comment("luster alone is told to stop, and lets its workers finish.");
        unit.set("KillMode", "mixed");
        unit.comment("What no restart mends: the command line (2), no node (71), no permission (77), the configuration (78).");
        unit.set("Restart", "on-failure");
        unit.set("RestartSec", 1);
        unit.set("RestartPreventExitStatus", "2 71 77 78");
        unit.comment("A worker that the kernel kills for want of memory is started again by luster.");
        unit.set("OOMPolicy", "continue");
        unit.comment(
            "systemd keeps the listening sockets while luster itself is restarted: clients wait. FDSTORE tells luster so; systemd 254 \
             and later does that by itself.",
        );
        let settings = &self.loaded.settings;
        let own = if settings.server.balance == Balance::Reuseport { settings.policy.workers } else { 0 };
        let store = STORE.saturating_add(own.saturating_mul(2));
        unit.set("FileDescriptorStoreMax", store);
        unit.set("Environment", format!("FDSTORE={store}"));
        unit.set("LimitNOFILE", 65_536);
    }

    fn folders(&self, unit: &mut UnitFile) -> Result<(), Unwritable> {
        if self.manager == Manager::System {
            let mut run = self.in_run();
            if self.loaded.settings.control_socket == ControlSocket::Default {
                run.insert(0, self.name.clone());
            }
            if !run.is_empty() {
                unit.comment("For the control socket, and for workers' unix sockets; not removed while luster is restarted.");
                unit.words("RuntimeDirectory", run.iter().map(|name| ("", OsStr::new(name))))?;
                unit.set("RuntimeDirectoryPreserve", "restart");
            }
        }
        if self.loaded.settings.compile_cache {
            unit.comment("What Node has compiled, for the workers to come.");
            unit.words("CacheDirectory", [("", OsStr::new(&self.name))])?;
        }
        Ok(())
    }
}
