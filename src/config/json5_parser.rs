//! Reads JSON5, or the plain part of JavaScript's object literals, into a tree that knows where each value
//! stands.
//!
//! Invariants: nesting deeper than [`MAX_DEPTH`] is a fault, never a stack overflow; in the `Literal` dialect
//! a key that JavaScript treats specially (twice the same, `__proto__`, an array index) is a fault.

use std::ops::Range;

use serde_json::{Map, Number, Value};

use crate::config::lexer::{Dialect, Fault, Scanner};

/// One less than `serde_json` allows, so that whatever is read here can also be written and read as JSON.
pub(super) const MAX_DEPTH: usize = 127;

/// A value and the bytes it takes in the text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) span: Range<usize>,
    pub(super) content: Content,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Content {
    Null,
    Bool(bool),
    Number(f64),
    SourceText(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
}

/// One member of an object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Range<usize>,
    pub(super) value: Node,
}

/// Reads a text that is one value and nothing else.
pub(super) fn parse(text: &str) -> Result<Node, Fault> {
    let mut scanner = Scanner::new(text, Dialect::Json5);
    scanner.blanks()?;
    let node = value(&mut scanner, 0)?;
    scanner.blanks()?;
    match scanner.peek() {
        None => Ok(node),
        Some(_) => scanner.fault("nothing more is expected after the value"),
    }
}

/// Reads the value that begins at the scanner's place, and leaves the scanner behind it.
pub(super) fn value(scanner: &mut Scanner<'_>, depth: usize) -> Result<Node, Fault> {
    if depth > MAX_DEPTH {
        return scanner.fault("values are nested too deeply");
    }
    let start = scanner.offset();
    let content = match scanner.peek() {
        None => return scanner.fault("a value is expected, but the file ends"),
        Some('{') => Content::Table(table(scanner, depth)?),
        Some('[') => Content::List(list(scanner, depth)?),
        Some('"' | '\'') => Content::SourceText(scanner.string()?),
        Some('-' | '+' | '.' | '0'..='9') => Content::Number(scanner.number()?),
        Some(_) => word(scanner)?,
    };
    Ok(Node { span: start..scanner.offset(), content })
}

fn word(scanner: &mut Scanner<'_>) -> Result<Content, Fault> {
    let here = scanner.clone();
    let name = scanner.name()?;
    match (name.as_deref(), scanner.dialect) {
        (Some("null"), _) => Ok(Content::Null),
        (Some("true"), _) => Ok(Content::Bool(true)),
        (Some("false"), _) => Ok(Content::Bool(false)),
        (Some("Infinity"), Dialect::Json5) => Ok(Content::Number(f64::INFINITY)),
        (Some("NaN"), Dialect::Json5) => Ok(Content::Number(f64::NAN)),
        _ => here.fault("a value is expected here"),
    }
}

fn list(scanner: &mut Scanner<'_>, depth: usize) -> Result<Vec<Node>, Fault> {
    let opening = scanner.clone();
    scanner.next();
    let mut items = Vec::new();
    loop {
        scanner.blanks()?;
        if scanner.take("]") {
            return Ok(items);
        }
        if scanner.peek().is_none() {
            return opening.fault("this bracket is never closed");
        }
        items.push(value(scanner, depth + 1)?);
        scanner.blanks()?;
        if !scanner.take(",") && !matches!(scanner.peek(), Some(']') | None) {
            return scanner.fault("a comma or a closing bracket is expected here");
        }
    }
}

fn table(scanner: &mut Scanner<'_>, depth: usize) -> Result<Vec<Entry>, Fault> {
    let opening = scanner.clone();
    scanner.next();
    let mut entries: Vec<Entry> = Vec::new();
    // Looking through `entries` for each new key would be quadratic, and files may be megabytes.
    let mut seen = std::collections::HashSet::new();
    loop {
        scanner.blanks()?;
        if scanner.take("}") {
            return Ok(entries);
        }
        if scanner.peek().is_none() {
            return opening.fault("this brace is never closed");
        }
        let entry = entry(scanner, depth)?;
        if scanner.dialect == Dialect::Literal && (is_special(&entry.key) || !seen.insert(entry.key.clone()))
        {
            return Err(Fault { offset: entry.key_span.start, message: "this key is not plain" });
        }
        entries.push(entry);
        scanner.blanks()?;
        if !scanner.take(",") && !matches!(scanner.peek(), Some('}') | None) {
            return scanner.fault("a comma or a closing brace is expected here");
        }
    }
}

