//! What somebody who wrote a value of another type most likely meant: the end of the sentence that refuses it.
//!
//! Invariant: pure; a hint is only given where one meaning is likely, and it can be done as it stands.

use serde_json::Value;

use crate::config::raw::{NonJsonValue, ValueAt};

/// What a value is meant to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A number.
    Number,
    /// A number of milliseconds.
    Millis,
    /// How many workers.
    Workers,
    /// How many groups.
    Groups,
    /// True or false.
    Boolean,
    /// A TCP port, or the path of a unix socket.
    Port,
    /// The object that names extensions.
    Extensions,
    /// The object `server`.
    Server,
    /// Something that has no hint of its own.
    Other,
}

impl Kind {
    /// Of an object that known keys are in.
    pub(super) fn of_section(section: &str) -> Self {
        if section == "server" { Self::Server } else { Self::Other }
    }
}

/// How the configuration is written, and so what can be done in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notation {
    /// JSON or JSON5.
    Data,
    /// JavaScript.
    Program,
    /// `LUSTER_CONF`.
    Variable,
}

/// The hint for what was found in place of this kind.
pub(super) fn hint(kind: Kind, found: ValueAt<'_>, notation: Notation) -> Option<String> {
    match kind {
        Kind::Workers => unquoted(found, notation).or_else(|| left_to_luster(found, "one worker per CPU")),
        Kind::Groups => unquoted(found, notation).or_else(|| left_to_luster(found, "one group")),
        Kind::Millis => millis(found).or_else(|| unquoted(found, notation)).or_else(|| left_out(found)),
        Kind::Number => unquoted(found, notation).or_else(|| left_out(found)),
        Kind::Boolean => boolean(found, notation).or_else(|| left_out(found)),
        Kind::Port => unset(found).or_else(|| left_out(found)),
        Kind::Extensions => extensions(found).or_else(|| left_out(found)),
        Kind::Server => server(found).or_else(|| left_out(found)),
        Kind::Other => left_out(found),
    }
}

/// Words and numbers for "as many as there should be": `true`, `"max"`, `"100%"`, `0`, `-1`.
fn left_to_luster(found: ValueAt<'_>, default: &str) -> Option<String> {
    let is_meant = match found {
        ValueAt::Plain(value) => !value.is_array() && !value.is_object(),
        ValueAt::NonJsonValue(_) => true,
        ValueAt::Absent => false,
    };
    is_meant.then(|| format!("leave it out for {default}"))
}

fn left_out(found: ValueAt<'_>) -> Option<String> {
    matches!(found, ValueAt::Plain(Value::Null)).then(|| "leave it out for the default".to_owned())
}

/// A number that was written as text.
fn unquoted(found: ValueAt<'_>, notation: Notation) -> Option<String> {
    let ValueAt::Plain(Value::String(text)) = found else { return None };
    let text = text.trim();
    text.parse::<f64>().ok().filter(|number| number.is_finite())?;
    Some(without_quotes(text, "Number", notation))
}

fn boolean(found: ValueAt<'_>, notation: Notation) -> Option<String> {
    let ValueAt::Plain(Value::String(text)) = found else { return None };
    match (text.as_str(), notation) {
        ("true" | "false", Notation::Data | Notation::Variable) => Some(without_quotes(text, "", notation)),
        // What is in an environment variable, say, of which JavaScript takes each for true.
        ("true" | "false", Notation::Program) => Some("compare it: … === 'true'".to_owned()),
        _ => None,
    }
}

fn without_quotes(text: &str, convert: &str, notation: Notation) -> String {
    match notation {
        Notation::Data | Notation::Variable => format!("write {text} without quotes"),
        Notation::Program => format!("{convert}(…) makes a number of it"),
    }
}

/// A time with its unit, as other programs have it.
fn millis(found: ValueAt<'_>) -> Option<String> {
    let text = match found {
        ValueAt::Plain(Value::String(text)) => text.trim(),
        // As others write "never".
        ValueAt::Plain(Value::Number(_) | Value::Bool(true))
        | ValueAt::NonJsonValue(NonJsonValue::Infinity) => {
            return Some("0 turns it off".to_owned());
        }
        ValueAt::Plain(_) | ValueAt::Absent | ValueAt::NonJsonValue(_) => return unset(found),
    };
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim_start().to_ascii_lowercase().as_str() {
        "ms" | "msec" | "millis" | "milliseconds" => 1.0,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60_000.0,
        "h" | "hour" | "hours" => 3_600_000.0,
        _ => return None,
    };
    let millis = (number.parse::<f64>().ok()? * factor).round();
    Some(format!("{text} is {millis}"))
}

