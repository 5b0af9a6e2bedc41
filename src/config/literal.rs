//! Recognises a JavaScript module that does nothing but export a plain object, so that Node need not be
//! started.
//!
//! Invariant: `None` is always a right answer; `Some` is given only where Node would see the very same value.

use crate::config::json5_parser::{Content, Node, value};
use crate::config::lexer::{Blanks, Dialect, Scanner};

/// Which of JavaScript's two module systems a file is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// `module.exports = …`, loaded by `require`.
    CommonJs,
    /// `export default …`, loaded by `import`.
    EsModule,
}

/// The object that the module exports, if exporting it is all the module does.
pub(super) fn exported_literal(text: &str, flavour: Flavour) -> Option<Node> {
    let mut scanner = Scanner::new(text, Dialect::Literal);
    scanner.blanks().ok()?;
    directive(&mut scanner)?;
    match flavour {
        Flavour::CommonJs => {
            if words(&mut scanner, &["exports", "=", "module"]).is_none() {
                words(&mut scanner, &["module"])?;
            }
            words(&mut scanner, &[".", "exports", "="])?;
        }
        Flavour::EsModule => words(&mut scanner, &["export", "default"])?,
    }
    let node = value(&mut scanner, 0).ok()?;
    loop {
        scanner.blanks().ok()?;
        if !scanner.take(";") {
            break;
        }
    }
    let alone = scanner.peek().is_none() && matches!(node.content, Content::Table(_));
    alone.then_some(node)
}

/// Passes over `'use strict'`, which must be ended by a semicolon or by the end of its line.
fn directive(scanner: &mut Scanner<'_>) -> Option<()> {
    if !scanner.take("'use strict'") && !scanner.take("\"use strict\"") {
        return Some(());
    }
    let blanks = scanner.blanks().ok()?;
    let ended = scanner.take(";") || blanks == Blanks::Newline;
    scanner.blanks().ok()?;
    ended.then_some(())
}

/// Passes over these words with any blanks between and after them, or over nothing.
fn words(scanner: &mut Scanner<'_>, words: &[&str]) -> Option<()> {
    let mut ahead = scanner.clone();
    for word in words {
        if !ahead.take(word) || (word.len() > 1 && ahead.peek().is_some_and(is_name)) {
            return None;
        }
        ahead.blanks().ok()?;
    }
    *scanner = ahead;
    Some(())
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn common(text: &str) -> Option<serde_json::Value> {
        exported_literal(text, Flavour::CommonJs).map(|node| node.to_json())
    }

    #[test]
    fn a_module_that_only_exports_a_plain_object_is_a_literal() {
        for text in [
            "module.exports = {a: 1};",
            "'use strict';\n/* c */ module . exports={'a':1,} // end",
            "\"use strict\"\nexports = module.exports = {a: 1.0};;\n",
        ] {
            assert_eq!(common(text), Some(json!({"a": 1})), "{text}");
        }
        assert!(exported_literal("export default {a: 1}", Flavour::EsModule).is_some());
    }

    #[test]
    fn anything_more_is_left_to_node() {
        for text in [
            "module.exports = {a: process.env.A}",
            "const a = 1; module.exports = {a: 1}",
            "module.exports = {a: 1}; console.log(1)",
            "module.exports = {a: 1}.a",
            "module.exports = [1]",
            "module.exports = 1",
            "module.exports.a = {}",
            "module.exportsx = {}",
            "module.exports == {}",
            "'use strict' module.exports = {}",
            "exports = {a: 1}",
            "exports.a = 1",
            "export default {a: 1}",
            "#!/usr/bin/env node\nmodule.exports = {}",
            "",
            "{\"app\": \"x\"}",
        ] {
            assert_eq!(common(text), None, "{text}");
        }
        assert!(exported_literal("module.exports = {}", Flavour::EsModule).is_none());
    }
}