fn entry(scanner: &mut Scanner<'_>, depth: usize) -> Result<Entry, Fault> {
    let start = scanner.offset();
    let key = match scanner.peek() {
        Some('"' | '\'') => scanner.string()?,
        _ => match scanner.name()? {
            Some(name) => name,
            None => return scanner.fault("a key is expected here"),
        },
    };
    let key_span = start..scanner.offset();
    scanner.blanks()?;
    if !scanner.take(":") {
        return scanner.fault("a colon is expected here");
    }
    scanner.blanks()?;
    Ok(Entry { key, key_span, value: value(scanner, depth + 1)? })
}

/// Keys that JavaScript does not keep as written: one sets the prototype, array indices come first in the
/// order.
fn is_special(key: &str) -> bool {
    key == "__proto__" || (!key.is_empty() && key.bytes().all(|b| b.is_ascii_digit()))
}

impl Node {
    /// The entry at a dotted path, in which keys may have dots themselves, such as `./my-extension`; of a key given twice the
    /// last one counts, as in JSON.
    pub(super) fn find(&self, path: &str) -> Option<&Entry> {
        let Content::Table(entries) = &self.content else { return None };
        let below = |entry: &Entry| path.strip_prefix(&entry.key)?.strip_prefix('.').map(str::len);
        let is_on_the_way = |entry: &&Entry| entry.key == path || below(entry).is_some();
        let on_the_way = entries.iter().rev().filter(is_on_the_way);
        // The longest key first: what is left of the path is the shortest.
        let entry = on_the_way.min_by_key(|entry| below(entry).unwrap_or(0))?;
        match below(entry) {
            None => Some(entry),
            Some(rest) => entry.value.find(&path[path.len() - rest..]),
        }
    }

    /// The keys that are in their object already, by dotted path, and where they stand.
    pub(super) fn doubled(&self) -> Vec<(String, Range<usize>)> {
        let mut doubled = Vec::new();
        self.collect_doubled("", &mut doubled);
        doubled
    }

    fn collect_doubled(&self, path: &str, doubled: &mut Vec<(String, Range<usize>)>) {
        match &self.content {
            Content::Table(entries) => {
                let mut seen = std::collections::HashSet::new();
                for Entry { key, key_span, value } in entries {
                    let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    if !seen.insert(key) {
                        doubled.push((below.clone(), key_span.clone()));
                    }
                    value.collect_doubled(&below, doubled);
                }
            }
            Content::List(items) => items.iter().for_each(|item| item.collect_doubled(path, doubled)),
            Content::Null | Content::Bool(_) | Content::Number(_) | Content::SourceText(_) => {}
        }
    }

    /// The value as JSON. Numbers with no fraction become whole numbers, as `JSON.stringify` writes them;
    /// JSON has no infinite numbers, those become null.
    pub(super) fn to_json(&self) -> Value {
        match &self.content {
            Content::Null => Value::Null,
            Content::Bool(value) => Value::Bool(*value),
            Content::Number(value) => json_number(*value),
            Content::SourceText(value) => Value::String(value.clone()),
            Content::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Content::Table(entries) => {
                let members = entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json()));
                Value::Object(members.collect::<Map<_, _>>())
            }
        }
    }
}

impl Node {
    /// The value as a text of which JavaScript's `JSON.parse` makes what the text said: infinite numbers too, but for
    /// NaN, which becomes null.
    pub(super) fn to_json_text(&self) -> String {
        let mut text = String::new();
        self.write_json(&mut text);
        text
    }