/// A list of names is what most other programs have for their plugins.
fn extensions(found: ValueAt<'_>) -> Option<String> {
    const SHOWN: usize = 3;
    let names: Vec<&str> = match found {
        ValueAt::Plain(Value::String(name)) => vec![name],
        ValueAt::Plain(Value::Array(list)) => list.iter().filter_map(Value::as_str).take(SHOWN).collect(),
        ValueAt::Plain(_) | ValueAt::Absent | ValueAt::NonJsonValue(_) => return None,
    };
    let fit = |name: &&&str| !name.is_empty() && name.len() <= 40;
    let mut names: Vec<&str> = names.iter().filter(fit).copied().collect();
    if names.is_empty() {
        names.push("name");
    }
    let members: Vec<String> = names.iter().map(|name| format!("{}: {{}}", Value::from(*name))).collect();
    Some(format!("name each with its options, as in {{ {} }}", members.join(", ")))
}

/// `8080` in place of an object.
fn server(found: ValueAt<'_>) -> Option<String> {
    let ValueAt::Plain(port @ (Value::Number(_) | Value::String(_))) = found else { return None };
    Some(format!("for a port write {{ \"port\": {port} }}")).filter(|hint| hint.len() <= 80)
}

/// A number that a program did not get.
fn unset(found: ValueAt<'_>) -> Option<String> {
    let is_unset = match found {
        ValueAt::NonJsonValue(odd) => *odd == NonJsonValue::NotANumber || odd.is_undefined(),
        ValueAt::Plain(_) | ValueAt::Absent => false,
    };
    is_unset.then(|| "is an environment variable not set?".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(kind: Kind, value: &Value) -> String {
        hint(kind, ValueAt::Plain(value), Notation::Data).unwrap_or_default()
    }

    #[test]
    fn times_with_a_unit_are_told_in_milliseconds() {
        for (text, expected) in [
            ("10s", "10s is 10000"),
            ("10 S", "10 S is 10000"),
            (" 1.5 sec", "1.5 sec is 1500"),
            ("500ms", "500ms is 500"),
            ("2m", "2m is 120000"),
            ("1 min", "1 min is 60000"),
            ("1h", "1h is 3600000"),
            ("10", "write 10 without quotes"),
            ("soon", ""),
            ("s", ""),
            ("1.2.3s", ""),
            ("-1s", ""),
            ("", ""),
        ] {
            assert_eq!(of(Kind::Millis, &json!(text)), expected, "{text}");
        }
        assert_eq!(of(Kind::Millis, &json!(null)), "leave it out for the default");
        assert_eq!(of(Kind::Millis, &json!(true)), "0 turns it off");
        assert_eq!(of(Kind::Millis, &json!(-1)), "0 turns it off");
    }

    #[test]
    fn counts_are_told_how_to_be_left_to_luster() {
        for word in [json!(true), json!(null), json!("max"), json!("50%"), json!(0), json!(-1)] {
            assert_eq!(of(Kind::Workers, &word), "leave it out for one worker per CPU", "{word}");
            assert_eq!(of(Kind::Groups, &word), "leave it out for one group", "{word}");
        }
        assert_eq!(of(Kind::Groups, &json!("2")), "write 2 without quotes");
        assert_eq!(of(Kind::Workers, &json!([1])), "");
        let text = json!("4");
        let found = ValueAt::Plain(&text);
        assert_eq!(
            hint(Kind::Workers, found, Notation::Program).as_deref(),
            Some("Number(…) makes a number of it")
        );
    }

    #[test]
    fn extensions_are_told_their_form_with_the_names_that_were_written() {
        for (value, example) in [
            (json!(["a", "b"]), r#"{ "a": {}, "b": {} }"#),
            (json!(["a", "b", "c", "d"]), r#"{ "a": {}, "b": {}, "c": {} }"#),
            (json!("a\"b"), r#"{ "a\"b": {} }"#),
            (json!([]), r#"{ "name": {} }"#),
            (json!([{"name": "a"}]), r#"{ "name": {} }"#),
            (json!(""), r#"{ "name": {} }"#),
        ] {
            let expected = format!("name each with its options, as in {example}");
            assert_eq!(of(Kind::Extensions, &value), expected, "{value}");
        }
        assert_eq!(of(Kind::Extensions, &json!(true)), "");
    }

    #[test]
    fn booleans_in_quotes_are_told_to_lose_them() {
        assert_eq!(of(Kind::Boolean, &json!("false")), "write false without quotes");
        assert_eq!(of(Kind::Boolean, &json!("no")), "");
        let text = json!("true");
        let program = hint(Kind::Boolean, ValueAt::Plain(&text), Notation::Program);
        assert_eq!(program.as_deref(), Some("compare it: … === 'true'"));
    }
}
