//! The names luster gives a meaning to, and the typing mistakes that look like them.
//!
//! Invariant: an unknown key is never an error; it may belong to the app or to an extension.

use serde_json::Value;

use crate::config::validator::Validator;

/// Every key luster reads, in the order of the documentation.
pub(super) const KEYS: &[&str] = &[
    "app",
    "interpreter",
    "args",
    "workers",
    "control.forkTimeout",
    "control.stopTimeout",
    "control.killTimeout",
    "control.exitTimeout",
    "control.idleTimeout",
    "control.exitThreshold",
    "control.allowedSequentialDeaths",
    "control.triggerReadyStateManually",
    "control.restart",
    "control.parallel",
    "control.readyTimeout",
    "control.canary",
    "control.ready",
    "control.stopSignal",
    "control.compileCache",
    "control.socket",
    "control.group",
    "server.port",
    "server.groups",
    "server.portsPerGroup",
    "server.balance",
    "server.pass",
    "server.socketMode",
    "server.socketGroup",
    "extensions",
    "extensionsPath",
    "extensionsLoadTimeout",
    "maxEventListeners",
    "properties.masterInspectPort",
];

/// Keys that are `server`'s even where that is left out: an app's own are seldom called so.
const OF_THE_SERVER: [&str; 3] = ["server.port", "server.groups", "server.balance"];

/// The objects that known keys are in. `properties` is for users' own values.
pub(super) const SECTIONS: &[&str] = &["control", "server", "properties"];

/// The dotted paths of what was written and has no meaning to luster: whole values, not their insides.
pub(super) fn unknown(raw: &Value) -> Vec<String> {
    let mut paths = Vec::new();
    for (name, value) in raw.as_object().into_iter().flatten() {
        match value.as_object().filter(|_| SECTIONS.contains(&name.as_str())) {
            Some(section) => paths.extend(section.keys().map(|key| format!("{name}.{key}"))),
            None => paths.push(name.clone()),
        }
    }
    paths.retain(|path| !KEYS.contains(&path.as_str()) && !SECTIONS.contains(&path.as_str()));
    paths
}

/// Warns of unknown keys that look like a known one that was not given.
pub(super) fn warn_of_near_misses(validator: &mut Validator<'_>) {
    for path in unknown(validator.raw()) {
        let near = KEYS.iter().filter(|key| !validator.has(key)).find(|key| is_near(&path, key));
        let near = near.or_else(|| {
            OF_THE_SERVER.iter().find(|key| !validator.has(key) && key.ends_with(&format!(".{path}")))
        });
        if let Some(key) = near {
            validator.warn_at_key(&path, format!("unknown key \"{path}\", did you mean \"{key}\"?"));
        }
    }
    for path in validator.raw().as_object().into_iter().flatten().map(|(name, _)| name.clone()) {
        let near =
            SECTIONS.iter().filter(|section| !validator.has(section)).find(|section| is_near(&path, section));
        if let Some(section) = near {
            validator.warn_at_key(&path, format!("unknown key \"{path}\", did you mean \"{section}\"?"));
        }
    }
}

/// Whether someone who wrote `path` probably meant `key`.
pub(super) fn is_near(path: &str, key: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
    // A compound name such as `stopTimeout` outside its section is no accident; `port` or `restart` may be.
    let compound = name.bytes().any(|b| b.is_ascii_uppercase());
    if lower == key.to_ascii_lowercase() || (compound && lower == name.to_ascii_lowercase()) {
        return true;
    }
    let (own_section, own_name) = path.rsplit_once('.').unwrap_or(("", path));
    let allowed = match name.len() {
        0..4 => return false,
        4..9 => 1,
        _ => 2,
    };
    // No known name is this long, and the distance takes quadratic time.
    own_section == section
        && own_name.len() <= 64
        && strsim::osa_distance(&own_name.to_ascii_lowercase(), &name.to_ascii_lowercase()) <= allowed
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn typing_mistakes_are_near_and_other_words_are_not() {
        for (path, key) in [
            ("worker", "workers"),
            ("Workers", "workers"),
            ("wrokers", "workers"),
            ("control.stoptimeout", "control.stopTimeout"),
            ("control.killTimout", "control.killTimeout"),
            ("stopTimeout", "control.stopTimeout"),
            ("server.portPerGroup", "server.portsPerGroup"),
            ("extension", "extensions"),
            ("server.prot", "server.port"),
            ("App", "app"),
        ] {
            assert!(is_near(path, key), "{path}");
        }
        for path in
            ["apps", "ap", "port", "restart", "work", "server.host", "logger", "control.stop", "x.workers"]
        {
            assert!(!KEYS.iter().any(|key| is_near(path, key)), "{path}");
        }
    }

    #[test]
    fn the_schema_for_editors_describes_every_key_and_no_other() {
        let schema: Value =
            serde_json::from_str(include_str!("../../npm/configuration.schema.json")).expect("it is JSON");
        let top = schema["properties"].as_object().expect("an object");
        let mut described = Vec::new();
        for (name, value) in top {
            match value["properties"].as_object().filter(|_| SECTIONS.contains(&name.as_str())) {
                Some(keys) => described.extend(keys.keys().map(|key| format!("{name}.{key}"))),
                None => described.push(name.clone()),
            }
        }
        assert_eq!(described, KEYS);
    }

    #[test]
    fn unknown_keys_are_told_whole_but_inside_sections_one_by_one() {
        let raw = json!({"app": 1, "my": {"a": 1}, "server": {"port": 1, "host": 2}, "properties": {"x": 1}, "control": 5});
        assert_eq!(unknown(&raw), ["my", "server.host", "properties.x"]);
    }
}