    fn write_json(&self, text: &mut String) {
        match &self.content {
            // Beyond what JSON numbers of JavaScript's can be: it reads an infinite one.
            Content::Number(value) if value.is_infinite() => {
                text.push_str(if *value > 0.0 { "1e999" } else { "-1e999" });
            }
            Content::Number(value) if *value == 0.0 && value.is_sign_negative() => text.push_str("-0"),
            Content::Null | Content::Bool(_) | Content::Number(_) | Content::SourceText(_) => {
                text.push_str(&self.to_json().to_string());
            }
            Content::List(items) => {
                text.push('[');
                for (index, item) in items.iter().enumerate() {
                    text.push_str(if index == 0 { "" } else { "," });
                    item.write_json(text);
                }
                text.push(']');
            }
            Content::Table(entries) => {
                text.push('{');
                for (index, entry) in entries.iter().enumerate() {
                    text.push_str(if index == 0 { "" } else { "," });
                    text.push_str(&Value::from(entry.key.as_str()).to_string());
                    text.push(':');
                    entry.value.write_json(text);
                }
                text.push('}');
            }
        }
    }
}

fn json_number(value: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() < EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53: exact")]
        return Value::Number(Number::from(value as i64));
    }
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn literal(text: &str) -> Result<Node, Fault> {
        value(&mut Scanner::new(text, Dialect::Literal), 0)
    }

    /// Any JSON value, with the characters that need care in strings.
    pub(super) fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            (-1_000_000_000i64..1_000_000_000).prop_map(Value::from),
            (-1_000_000i32..1_000_000).prop_map(|n| Value::from(f64::from(n) / 8.0 + 0.0625)),
            "[a-z\"'\\\\\n\u{7f}é\u{2028}😀]{0,6}".prop_map(Value::String),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::vec(("[a-z$_ .é]{0,4}", inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    #[test]
    fn every_value_knows_where_it_stands() {
        let text = "// c\n{ control: { stopTimeout: 'x' /* y */ }, }";
        let tree = parse(text).unwrap();
        let entry = tree.find("control.stopTimeout").unwrap();
        assert_eq!(&text[entry.value.span.clone()], "'x'");
        assert_eq!(&text[entry.key_span.clone()], "stopTimeout");
        assert!(tree.find("control.stopTimeout.x").is_none());
        assert!(tree.find("control.killTimeout").is_none());
    }

    #[test]
    fn deep_nesting_is_a_fault_not_a_crash() {
        for unit in ["[", "{a:"] {
            let fault = parse(&unit.repeat(100_000)).unwrap_err();
            assert_eq!(fault.message, "values are nested too deeply");
        }
    }

    #[test]
    fn whatever_json_would_not_keep_is_not_a_plain_literal() {
        for text in [
            "{a:1,a:2}",
            "{__proto__:{}}",
            "{'1':1}",
            "{1:1}",
            "{a}",
            "{a(){}}",
            "{get a(){}}",
            "{[a]:1}",
            "{...a}",
            "[1,,2]",
            "{a:undefined}",
            "{a:NaN}",
            "{a:-Infinity}",
            "{a:`x`}",
            "{a:/x/}",
            "{a:-x}",
            "{a:1+1}",
            "{a:b}",
            "{é:1}",
            "{,}",
        ] {
            assert!(literal(text).is_err(), "{text}");
        }
    }

    #[test]
    fn unclosed_things_are_named_where_they_open() {
        assert_eq!(
            parse("{a: [1, 2").unwrap_err(),
            Fault { offset: 4, message: "this bracket is never closed" }
        );
        assert_eq!(parse("{a: 1").unwrap_err(), Fault { offset: 0, message: "this brace is never closed" });
    }

    proptest! {
        #[test]
        fn what_serde_writes_is_read_the_same(json in any_json()) {
            let text = serde_json::to_string_pretty(&json).unwrap();
            prop_assert_eq!(parse(&text).unwrap().to_json(), json);
        }

        #[test]
        fn it_is_no_stricter_than_the_json5_crate(text in "[-+{}\\[\\],:'\"a0.x1 /*\n\\\\eN]{0,12}") {
            if let Ok(theirs) = json5::from_str::<Value>(&text) {
                let ours = parse(&text);
                prop_assert!(ours.is_ok(), "{:?} is {} to json5 but {:?} to us", text, theirs, ours);
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}") {
            let _ = parse(&text);
            let _ = literal(&text);
        }
    }
}
