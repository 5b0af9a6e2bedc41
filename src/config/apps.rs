//! Several apps in one configuration: `{ "apps": { "api": {…}, "jobs": {…} } }`, with common keys beside `apps` as defaults.
//!
//! Invariants: an app is judged as if it were a configuration of its own, and complaints name the keys by their whole paths; what
//! several apps have in common is complained of once; a configuration with `app` is one app's, whatever else is in it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::config::keys::is_near;
use crate::config::origins::Origins;
use crate::config::problem::Problem;
use crate::config::raw::{RawConfig, ValueAt, type_name};
use crate::config::settings::Settings;
use crate::config::validator::{Validator, with_article};
use crate::core::{FleetPlan, OnDead, PoolName, Port};

/// The key that several apps are under.
pub(super) const APPS: &str = "apps";

/// The keys that are about all apps, and stand beside `apps`.
pub(super) const OF_THE_FLEET: [&str; 2] = ["depends", "onDead"];

/// What is the same for all apps: there is one control socket.
const COMMON: [&str; 5] = [APPS, "depends", "onDead", "control.socket", "control.group"];

/// The longest name of an app: it is in each line of the log.
const LONGEST_NAME: usize = 64;

/// One app's configuration, as it would be written for that app alone.
pub(super) struct Part {
    pub(super) name: PoolName,
    pub(super) raw: RawConfig,
    pub(super) origins: Origins,
}

/// Whether this configuration is one of several apps.
pub(super) fn are_several(raw: &RawConfig) -> bool {
    raw.at(APPS) != ValueAt::Absent && raw.at("app") == ValueAt::Absent
}

/// That apps beside `app` are not run, where they look like apps.
pub(super) fn warn_of_ignored(validator: &mut Validator<'_>) {
    let ValueAt::Plain(Value::Object(apps)) = validator.at(APPS) else { return };
    if validator.has("app") && apps.values().any(|app| app.get("app").is_some()) {
        let message = "\"apps\" has no effect beside \"app\": leave \"app\" out to run several apps";
        validator.warn_at_key(APPS, message.to_owned());
    }
}

/// The configuration of each app, and in which order they come and go; what is wrong with that is noted.
pub(super) fn divide(
    raw: &RawConfig,
    origins: &Origins,
    validator: &mut Validator<'_>,
) -> (Vec<Part>, FleetPlan) {
    let parts = parts(raw, origins, validator);
    let names: BTreeSet<_> = parts.iter().map(|part| part.name.clone()).collect();
    let depends = depends(validator, &names);
    let pools = names.into_iter().map(|name| {
        let on = depends.get(&name).cloned().unwrap_or_default();
        (name, on)
    });
    let pools: BTreeMap<_, _> = pools.collect();
    if let Some(circle) = circle(&pools) {
        validator.fail("depends", format!("\"depends\" leads round in a circle: {circle}"));
    }
    let on_dead =
        validator.choice("onDead", &[("exit", OnDead::Exit), ("stay", OnDead::Stay)]).unwrap_or_default();
    warn_of_near_misses(validator);
    (parts, FleetPlan { pools, on_dead })
}

fn parts(raw: &RawConfig, origins: &Origins, validator: &mut Validator<'_>) -> Vec<Part> {
    let expected = "an object of apps by their names, such as { \"api\": { \"app\": \"api.js\" } }";
    let ValueAt::Plain(Value::Object(apps)) = validator.at(APPS) else {
        validator.fail_type(APPS, expected);
        return Vec::new();
    };
    if apps.is_empty() {
        validator.fail(APPS, format!("\"apps\" is empty; it must be {expected}"));
    }
    let mut parts = Vec::new();
    for (name, body) in apps {
        let path = format!("{APPS}.{name}");
        if !is_name(name) {
            let message = format!(
                "\"{name}\" is no name for an app: a name has letters, digits, - and _, begins with a letter or digit, is not \
                 a number, and has {LONGEST_NAME} characters at most"
            );
            validator.fail_at_key(&path, message);
            continue;
        }
        let (Value::Object(body), false) = (body, raw.odd.contains_key(&path)) else {
            let at = validator.at(&path);
            let found = with_article(if at == ValueAt::Absent { type_name(body) } else { at.type_name() });
            validator.fail(
                &path,
                format!("\"{path}\" must be an object, a configuration of its own, not {found}"),
            );
            continue;
        };
        for key in COMMON {
            if key.split('.').try_fold(&Value::Object(body.clone()), |at, name| at.get(name)).is_some() {
                let message =
                    format!("\"{path}.{key}\" belongs beside \"apps\": it is the same for all apps");
                validator.fail_at_key(&format!("{path}.{key}"), message);
            }
        }
        let merged = merged(raw, &path, body);
        let origins = origins.within(&path, body, &raw.value);
        parts.push(Part { name: PoolName::new(name), raw: merged, origins });
    }
    parts
}

/// Dots would make paths such as `apps.a.b` ambiguous, and a number would be a worker's.
fn is_name(name: &str) -> bool {
    name.len() <= LONGEST_NAME
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        && !name.bytes().all(|byte| byte.is_ascii_digit())
}

