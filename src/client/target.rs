//! Which master is meant, and a connection to it.
//!
//! Invariants: what a master says of itself decides only where its socket's name does not; where several could be meant none is
//! chosen.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::connection::Connection;
use super::error::ClientError;
use super::places::Places;
use super::words::{plain, time};
use crate::control::place::Identity;
use crate::control::schema::Status;

/// How long a master may take that is only one of many that are asked.
const GLANCE: Duration = Duration::from_secs(2);

/// Whom a command is for.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) by: By,
    /// Its process, if that was given.
    pub(crate) pid: Option<i32>,
}

/// By what it is known.
#[derive(Debug)]
pub(crate) enum By {
    /// Its socket.
    Socket(PathBuf),
    /// The name it was started with.
    Name(Identity),
    /// The configuration it runs.
    Config {
        /// The file; or, if there is none, what it could have been.
        files: Vec<PathBuf>,
        /// `LUSTER_CONF`.
        luster_conf: Option<OsString>,
        /// Whether there is such a file.
        exists: bool,
    },
    /// It is the only one, or the only one that runs one of these files, of which there is none (any more).
    Anything(Vec<PathBuf>),
}

/// A master that has answered.
#[derive(Debug)]
pub(super) struct Master {
    pub(super) connection: Connection,
    pub(super) status: Status,
}

impl Target {
    /// Connects to it.
    pub(super) async fn find(&self) -> Result<Connection, ClientError> {
        let places = Places::of_this_user();
        match &self.by {
            By::Socket(socket) => {
                let connection = Connection::open(socket).await?;
                match self.pid {
                    Some(pid) if pid != connection.pid => Err(ClientError::NotRunning(format!(
                        "{} is the socket of pid {}, not of {pid}",
                        socket.display(),
                        connection.pid
                    ))),
                    Some(_) | None => Ok(connection),
                }
            }
            By::Name(identity) => {
                let what = format!("under the name {}", identity.as_str());
                let named = self.connect(places.named(identity)).await?;
                self.only(named, &what, &places).await
            }
            By::Config { files, luster_conf, exists } => {
                let identities: Vec<_> =
                    files.iter().map(|file| Identity::of(file, luster_conf.as_deref())).collect();
                let mut found = self.connect(flat(&identities, |identity| places.near(identity))).await?;
                if found.is_empty() {
                    found = self.connect(flat(&identities, |identity| places.named(identity))).await?;
                }
                // One that runs with another LUSTER_CONF or by another path has another name.
                if found.is_empty() {
                    let all = all(&places).await;
                    let running = all.into_iter().filter(|master| runs(&master.status, files));
                    found = self.those_meant(running.map(|master| master.connection).collect());
                }
                let file = files.first().map(|file| file.display().to_string()).unwrap_or_default();
                let missing = if *exists { "" } else { " (and there is no such file)" };
                self.only(found, &format!("{file}{missing}"), &places).await
            }
            By::Anything(files) => {
                let mut found = self.connect(places.all()).await?;
                if found.len() > 1 && !files.is_empty() {
                    let running = all(&places).await.into_iter().filter(|master| runs(&master.status, files));
                    let here = self.those_meant(running.map(|master| master.connection).collect());
                    found = if here.is_empty() { found } else { here };
                }
                let what = self.pid.map(|pid| format!("as pid {pid}")).unwrap_or_default();
                self.only(found, &what, &places).await
            }
        }
    }

    /// Connects to those of these sockets that somebody listens on.
    async fn connect(&self, sockets: Vec<PathBuf>) -> Result<Vec<Connection>, ClientError> {
        let (mut connections, mut failure) = (Vec::new(), None);
        for socket in sockets {
            match Connection::open(&socket).await {
                Ok(connection) => connections.push(connection),
                Err(ClientError::NobodyListens(..)) => {}
                // Other users' are none of our business where nobody was named.
                Err(ClientError::Denied(..)) if matches!(self.by, By::Anything(_)) => {}
                Err(error) => failure = Some(error),
            }
        }
        let meant = self.those_meant(connections);
        match (failure, meant.is_empty()) {
            (Some(failure), true) => Err(failure),
            (_, _) => Ok(meant),
        }
    }

