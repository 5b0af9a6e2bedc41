//! Reads the configuration file by its kind.
//!
//! Invariants: a file larger than [`SIZE_LIMIT`] is not taken into memory; `serde_json` decides what is JSON
//! and the `json5` crate what is JSON5, our own reader only tells where things stand (and keeps deep nesting
//! from `json5`).

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use serde_json::Value;

use crate::config::error::Error;
use crate::config::evaluate::{Evaluate, Exported, evaluate};
use crate::config::find;
use crate::config::json5_parser::{self, Content, Node};
use crate::config::literal::exported_literal;
use crate::config::origins::Origins;
use crate::config::raw::{RawConfig, type_name};
use crate::config::request::{ConfigRequest, SIZE_LIMIT};
use crate::config::syntax;
use crate::config::text::SourceText;

/// What the configuration is, and so how workers get it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceFormat {
    /// A `.json` file.
    Json,
    /// A `.json5` file.
    Json5,
    /// JavaScript that only exports a plain object, read without Node.
    Literal,
    /// JavaScript that Node has run.
    Module,
}

/// A configuration that was read, not yet validated.
#[derive(Debug)]
pub(super) struct ParsedConfig {
    pub(super) source: SourceFormat,
    pub(super) raw: RawConfig,
    /// The same as JSON, if nobody needs to run anything for it.
    pub(super) data: Option<String>,
    pub(super) origins: Origins,
    /// JavaScript's name for what was found in place of an object.
    pub(super) not_an_object: Option<String>,
}

/// Reads the file; `name` is the file as the user would name it, `real` where it really is.
pub(super) fn read(
    file: &Path,
    real: &Path,
    name: &str,
    request: &ConfigRequest,
    evaluator: &mut dyn Evaluate,
) -> Result<ParsedConfig, Error> {
    if let Some(error) = syntax::of_other_notation(file, name) {
        return Err(error);
    }
    let text = SourceText::decode(&bytes(file, real)?);
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("json") => json(name, text),
        Some("json5") => json5(name, text),
        _ => javascript(real, name, text, request, evaluator),
    }
}

fn bytes(file: &Path, real: &Path) -> Result<Vec<u8>, Error> {
    let unreadable = |source: io::Error| Error::Unreadable { path: file.to_owned(), source };
    // Asked before opening: opening a pipe would wait for its writer.
    if !fs::metadata(real).map_err(unreadable)?.is_file() {
        return Err(Error::NotAFile { path: file.to_owned() });
    }
    let mut bytes = Vec::new();
    let limit = SIZE_LIMIT as u64 + 1;
    File::open(real).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() > SIZE_LIMIT {
        return Err(Error::TooLarge { path: file.to_owned(), limit: SIZE_LIMIT });
    }
    Ok(bytes)
}

fn json(name: &str, text: SourceText) -> Result<ParsedConfig, Error> {
    let tree = json5_parser::parse(text.as_str());
    match serde_json::from_str(text.as_str()) {
        Ok(value) => {
            let data = text.as_str().to_owned();
            Ok(reading(SourceFormat::Json, name, text, RawConfig::plain(value), data, tree.ok()))
        }
        Err(error) => Err(syntax::of_json(name, &text, &error, tree.as_ref())),
    }
}

fn json5(name: &str, text: SourceText) -> Result<ParsedConfig, Error> {
    // First our own reader: the crate has no limit to nesting, and would overflow the stack.
    let tree = json5_parser::parse(text.as_str()).map_err(|fault| syntax::of_json5(name, &text, &fault))?;
    match json5::from_str::<Value>(text.as_str()) {
        Ok(value) => {
            let raw = RawConfig { value, ..RawConfig::from_tree(&tree) };
            let data = tree.to_json_text();
            Ok(reading(SourceFormat::Json5, name, text, raw, data, Some(tree)))
        }
        Err(error) => {
            let offset =
                error.position().map_or(0, |position| text.offset(position.line + 1, position.column + 1));
            let message = error.code().map_or_else(|| error.to_string(), |code| code.to_string());
            Err(syntax::fault(name, &text, offset, message, None))
        }
    }
}

fn javascript(
    file: &Path,
    name: &str,
    text: SourceText,
    request: &ConfigRequest,
    evaluator: &mut dyn Evaluate,
) -> Result<ParsedConfig, Error> {
    let flavour = find::flavour(file);
    if let Some(tree) = exported_literal(text.as_str(), flavour) {
        let raw = RawConfig::from_tree(&tree);
        let data = tree.to_json_text();
        return Ok(reading(SourceFormat::Literal, name, text, raw, data, Some(tree)));
    }
    // To JavaScript an object alone is a block with labels, which exports nothing or is a puzzling syntax
    // error.
    if let Ok(Node { content: Content::Table(entries), span }) = json5_parser::parse(text.as_str())
        && !entries.is_empty()
    {
        let message = "this is not JavaScript, but that is what a file of this name is read as".to_owned();
        return Err(syntax::fault(
            name,
            &text,
            span.start,
            message,
            Some("it reads as JSON5; name it `.json` or `.json5`"),
        ));
    }
    // Then it is an app, most likely, and running it here would do what the app does.
    let exports_nothing = || Error::ExportsNothing { name: name.to_owned() };
    let could_be_filled = request.luster_conf.as_ref().is_some_and(|variable| !variable.is_empty());
    if !could_be_filled && syntax::exports_nothing(file, text.as_str()) {
        return Err(exports_nothing());
    }
    let origins = Origins::of_module(name.to_owned());
    let exported = evaluate(file, name, flavour, request, evaluator)
        .map_err(|error| syntax::of_javascript(file, &text, error))?;
    let (raw, not_an_object) = match exported {
        Exported::Object(RawConfig { value, odd })
            if !could_be_filled
                && odd.is_empty()
                && value.as_object().is_some_and(serde_json::Map::is_empty) =>
        {
            return Err(exports_nothing());
        }
        Exported::Object(raw) => (raw, None),
        Exported::Other(kind) => (RawConfig::plain(Value::Null), Some(kind)),
    };
    Ok(ParsedConfig { source: SourceFormat::Module, raw, data: None, origins, not_an_object })
}

fn reading(
    source: SourceFormat,
    name: &str,
    text: SourceText,
    raw: RawConfig,
    data: String,
    tree: Option<Node>,
) -> ParsedConfig {
    let not_an_object = (!raw.value.is_object()).then(|| type_name(&raw.value).to_owned());
    let origins = match tree {
        Some(tree) => Origins::of_text(name.to_owned(), text, tree),
        None => Origins::of_module(name.to_owned()),
    };
    ParsedConfig { source, raw, data: Some(data), origins, not_an_object }
}