/// What stands beside `apps`, with the app's own values over it. `npm/lib/shared/apps.js` does the same.
fn merged(raw: &RawConfig, path: &str, body: &Map<String, Value>) -> RawConfig {
    let is_common = |key: &String| key != APPS && !OF_THE_FLEET.contains(&key.as_str());
    let common = raw.value.as_object().into_iter().flatten().filter(|(key, _)| is_common(key));
    let mut value: Map<_, _> = common.map(|(key, value)| (key.clone(), value.clone())).collect();
    let own = format!("{path}.");
    let mut odd = raw.odd.clone();
    odd.retain(|at, _| at.split('.').next() != Some(APPS));
    let mut merged = RawConfig { value: Value::Null, odd };
    overlay(&mut value, body, "", &mut |at| merged.forget_odd(at));
    let odd = raw.odd.iter().filter_map(|(at, odd)| Some((at.strip_prefix(&own)?.to_owned(), odd.clone())));
    merged.odd.extend(odd);
    RawConfig { value: Value::Object(value), odd: merged.odd }
}

/// Objects are laid over objects key by key; whatever else is replaced, of which `replaced` hears.
fn overlay(
    below: &mut Map<String, Value>,
    above: &Map<String, Value>,
    path: &str,
    replaced: &mut dyn FnMut(&str),
) {
    for (key, value) in above {
        let at = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match (below.get_mut(key), value) {
            (Some(Value::Object(below)), Value::Object(above)) => overlay(below, above, &at, replaced),
            (Some(_) | None, _) => {
                replaced(&at);
                below.insert(key.clone(), value.clone());
            }
        }
    }
}

/// What each app waits for.
fn depends(
    validator: &mut Validator<'_>,
    names: &BTreeSet<PoolName>,
) -> BTreeMap<PoolName, BTreeSet<PoolName>> {
    const KEY: &str = "depends";
    let mut depends = BTreeMap::new();
    let entries = match validator.at(KEY) {
        ValueAt::Absent => return depends,
        ValueAt::Plain(Value::Object(entries)) => entries,
        ValueAt::Plain(_) | ValueAt::NonJsonValue(_) => {
            validator.fail_type(
                KEY,
                "an object that names for an app what it waits for, such as { \"jobs\": \"api\" }",
            );
            return depends;
        }
    };
    let known = names.iter().map(PoolName::as_str).collect::<Vec<_>>().join(", ");
    for (app, on) in entries {
        let path = format!("{KEY}.{app}");
        if !names.contains(&PoolName::new(app)) {
            validator
                .fail_at_key(&path, format!("\"{path}\" is about no app that there is; there are {known}"));
            continue;
        }
        let texts = match on {
            Value::String(name) => Some(vec![name.as_str()]),
            Value::Array(all) => all.iter().map(Value::as_str).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
        };
        let Some(texts) = texts else {
            validator.fail_type(&path, "the name of an app, or an array of such names");
            continue;
        };
        for text in &texts {
            if !names.contains(&PoolName::new(text)) {
                let message =
                    format!("\"{path}\" names {text:?}, which is no app that there is; there are {known}");
                validator.fail(&path, message);
            }
        }
        depends.insert(PoolName::new(app), texts.into_iter().map(PoolName::new).collect());
    }
    depends
}

/// A way from an app back to itself: `jobs waits for api, which waits for jobs`.
fn circle(pools: &BTreeMap<PoolName, BTreeSet<PoolName>>) -> Option<String> {
    let mut settled = BTreeSet::new();
    // Whoever waits only for the settled is settled; if nobody is left, there is no circle.
    loop {
        let is_next = |name: &&PoolName| !settled.contains(*name) && pools[*name].is_subset(&settled);
        let next: Vec<_> = pools.keys().filter(is_next).cloned().collect();
        if next.is_empty() {
            break;
        }
        settled.extend(next);
    }
    let mut at = pools.keys().find(|name| !settled.contains(*name))?;
    let mut way: Vec<&PoolName> = Vec::new();
    while !way.contains(&at) {
        way.push(at);
        // One that is not there was told of.
        at = pools[at].iter().find(|on| pools.contains_key(*on) && !settled.contains(*on))?;
    }
    way.retain({
        let mut is_within = false;
        move |name| {
            is_within |= *name == at;
            is_within
        }
    });
    let mut text = format!("{} waits for ", way[0]);
    for name in way.iter().skip(1) {
        text.push_str(&format!("{name}, which waits for "));
    }
    text.push_str(if way.len() == 1 { "itself" } else { way[0].as_str() });
    Some(text)
}

fn warn_of_near_misses(validator: &mut Validator<'_>) {
    let keys: Vec<_> =
        validator.raw().as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect();
    for key in keys {
        let near = OF_THE_FLEET.iter().find(|known| !validator.has(known) && is_near(&key, known));
        if let Some(near) = near {
            validator.warn_at_key(&key, format!("unknown key \"{key}\", did you mean \"{near}\"?"));
        }
    }
}

/// Where two apps are told to listen on the same.
pub(super) fn clashes(apps: &[(&PoolName, &Settings, &Origins)]) -> Vec<Problem> {
    const KEY: &str = "server.port";
    let mut taken: BTreeMap<String, &PoolName> = BTreeMap::new();
    let mut problems: Vec<Problem> = Vec::new();
    for (name, settings, origins) in apps {
        let ports = settings.server.ports(settings.policy.workers);
        let ports: BTreeSet<_> = ports.iter().filter(|_| settings.server.port.is_some()).collect();
        let clash = ports.iter().find_map(|port| Some((*port, *taken.get(*port)?)));
        if let Some((port, other)) = clash {
            let what = match settings.server.port {
                Some(Port::Unix(_)) => "socket",
                Some(Port::Tcp(_)) | None => "port",
            };
            let message = format!(
                "\"{KEY}\" has app {name} listen on {port}, on which app {other} listens: give each app a {what} of its own"
            );
            problems.push(origins.problem(KEY, message));
        }
        taken.extend(ports.into_iter().map(|port| (port.to_owned(), *name)));
    }
    problems
}