    fn those_meant(&self, connections: Vec<Connection>) -> Vec<Connection> {
        let is_meant = |connection: &Connection| self.pid.is_none_or(|pid| pid == connection.pid);
        distinct(connections.into_iter().filter(is_meant))
    }

    /// The only one; or that there is none, or more, and which.
    async fn only(
        &self,
        mut found: Vec<Connection>,
        what: &str,
        places: &Places,
    ) -> Result<Connection, ClientError> {
        let connection = found.pop();
        match connection {
            Some(connection) if found.is_empty() => Ok(connection),
            Some(connection) => {
                found.push(connection);
                let listed = listed(&masters(found).await);
                let what = spaced(what);
                Err(ClientError::SeveralRun(format!(
                    "more than one luster runs{what}; choose one by --pid or --socket:\n{listed}"
                )))
            }
            None => {
                let others = all(places).await;
                let also = match others.is_empty() {
                    true => String::new(),
                    false => format!("; what runs:\n{}", listed(&others)),
                };
                Err(ClientError::NotRunning(format!("no luster runs{}{also}", spaced(what))))
            }
        }
    }
}

/// All masters that answer.
pub(super) async fn all(places: &Places) -> Vec<Master> {
    let mut connections = Vec::new();
    for socket in places.all() {
        // Those of other users, and what dead ones have left.
        if let Ok(connection) = Connection::open(&socket).await {
            connections.push(connection);
        }
    }
    masters(distinct(connections)).await
}

/// One connection to each process: a link may lead to a socket that is found besides.
fn distinct(connections: impl IntoIterator<Item = Connection>) -> Vec<Connection> {
    let mut seen = BTreeSet::new();
    let is_new = |connection: &Connection| connection.pid == 0 || seen.insert(connection.pid);
    connections.into_iter().filter(is_new).collect()
}

/// Those of these that answer, all asked at once.
async fn masters(connections: Vec<Connection>) -> Vec<Master> {
    let mut asked = JoinSet::new();
    for mut connection in connections {
        asked.spawn(async move {
            let (status, _) = timeout(GLANCE, connection.status()).await.ok()?.ok()?;
            Some(Master { connection, status })
        });
    }
    let mut masters: Vec<_> = asked.join_all().await.into_iter().flatten().collect();
    masters.sort_by(|a, b| key(a).cmp(&key(b)));
    masters
}

fn key(master: &Master) -> (&str, i32) {
    (&master.status.master.config, master.status.master.pid)
}

/// Whether it runs one of these files: by the path it was given, or by where that leads, or led when it was read.
pub(super) fn runs(status: &Status, files: &[PathBuf]) -> bool {
    let given = Path::new(&status.master.config);
    let leads = |path: &Path| path.canonicalize().ok();
    files.iter().any(|file| {
        let real = leads(file);
        let read = status.master.config_real.as_deref().map(Path::new);
        file == given || (real.is_some() && (leads(given) == real || read == real.as_deref()))
    })
}

fn listed(masters: &[Master]) -> String {
    let line = |master: &Master| {
        let about = &master.status.master;
        let (config, up) = (plain(&about.config), time(about.uptime_ms));
        format!("  pid {}, up {up}, name {}: {config}", master.connection.pid, plain(&about.name))
    };
    masters.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn flat(identities: &[Identity], find: impl Fn(&Identity) -> Vec<PathBuf>) -> Vec<PathBuf> {
    identities.iter().flat_map(find).collect()
}

fn spaced(what: &str) -> String {
    if what.is_empty() { String::new() } else { format!(" {what}") }
}
