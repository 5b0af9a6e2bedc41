//! How events and effects follow each other, with a real driver whose workers cannot be started.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::builtin_extensions::BuiltinExtensions;
use super::host_handle::HostHandle;
use super::launch::{Configured, Launcher, NodeBoot, Runs, SettingsFrom};
use super::spawn_overrides::SpawnOverrides;
use super::state::{Driver, Engaged};
use crate::control::{About, Reporter};
use crate::core::{
    ExitTimeout, Generation, HostKind, Layout, LifecycleLimits, Moment, Policy, PoolName, PoolSpec,
    Readiness, Request, RestartOrder, Supervisor,
};
use crate::node::cluster::{Balance, Cluster};
use crate::node::scripts::{Placed, Places, Script};
use crate::process::DescriptorLimit;
use crate::program::Programs;

/// What is logged in this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// What the core has been told, in order: the first word of each event, or its instance.
    fn heard(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let events = text.lines().filter_map(|line| line.split_once("the core hears: "));
        let name = |event: &str| match event.split_once("NotStarted { instance: InstanceId(") {
            Some((_, rest)) => rest.split(')').next().unwrap_or_default().to_owned(),
            None => event.split('(').next().unwrap_or_default().to_owned(),
        };
        events.map(|(_, event)| name(event)).collect()
    }
}

/// Three workers that fail to start while their start is being performed: no command line holds a zero byte.
fn driver(folder: PathBuf) -> Driver {
    let policy = Policy {
        workers: 3,
        limits: LifecycleLimits::default(),
        readiness: Readiness::Automatic,
        restart: RestartOrder::StopFirst,
        parallel: 1,
        ready_timeout: None,
        start_timeout: None,
        canary: None,
        exit_timeout: ExitTimeout::Default,
        host_kind: HostKind::None,
    };
    let layout = Layout { port: None, workers: 3.0, groups: 1.0, ports_per_group: 1 };
    let (run, listen, host) = Default::default();
    let spec = PoolSpec { policy, layout, run, listen, host };
    let configured = Configured {
        config: None,
        app: "app.js".into(),
        runs: Runs::Node(NodeBoot {
            boot: "{}".to_owned(),
            readable: Vec::new(),
            data: None,
            inspect_port: None,
        }),
        overrides: SpawnOverrides::default(),
        overridden_by: SettingsFrom::Configuration,
    };
    let launcher = Launcher {
        app: PoolName::default(),
        node: "/no/node".into(),
        node_args: Vec::new(),
        configured: BTreeMap::from([(Generation(0), configured)]),
        args: vec![OsString::from("\0")],
        preload: Placed::place(Script::Worker, Places::only(vec![folder])).unwrap(),
        limit: DescriptorLimit::current().unwrap(),
        overrides: None,
        arriving: None,
    };
    let about = About {
        version: "0",
        name: "tests".to_owned(),
        config: "luster.conf.json".into(),
        started: Instant::now(),
        cause: |_| String::new(),
        failure: |_| [String::new(), String::new()],
    };
    let reporter = Arc::new(Reporter::new(Arc::new(about)));
    Driver::new(
        Supervisor::new(Moment(0), spec, 1),
        (Cluster::new(Balance::RoundRobin).unwrap(), Programs::new().unwrap()),
        launcher,
        HostHandle::none().unwrap(),
        BuiltinExtensions::default(),
        reporter,
    )
}

#[test]
fn what_an_effect_leads_to_is_handled_after_all_effects_of_its_cause_and_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut driver = driver(folder.path().to_path_buf());
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || driver.request(Moment(0), Request::Start));
    let heard = log.heard();
    // The failure of the first is heard only after the two others were tried, too; its replacement's after theirs.
    assert_eq!(heard[..4], ["Asked", "1", "2", "3"], "{heard:?}");
    let failed: Vec<u32> = heard[1..].iter().map(|instance| instance.parse().unwrap()).collect();
    assert!(failed.len() > 3, "those that failed are tried again at once: {failed:?}");
    assert!(failed.is_sorted(), "one after the other: {failed:?}");
    assert!(driver.engaged == Engaged::No && driver.events.is_empty(), "nothing is left undone");
    assert_eq!(driver.supervisor.instances(), 0);
}
