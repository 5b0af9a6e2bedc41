//! From the command line to what a running luster is asked: `luster status`, `reload` and the others.
//!
//! Invariant: no configuration is read: its path alone says which luster is meant.

use std::env;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::cli::{self, List, Look, Reload, Scale, Size, Status, Waiting, Whom, Workers};
use crate::client::{self, By, CompletionSource, Form, Order, Shown, Target, Wait, Watch};
use crate::config;
use crate::control::place::Identity;
use crate::exit::Exit;

pub(super) fn status(status: &Status) -> Exit {
    let Status { whom, config, watch } = status;
    let watch = if *watch { Watch::Yes } else { Watch::No };
    with_target(whom, config.as_deref(), |target, form| client::status(target, form, watch))
}

pub(super) fn events(look: &Look) -> Exit {
    with_target(&look.whom, look.config.as_deref(), client::events)
}

pub(super) fn list(list: &List) -> Exit {
    let files = match list.config.as_deref().map(|config| located(Some(config))).transpose() {
        Ok(files) => files.map(|(files, _)| files),
        Err(exit) => return exit,
    };
    client::list(files.as_deref(), form(list.json))
}

pub(super) fn reload(reload: &Reload) -> Exit {
    let Reload { whom, waiting, config } = reload;
    let order = order("reload", json!({}), "the reload", Shown::Replaced);
    let (app, config) = meant(waiting, config.as_deref());
    carry_out(whom, waiting, config, &of_app(order, app))
}

pub(super) fn scale(scale: &Scale) -> Exit {
    let Scale { whom, waiting, size, config } = scale;
    let body = match size {
        Size::Count(count) => json!({ "count": count }),
        Size::Change(change) => json!({ "change": change }),
    };
    let (app, config) = meant(waiting, config.as_deref());
    carry_out(whom, waiting, config, &of_app(order("scale", body, "the change", Shown::Ready), app))
}

pub(super) fn restart(workers: &Workers) -> Exit {
    of_workers(workers, order("restart", json!({}), "the restart", Shown::Replaced))
}

pub(super) fn stop(workers: &Workers) -> Exit {
    let is_all = workers.wids.is_empty() && meant(&workers.waiting, workers.config.as_deref()).0.is_none();
    let over = if is_all { CompletionSource::Process } else { CompletionSource::Answer };
    of_workers(workers, Order { over, ..order("stop", json!({}), "the stop", Shown::Left) })
}

pub(super) fn start(workers: &Workers) -> Exit {
    of_workers(workers, order("start", json!({}), "the start", Shown::Ready))
}

pub(super) fn revive(workers: &Workers) -> Exit {
    of_workers(workers, order("revive", json!({}), "the revival", Shown::Ready))
}

const fn order(path: &'static str, body: Value, name: &'static str, shown: Shown) -> Order {
    Order { path, body, name, shown, over: CompletionSource::Answer }
}

fn of_workers(workers: &Workers, mut order: Order) -> Exit {
    if !workers.wids.is_empty() {
        order.body = json!({ "workers": workers.wids });
    }
    let (app, config) = meant(&workers.waiting, workers.config.as_deref());
    carry_out(&workers.whom, &workers.waiting, config, &of_app(order, app))
}

fn of_app(mut order: Order, app: Option<&str>) -> Order {
    if let Some(app) = app {
        order.body["app"] = app.into();
    }
    order
}

/// The app and the configuration that are meant: one word alone that is no path is an app where there is a `luster.conf`.
fn meant<'a>(waiting: &'a Waiting, config: Option<&'a Path>) -> (Option<&'a str>, Option<&'a Path>) {
    if let Some(app) = waiting.app.as_deref() {
        return (Some(app), config);
    }
    let is_there = || env::current_dir().is_ok_and(|cwd| config::locate(None, &cwd).is_ok());
    match config.and_then(Path::to_str).filter(|word| cli::is_plain(word)) {
        Some(app) if is_there() => (Some(app), None),
        Some(_) | None => (None, config),
    }
}

fn carry_out(whom: &Whom, waiting: &Waiting, config: Option<&Path>, order: &Order) -> Exit {
    let wait = if waiting.no_wait { Wait::No } else { Wait::ForOutcome(waiting.timeout) };
    with_target(whom, config, |target, form| client::carry_out(target, order, wait, form))
}

fn with_target(whom: &Whom, config: Option<&Path>, then: impl FnOnce(&Target, Form) -> Exit) -> Exit {
    match by(whom, config) {
        Ok(by) => then(&Target { by, pid: whom.pid }, form(whom.json)),
        Err(exit) => exit,
    }
}

fn form(json: bool) -> Form {
    if json { Form::Json } else { Form::for_people() }
}

/// By what it is known.
fn by(whom: &Whom, config: Option<&Path>) -> Result<By, Exit> {
    let usage = |mistake: String| {
        cli::complain(&format!("luster: {mistake}"));
        Exit::Usage
    };
    let name = whom.name.as_deref().map(Identity::named).transpose();
    match (&whom.socket, name.map_err(|error| usage(format!("--name: {error}")))?, config) {
        (Some(socket), None, None) => Ok(By::Socket(socket.clone())),
        (None, Some(identity), None) => Ok(By::Name(identity)),
        (None, None, config) => by_config(config, whom.pid),
        (_, _, _) => {
            Err(usage("only one of --socket, --name and CONFIG can say which luster is meant".to_owned()))
        }
    }
}

fn by_config(config: Option<&Path>, pid: Option<i32>) -> Result<By, Exit> {
    if config.is_none() && pid.is_some() {
        return Ok(By::Anything(Vec::new()));
    }
    let (files, exists) = located(config)?;
    if config.is_none() && !exists {
        return Ok(By::Anything(files));
    }
    Ok(By::Config { files, luster_conf: env::var_os("LUSTER_CONF"), exists })
}

/// The file that CONFIG names, or all it could name; and whether there is one.
fn located(config: Option<&Path>) -> Result<(Vec<PathBuf>, bool), Exit> {
    let cwd = env::current_dir().map_err(|error| {
        cli::complain(&format!("luster: there is no working directory: {error}"));
        Exit::Config
    })?;
    Ok(match config::locate(config, &cwd) {
        Ok(file) => (vec![file], true),
        Err(tried) => (tried, false),
    })
}
