//! Where all values came from: places in the file, `LUSTER_CONF`, or luster's own defaults.
//!
//! Invariant: an origin can be given for every dotted path, also for one that nobody wrote.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::{Map, Value};

use crate::config::json5_parser::Node;
use crate::config::origin::Origin;
use crate::config::problem::Problem;
use crate::config::raw::covers;
use crate::config::text::SourceText;

/// Where all values came from.
#[derive(Debug, Clone)]
pub struct Origins {
    name: String,
    source: Option<(SourceText, Node)>,
    /// Dotted paths that `LUSTER_CONF` set.
    overridden: Vec<String>,
    /// Which app's values these are, where there are several.
    within: Option<Within>,
}

/// One app among several: its own values are below a path, those it has in common with others are not.
#[derive(Debug, Clone)]
struct Within {
    path: String,
    own: Value,
    common: Value,
}

impl Origins {
    /// For a file whose values have places.
    pub(super) fn of_text(name: String, text: SourceText, tree: Node) -> Self {
        Self { name, source: Some((text, tree)), overridden: Vec::new(), within: None }
    }

    /// For a file that was run.
    pub(super) fn of_module(name: String) -> Self {
        Self { name, source: None, overridden: Vec::new(), within: None }
    }

    /// Those of an app below this path, with these values of its own beside what all have in common.
    pub(super) fn within(&self, path: &str, own: &Map<String, Value>, common: &Value) -> Self {
        let (own, common) = (Value::Object(own.clone()), common.clone());
        Self { within: Some(Within { path: path.to_owned(), own, common }), ..self.clone() }
    }

    /// A dotted path as it is in the file.
    fn whole<'a>(&self, path: &'a str) -> Cow<'a, str> {
        let Some(Within { path: app, own, common }) = &self.within else { return path.into() };
        let is_in = |value| path.split('.').try_fold(value, |value: &Value, name| value.get(name)).is_some();
        if !is_in(own) && is_in(common) { path.into() } else { format!("{app}.{path}").into() }
    }

    /// What is said of a key, with its whole path.
    fn told(&self, path: &str, whole: &str, message: String) -> String {
        if path == whole {
            return message;
        }
        let quoted = format!("\"{path}\"");
        if message.contains(&quoted) {
            message.replacen(&quoted, &format!("\"{whole}\""), 1)
        } else if message.contains(path) {
            message.replacen(path, whole, 1)
        } else {
            format!("{whole}: {message}")
        }
    }

    pub(super) fn override_path(&mut self, path: &str) {
        self.overridden.push(path.to_owned());
    }

    /// Where the value at this dotted path was written. Meant for paths that have a value: one that nobody
    /// wrote is said to come from the file as a whole.
    #[must_use]
    pub fn of(&self, path: &str) -> Origin {
        self.of_whole(&self.whole(path))
    }

    fn of_whole(&self, path: &str) -> Origin {
        if self.is_overridden(path) {
            return Origin::Environment;
        }
        match self.value_span(path) {
            Some((text, span)) => self.place(text, span.start),
            None => Origin::WholeFile { name: self.name.clone() },
        }
    }

    /// What is wrong or odd about the value at this dotted path.
    #[must_use]
    pub fn problem(&self, path: &str, message: String) -> Problem {
        let whole = self.whole(path);
        let message = self.told(path, &whole, message);
        self.problem_of_whole(&whole, message)
    }

    fn problem_of_whole(&self, path: &str, message: String) -> Problem {
        let (origin, excerpt) = (self.of_whole(path), self.excerpt(path));
        Problem { key: Some(path.to_owned()), message, origin, excerpt }
    }

    /// What is wrong or odd about there being such a key.
    #[must_use]
    pub fn problem_of_key(&self, path: &str, message: String) -> Problem {
        let whole = self.whole(path);
        let message = self.told(path, &whole, message);
        let path = &*whole;
        match &self.source {
            Some((text, tree)) if !self.is_overridden(path) => match tree.find(path) {
                Some(entry) => self.problem_at(text, path, entry.key_span.clone(), message),
                None => self.problem_of_whole(path, message),
            },
            Some(_) | None => self.problem_of_whole(path, message),
        }
    }

    /// The keys that are written twice in one object; of each the last one counts.
    pub(super) fn doubled(&self) -> Vec<Problem> {
        let Some((text, tree)) = &self.source else { return Vec::new() };
        let doubled = tree.doubled().into_iter();
        let problem = |(path, span): (String, Range<usize>)| {
            let message = format!("\"{path}\" is written more than once; the last one counts");
            self.problem_at(text, &path, span, message)
        };
        doubled.map(problem).collect()
    }

    fn problem_at(&self, text: &SourceText, path: &str, span: Range<usize>, message: String) -> Problem {
        let (origin, excerpt) = (self.place(text, span.start), Some(text.excerpt(span)));
        Problem { key: Some(path.to_owned()), message, origin, excerpt }
    }

    /// The source line with the value at this dotted path marked; `None` where there is none to show.
    pub(super) fn excerpt(&self, path: &str) -> Option<String> {
        if self.is_overridden(path) {
            return None;
        }
        self.value_span(path).map(|(text, span)| text.excerpt(span))
    }

    /// The configuration file as the user would name it.
    #[must_use]
    pub fn file_name(&self) -> &str {
        &self.name
    }

    fn is_overridden(&self, path: &str) -> bool {
        self.overridden.iter().any(|above| covers(above, path))
    }

    fn value_span(&self, path: &str) -> Option<(&SourceText, Range<usize>)> {
        let (text, tree) = self.source.as_ref()?;
        Some((text, tree.find(path)?.value.span.clone()))
    }

    fn place(&self, text: &SourceText, offset: usize) -> Origin {
        let position = text.position(offset);
        Origin::File { name: self.name.clone(), line: position.line, column: position.column }
    }
}
