//! What the configuration says, before anyone has validated it.
//!
//! Invariant: `value` is plain JSON; what JSON cannot say (infinite numbers, functions, …) is remembered
//! beside it by dotted path, so that complaints can name what was really written.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::config::json5_parser::{Content, Node};

/// The configuration as written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RawConfig {
    pub(super) value: Value,
    /// By dotted path: what was there that JSON has no word for.
    pub(super) odd: BTreeMap<String, NonJsonValue>,
}

/// A value that JSON has no word for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NonJsonValue {
    Infinity,
    MinusInfinity,
    NotANumber,
    /// Something else, by JavaScript's name for its type.
    Other(String),
}

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ValueAt<'a> {
    Absent,
    Plain(&'a Value),
    NonJsonValue(&'a NonJsonValue),
}

impl RawConfig {
    pub(super) fn plain(value: Value) -> Self {
        Self { value, odd: BTreeMap::new() }
    }

    pub(super) fn from_tree(tree: &Node) -> Self {
        let mut raw = Self::plain(tree.to_json());
        raw.collect_odd(tree, "");
        raw
    }

    /// What is at the dotted path; a path through something that is not an object leads nowhere.
    pub(super) fn at(&self, path: &str) -> ValueAt<'_> {
        if let Some(odd) = self.odd.get(path) {
            return ValueAt::NonJsonValue(odd);
        }
        path.split('.')
            .try_fold(&self.value, |value, name| value.get(name))
            .map_or(ValueAt::Absent, ValueAt::Plain)
    }

    /// Forgets what was odd at the path and below it, because it is being overridden.
    pub(super) fn forget_odd(&mut self, path: &str) {
        self.odd.retain(|at, _| !covers(path, at));
    }

    fn collect_odd(&mut self, node: &Node, path: &str) {
        match &node.content {
            Content::Number(number) => {
                if let Some(odd) = NonJsonValue::from_number(*number) {
                    self.odd.insert(path.to_owned(), odd);
                }
            }
            Content::Table(entries) => {
                for entry in entries {
                    let below =
                        if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
                    // The last of two equal keys counts.
                    self.forget_odd(&below);
                    self.collect_odd(&entry.value, &below);
                }
            }
            Content::Null | Content::Bool(_) | Content::SourceText(_) | Content::List(_) => {}
        }
    }
}

impl NonJsonValue {
    fn from_number(number: f64) -> Option<Self> {
        match number {
            f64::INFINITY => Some(Self::Infinity),
            f64::NEG_INFINITY => Some(Self::MinusInfinity),
            _ if number.is_nan() => Some(Self::NotANumber),
            _ => None,
        }
    }

    /// Whether JavaScript has `undefined` there.
    pub(super) fn is_undefined(&self) -> bool {
        matches!(self, Self::Other(word) if word == "undefined")
    }

    /// From the evaluator's word for it.
    pub(super) fn from_word(word: &str) -> Self {
        match word {
            "Infinity" => Self::Infinity,
            "-Infinity" => Self::MinusInfinity,
            "NaN" => Self::NotANumber,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl ValueAt<'_> {
    /// JavaScript's name for the type, as in JS luster's messages; but null is called `null`.
    pub(super) fn type_name(&self) -> &str {
        match self {
            Self::Absent => "undefined",
            Self::Plain(value) => type_name(value),
            Self::NonJsonValue(
                NonJsonValue::Infinity | NonJsonValue::MinusInfinity | NonJsonValue::NotANumber,
            ) => "number",
            Self::NonJsonValue(NonJsonValue::Other(name)) => name,
        }
    }
}

/// JavaScript's name for a JSON value's type.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Whether the dotted path `above` is `path` or leads to it.
pub(super) fn covers(above: &str, path: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::json5_parser::parse;

    #[test]
    fn infinite_numbers_are_remembered_by_path() {
        let raw = RawConfig::from_tree(&parse("{a: {b: Infinity, c: 1}, d: NaN, d: 2}").unwrap());
        assert_eq!(raw.at("a.b"), ValueAt::NonJsonValue(&NonJsonValue::Infinity));
        assert_eq!(raw.at("a.b").type_name(), "number");
        assert_eq!(raw.at("a.c"), ValueAt::Plain(&Value::from(1)));
        assert_eq!(raw.at("d"), ValueAt::Plain(&Value::from(2)));
        assert_eq!(raw.at("a.c.d"), ValueAt::Absent);
    }

    #[test]
    fn a_path_covers_itself_and_what_is_below() {
        assert!(covers("server", "server.port"));
        assert!(covers("server", "server"));
        assert!(!covers("serve", "server"));
        assert!(!covers("server.port", "server"));
    }
}
