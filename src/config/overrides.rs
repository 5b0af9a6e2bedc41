//! `LUSTER_CONF='path=value; path=value'`: properties overridden from the environment.
//!
//! Invariant: any text is accepted without a panic; what cannot be understood is a warning, and only a path
//! through something that is not an object is a mistake.

use serde_json::{Map, Value};

use crate::config::origin::Origin;
use crate::config::origins::Origins;
use crate::config::problem::Problem;
use crate::config::raw::{NonJsonValue, RawConfig};

/// One item of the variable.
#[derive(Debug, Clone, PartialEq)]
enum Item {
    Set(String, Value),
    Remove(String),
    /// Not understood. What it is may be half of a secret with a semicolon in it.
    Ignored,
}

/// What came of it besides the new values.
#[derive(Debug, Default)]
pub(super) struct SearchOutcome {
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

/// Overrides what was written, which must be an object.
pub(super) fn apply(variable: &str, raw: &mut RawConfig, origins: &mut Origins) -> SearchOutcome {
    let mut outcome = SearchOutcome::default();
    for (index, item) in items(variable).into_iter().enumerate() {
        let (path, done) = match &item {
            Item::Set(path, value) => {
                fill_undefined(raw, path);
                (path, set(&mut raw.value, path, value.clone()))
            }
            Item::Remove(path) => (path, remove(&mut raw.value, path)),
            Item::Ignored => {
                let number = index + 1;
                outcome.warnings.push(Problem {
                    key: None,
                    message: format!(
                        "item {number} is ignored: it is not of the form path=value (values with a semicolon need \
                         double quotes)"
                    ),
                    origin: Origin::Environment,
                    excerpt: None,
                });
                continue;
            }
        };
        match done {
            Ok(()) => {
                raw.forget_odd(path);
                origins.override_path(path);
            }
            Err(NotAnObject(at)) => outcome.problems.push(Problem {
                key: Some(path.clone()),
                message: format!("\"{path}\" cannot be set: \"{at}\" is there and is not an object"),
                origin: Origin::Environment,
                excerpt: None,
            }),
        }
    }
    outcome
}

/// Splits at semicolons outside double quotes. A quote always opens or closes, also after a backslash, as in
/// JS luster.
fn items(variable: &str) -> Vec<Item> {
    let mut quoted = false;
    let parts = variable.split(|c| {
        quoted ^= c == '"';
        c == ';' && !quoted
    });
    parts.map(str::trim).filter(|part| !part.is_empty()).map(item).collect()
}

fn item(text: &str) -> Item {
    match text.split_once('=').map(|(path, value)| (path.trim(), value.trim())) {
        None | Some(("", _)) => Item::Ignored,
        Some((path, "")) => Item::Remove(path.to_owned()),
        Some((path, value)) => {
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
            Item::Set(path.to_owned(), value)
        }
    }
}

/// Makes what is `undefined` on the way to the path an object, as on the JavaScript side.
fn fill_undefined(raw: &mut RawConfig, path: &str) {
    for (end, _) in path.match_indices('.') {
        if raw.odd.get(&path[..end]).is_some_and(NonJsonValue::is_undefined) {
            raw.odd.remove(&path[..end]);
            let here = path[..end].split('.').try_fold(&mut raw.value, |value, name| value.get_mut(name));
            if let Some(here) = here {
                *here = Value::Object(Map::new());
            }
        }
    }
}

/// The dotted path of what stands in the way.
struct NotAnObject(String);

fn set(root: &mut Value, path: &str, value: Value) -> Result<(), NotAnObject> {
    let (parents, name) = split(path);
    let mut here = root;
    for (depth, parent) in parents.iter().enumerate() {
        here = object(here, &parents[..depth])?.entry(*parent).or_insert_with(|| Value::Object(Map::new()));
    }
    object(here, &parents)?.insert(name.to_owned(), value);
    Ok(())
}

fn remove(root: &mut Value, path: &str) -> Result<(), NotAnObject> {
    let (parents, name) = split(path);
    let mut here = root;
    for (depth, parent) in parents.iter().enumerate() {
        // Nothing there: nothing to remove.
        let Some(below) = object(here, &parents[..depth])?.get_mut(*parent) else { return Ok(()) };
        here = below;
    }
    // Keeps the order of the others, which is the order of extensions.
    object(here, &parents)?.shift_remove(name);
    Ok(())
}

fn split(path: &str) -> (Vec<&str>, &str) {
    let mut names: Vec<&str> = path.split('.').collect();
    let name = names.pop().unwrap_or_default();
    (names, name)
}

fn object<'a>(value: &'a mut Value, path: &[&str]) -> Result<&'a mut Map<String, Value>, NotAnObject> {
    value.as_object_mut().ok_or_else(|| NotAnObject(path.join(".")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::json5_parser::parse;
    use proptest::prelude::*;
    use serde_json::json;

    fn applied(variable: &str, value: Value) -> (Value, SearchOutcome) {
        let mut raw = RawConfig::plain(value);
        let outcome = apply(variable, &mut raw, &mut Origins::of_module("x".into()));
        (raw.value, outcome)
    }

    fn check(variable: &str, before: Value, after: Value) {
        assert_eq!(applied(variable, before).0, after, "{variable}");
    }

    #[test]
    fn values_are_json_if_they_parse_and_else_text() {
        check("server.port=8080", json!({}), json!({"server": {"port": 8080}}));
        check(
            " app = ./debug.js ;workers=1; ",
            json!({"app": "x", "a": 1}),
            json!({"app": "./debug.js", "a": 1, "workers": 1}),
        );
        check("server={\"port\":8080}", json!({"server": {"groups": 2}}), json!({"server": {"port": 8080}}));
        check("a=x=y", json!({}), json!({"a": "x=y"}));
    }

    #[test]
    fn a_semicolon_in_quotes_belongs_to_the_value() {
        check("a=\"x;y\";b=1", json!({}), json!({"a": "x;y", "b": 1}));
        check("a=\"x;y", json!({}), json!({"a": "\"x;y"}));
    }

    #[test]
    fn an_empty_value_removes() {
        check("log=;a.b=;c.d=", json!({"log": 1, "a": {"b": 1, "x": 2}}), json!({"a": {"x": 2}}));
    }

    #[test]
    fn the_others_keep_their_order_and_oddities_go_with_their_values() {
        let (after, _) = applied("a=", json!({"a": 1, "b": 2, "c": 3, "d": 4}));
        assert_eq!(after.to_string(), r#"{"b":2,"c":3,"d":4}"#);

        let mut raw = RawConfig::from_tree(&parse("{a: {b: Infinity}, c: NaN}").unwrap());
        apply("a={}", &mut raw, &mut Origins::of_module("x".into()));
        assert_eq!(raw.odd.keys().collect::<Vec<_>>(), ["c"]);
    }

    #[test]
    fn a_path_through_something_else_is_a_mistake() {
        for before in [json!({"a": {"b": 1}}), json!({"a": {"b": null}}), json!({"a": {"b": []}})] {
            for variable in ["a.b.c=1", "a.b.c="] {
                let (after, outcome) = applied(variable, before.clone());
                assert_eq!(after, before);
                assert_eq!(outcome.problems.len(), 1);
                assert_eq!(
                    outcome.problems[0].to_string(),
                    "LUSTER_CONF: \"a.b.c\" cannot be set: \"a.b\" is there and is not an object"
                );
            }
        }
    }

    #[test]
    fn options_that_are_undefined_can_be_set_one_by_one_and_those_that_are_something_else_cannot() {
        let odd = |word: &str| [("extensions.e".to_owned(), word.to_owned())].into();
        let mut raw = RawConfig::from_javascript(json!({"extensions": {"e": null}}), odd("undefined"));
        let outcome = apply("extensions.e.k=1", &mut raw, &mut Origins::of_module("x".into()));
        assert_eq!((raw.value, outcome.problems.len()), (json!({"extensions": {"e": {"k": 1}}}), 0));
        assert!(raw.odd.is_empty());

        let mut raw = RawConfig::from_javascript(json!({"extensions": {"e": null}}), odd("function"));
        let outcome = apply("extensions.e.k=1", &mut raw, &mut Origins::of_module("x".into()));
        assert_eq!((raw.value, outcome.problems.len()), (json!({"extensions": {"e": null}}), 1));
    }

    #[test]
    fn an_item_without_a_path_is_a_warning() {
        let (after, outcome) = applied("workers; =5;a=1;;", json!({}));
        assert_eq!(after, json!({"a": 1}));
        assert_eq!(outcome.warnings.len(), 2, "{:?}", outcome.warnings);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(variable in "[a.=;\" {}1]{0,24}|\\PC{0,24}") {
            let _ = applied(&variable, json!({"a": {"a": 1}}));
        }

        #[test]
        fn what_is_set_can_be_read_back(names in prop::collection::vec("[a-z]{1,3}", 1..4), number in any::<i32>()) {
            let (after, _) = applied(&format!(" {} = {number} ;", names.join(".")), json!({}));
            let found = names.iter().fold(&after, |value, name| &value[name]);
            prop_assert_eq!(found, &json!(number));
        }
    }
}
