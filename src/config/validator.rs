//! Takes single values out of what was written, and notes what is wrong with them.
//!
//! Invariant: no method stops at a mistake: each notes it and gives `None`, so that one run tells of all
//! mistakes.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::Value;

use crate::config::hints::{Kind, Notation, hint};
use crate::config::origin::Origin;
use crate::config::origins::Origins;
use crate::config::problem::Problem;
use crate::config::raw::{NonJsonValue, RawConfig, ValueAt};
use crate::core::whole;

/// The longest time Node's timers can measure, in milliseconds (24 days); JS luster's would fire at once
/// beyond it.
const MAX_MILLIS: f64 = 2_147_483_647.0;

/// Looks at values by dotted key, and collects what is wrong with them.
pub(super) struct Validator<'a> {
    raw: &'a RawConfig,
    origins: &'a Origins,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

impl<'a> Validator<'a> {
    pub(super) fn new(raw: &'a RawConfig, origins: &'a Origins) -> Self {
        Self { raw, origins, problems: Vec::new(), warnings: Vec::new() }
    }

    pub(super) fn raw(&self) -> &'a Value {
        &self.raw.value
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.at(key) != ValueAt::Absent
    }

    pub(super) fn at(&self, key: &str) -> ValueAt<'a> {
        self.raw.at(key)
    }

    pub(super) fn fail(&mut self, key: &str, message: String) {
        self.problems.push(self.origins.problem(key, message));
    }

    /// Notes what is wrong with there being such a key.
    pub(super) fn fail_at_key(&mut self, key: &str, message: String) {
        self.problems.push(self.origins.problem_of_key(key, message));
    }

    /// Notes that the value is none of those expected.
    pub(super) fn fail_value(&mut self, key: &str, expected: &str) {
        self.fail_value_of(key, Kind::Other, expected);
    }

    /// The same for a value of which more is known: the sentence ends with what was probably meant.
    pub(super) fn fail_value_of(&mut self, key: &str, kind: Kind, expected: &str) {
        self.refuse(key, kind, expected, &self.shown(key));
    }

    /// Notes that the value's type is none of those expected.
    pub(super) fn fail_type(&mut self, key: &str, expected: &str) {
        self.fail_type_of(key, Kind::Other, expected);
    }

    /// The same for a value of which more is known: the sentence ends with what was probably meant.
    pub(super) fn fail_type_of(&mut self, key: &str, kind: Kind, expected: &str) {
        let found = self.at(key);
        let shown = match found {
            ValueAt::Plain(Value::String(_)) => format!("the string {}", self.shown(key)),
            ValueAt::Plain(Value::Number(_)) => format!("the number {}", self.shown(key)),
            ValueAt::Plain(Value::Null | Value::Bool(_)) => self.shown(key),
            ValueAt::Plain(Value::Array(_) | Value::Object(_))
            | ValueAt::Absent
            | ValueAt::NonJsonValue(_) => with_article(found.type_name()),
        };
        self.refuse(key, kind, expected, &shown);
    }

    fn refuse(&mut self, key: &str, kind: Kind, expected: &str, shown: &str) {
        let notation = match self.origins.of(key) {
            Origin::File { .. } => Notation::Data,
            Origin::WholeFile { .. } | Origin::Default => Notation::Program,
            Origin::Environment => Notation::Variable,
        };
        let hint = hint(kind, self.at(key), notation).map(|hint| format!("; {hint}")).unwrap_or_default();
        self.fail(key, format!("\"{key}\" must be {expected}, not {shown}{hint}"));
    }

    /// What is odd about there being such a key, for whom it may concern.
    pub(super) fn problem_of_key(&self, key: &str, message: String) -> Problem {
        self.origins.problem_of_key(key, message)
    }

    pub(super) fn warn(&mut self, key: &str, message: &str) {
        self.warnings.push(self.origins.problem(key, message.to_owned()));
    }

    pub(super) fn warn_at_key(&mut self, key: &str, message: String) {
        self.warnings.push(self.origins.problem_of_key(key, message));
    }

    /// Text; `expected` says of what.
    pub(super) fn text(&mut self, key: &str, expected: &str) -> Option<&'a str> {
        match self.at(key) {
            ValueAt::Absent => None,
            ValueAt::Plain(Value::String(text)) => Some(text),
            ValueAt::Plain(_) | ValueAt::NonJsonValue(_) => {
                self.fail_type(key, expected);
                None
            }
        }
    }

    pub(super) fn number(&mut self, key: &str) -> Option<f64> {
        self.number_of(key, Kind::Number)
    }

    /// A number that stands for this.
    pub(super) fn number_of(&mut self, key: &str, kind: Kind) -> Option<f64> {
        match self.at(key) {
            ValueAt::Absent => None,
            ValueAt::Plain(Value::Number(number)) => number.as_f64(),
            ValueAt::NonJsonValue(NonJsonValue::Infinity) => Some(f64::INFINITY),
            ValueAt::NonJsonValue(NonJsonValue::MinusInfinity) => Some(f64::NEG_INFINITY),
            ValueAt::NonJsonValue(NonJsonValue::NotANumber) => Some(f64::NAN),
            ValueAt::Plain(_) | ValueAt::NonJsonValue(NonJsonValue::Other(_)) => {
                let expected = if kind == Kind::Millis { "a number of milliseconds" } else { "a number" };
                self.fail_type_of(key, kind, expected);
                None
            }
        }
    }

    /// A whole number within limits; `8080.0` is whole.
    pub(super) fn whole(&mut self, key: &str, limits: RangeInclusive<u32>) -> Option<u32> {
        let number = self.number(key)?;
        let whole = whole(number).filter(|whole| limits.contains(whole));
        if whole.is_none() {
            let (least, most) = limits.into_inner();
            let expected = match most {
                u32::MAX => format!("a whole number, {least} or more"),
                _ => format!("a whole number from {least} to {most}"),
            };
            self.fail_value(key, &expected);
        }
        whole
    }

    /// A time in milliseconds: fractions are rounded up, 0 and `false` mean no timer.
    pub(super) fn timeout(&mut self, key: &str, default: Option<Duration>) -> Option<Duration> {
        if matches!(self.at(key), ValueAt::Absent) {
            return default;
        }
        if matches!(self.at(key), ValueAt::Plain(Value::Bool(false))) {
            return None;
        }
        let millis = self.number_of(key, Kind::Millis)?;
        if !(0.0..=MAX_MILLIS).contains(&millis) {
            self.fail_value_of(key, Kind::Millis, "a number of milliseconds from 0 to 2147483647");
            return None;
        }
        whole(millis.ceil()).filter(|&millis| millis > 0).map(|millis| Duration::from_millis(millis.into()))
    }

    /// True or false, and nothing else.
    pub(super) fn boolean(&mut self, key: &str, default: bool) -> bool {
        match self.at(key) {
            ValueAt::Absent => default,
            ValueAt::Plain(Value::Bool(flag)) => *flag,
            ValueAt::Plain(_) | ValueAt::NonJsonValue(_) => {
                self.fail_type_of(key, Kind::Boolean, "true or false");
                default
            }
        }
    }

    /// True or false as JavaScript sees it.
    pub(super) fn flag(&self, key: &str, default: bool) -> bool {
        match self.at(key) {
            ValueAt::Absent => default,
            ValueAt::Plain(Value::Null) => false,
            ValueAt::Plain(Value::Bool(flag)) => *flag,
            ValueAt::Plain(Value::Number(number)) => number.as_f64() != Some(0.0),
            ValueAt::Plain(Value::String(text)) => !text.is_empty(),
            ValueAt::NonJsonValue(NonJsonValue::NotANumber) => false,
            ValueAt::Plain(Value::Array(_) | Value::Object(_)) | ValueAt::NonJsonValue(_) => true,
        }
    }

    pub(super) fn choice<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let names: Vec<String> = choices.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let expected = names.join(" or ");
        let text = self.text(key, &expected)?;
        let chosen = choices.iter().find(|(name, _)| *name == text).map(|(_, choice)| *choice);
        if chosen.is_none() {
            self.fail_value(key, &expected);
        }
        chosen
    }

    /// The value as short text.
    pub(super) fn shown(&self, key: &str) -> String {
        const LIMIT: usize = 60;
        let text = match self.at(key) {
            ValueAt::Absent => "absent".to_owned(),
            ValueAt::Plain(value) => value.to_string(),
            ValueAt::NonJsonValue(NonJsonValue::Infinity) => "Infinity".to_owned(),
            ValueAt::NonJsonValue(NonJsonValue::MinusInfinity) => "-Infinity".to_owned(),
            ValueAt::NonJsonValue(NonJsonValue::NotANumber) => "NaN".to_owned(),
            ValueAt::NonJsonValue(NonJsonValue::Other(name)) => with_article(name),
        };
        match text.char_indices().nth(LIMIT) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    }
}

/// JavaScript's name for a type as part of a sentence.
pub(super) fn with_article(type_name: &str) -> String {
    match type_name {
        "undefined" | "null" => type_name.to_owned(),
        "array" | "object" | "error" => format!("an {type_name}"),
        _ => format!("a {type_name}"),
    }
}
