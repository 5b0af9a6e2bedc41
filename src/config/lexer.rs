//! The small pieces of JSON5 and of JavaScript literals: blanks and comments, strings, numbers, names.
//!
//! Invariant: in the `Literal` dialect only what every JavaScript engine reads the same way is accepted;
//! whatever is rare or odd is a fault, which sends the file to Node.

use std::str::Chars;

/// What is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// JSON5, and so also JSON: everything the standard allows.
    Json5,
    /// A JavaScript object literal, in its plain part.
    Literal,
}

/// Why a text cannot be read, and where (a byte offset).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) offset: usize,
    pub(super) message: &'static str,
}

/// A place in a text that moves forward.
#[derive(Debug, Clone)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    rest: Chars<'a>,
    pub(super) dialect: Dialect,
}

/// Whether blanks that were passed over held an end of line; JavaScript cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blanks {
    Inline,
    Newline,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str, dialect: Dialect) -> Self {
        Self { text, rest: text.chars(), dialect }
    }

    pub(super) fn offset(&self) -> usize {
        self.text.len() - self.rest.as_str().len()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        self.rest.next()
    }

    pub(super) fn fault<T>(&self, message: &'static str) -> Result<T, Fault> {
        Err(Fault { offset: self.offset(), message })
    }

    /// Passes over `token` if it is next.
    pub(super) fn take(&mut self, token: &str) -> bool {
        let Some(rest) = self.rest.as_str().strip_prefix(token) else { return false };
        self.rest = rest.chars();
        true
    }

    /// Passes over white space and comments.
    pub(super) fn blanks(&mut self) -> Result<Blanks, Fault> {
        let start = self.offset();
        loop {
            if self.peek().is_some_and(is_blank) {
                self.next();
            } else if self.take("//") {
                while self.peek().is_some_and(|c| !is_line_end(c)) {
                    self.next();
                }
            } else if self.rest.as_str().starts_with("/*") {
                let Some(length) = self.rest.as_str()[2..].find("*/") else {
                    return self.fault("this comment is not closed");
                };
                self.rest = self.rest.as_str()[2 + length + 2..].chars();
            } else {
                break;
            }
        }
        let passed = &self.text[start..self.offset()];
        Ok(if passed.contains(is_line_end) { Blanks::Newline } else { Blanks::Inline })
    }

    /// An identifier as an object's key; `None` if there is none here.
    pub(super) fn name(&mut self) -> Result<Option<String>, Fault> {
        let mut name = String::new();
        while let Some(c) = self.peek() {
            let plain =
                c.is_ascii_alphabetic() || c == '_' || c == '$' || (c.is_ascii_digit() && !name.is_empty());
            let wide = self.dialect == Dialect::Json5
                && (c.is_alphabetic() || (!name.is_empty() && (c.is_alphanumeric() || is_joiner(c))));
            if plain || wide {
                name.push(c);
                self.next();
            } else if c == '\\' && self.dialect == Dialect::Json5 && self.rest.as_str().starts_with("\\u") {
                self.next();
                self.next();
                name.push(self.unicode_escape()?);
            } else {
                break;
            }
        }
        Ok((!name.is_empty()).then_some(name))
    }

    /// A quoted string; the next character is its opening quote.
    pub(super) fn string(&mut self) -> Result<String, Fault> {
        let opening = self.clone();
        let quote = self.next();
        let mut value = String::new();
        loop {
            let here = self.clone();
            match self.next() {
                None => return opening.fault("this string is not closed"),
                Some('\n' | '\r') => return here.fault("a string cannot go over the end of its line"),
                Some('\\') => self.escape(&mut value)?,
                Some(c) if Some(c) == quote => return Ok(value),
                Some(c) => value.push(c),
            }
        }
    }

    fn escape(&mut self, value: &mut String) -> Result<(), Fault> {
        let here = self.clone();
        let plain = match self.next() {
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('v') => '\u{b}',
            Some('0') if !self.peek().is_some_and(|c| c.is_ascii_digit()) => '\0',
            Some('0'..='9') | None => return here.fault("this escape is not allowed"),
            Some('x') => char::from_u32(self.hex(2)?).unwrap_or('\u{fffd}'),
            Some('u') => self.unicode_escape()?,
            Some('\r') => {
                self.take("\n");
                return Ok(());
            }
            Some('\n' | '\u{2028}' | '\u{2029}') => return Ok(()),
            Some(c) => c,
        };
        value.push(plain);
        Ok(())
    }

    /// After `\u`: four digits, and a second such escape if the first is half of a pair.
    fn unicode_escape(&mut self) -> Result<char, Fault> {
        let here = self.clone();
        let first = self.hex(4)?;
        if let Some(c) = char::from_u32(first) {
            return Ok(c);
        }
        let second = if self.take("\\u") { self.hex(4)? } else { 0 };
        if (0xd800..0xdc00).contains(&first) && (0xdc00..0xe000).contains(&second) {
            let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            return char::from_u32(code).map_or_else(|| here.fault("this escape is not a character"), Ok);
        }
        here.fault("this escape is half of a character")
    }

    fn hex(&mut self, digits: usize) -> Result<u32, Fault> {
        let mut code = 0;
        for _ in 0..digits {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(16)) else {
                return self.fault("a hexadecimal digit is expected here");
            };
            code = code * 16 + digit;
            self.next();
        }
        Ok(code)
    }

    /// A number; the next character can begin one.
    pub(super) fn number(&mut self) -> Result<f64, Fault> {
        let here = self.clone();
        let start = self.offset();
        while self.peek().is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '$'))
            || self.sign_fits(start)
        {
            self.next();
        }
        let word = &self.text[start..self.offset()];
        let number = match self.dialect {
            Dialect::Json5 => json5_number(word),
            Dialect::Literal => plain_number(word),
        };
        number.map_or_else(|| here.fault("this is not a number"), Ok)
    }

    /// A sign belongs to the number at its start and after the `e` of a decimal exponent.
    fn sign_fits(&self, start: usize) -> bool {
        let word = &self.text[start..self.offset()];
        let hex = word.contains(['x', 'X']);
        matches!(self.peek(), Some('+' | '-')) && (word.is_empty() || (word.ends_with(['e', 'E']) && !hex))
    }
}

/// White space, as ECMAScript (and so JSON5) has it.
fn is_blank(c: char) -> bool {
    matches!(c, '\u{feff}' | '\u{b}') || (c.is_whitespace() && c != '\u{85}')
}

fn is_line_end(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{2028}' | '\u{2029}')
}

fn is_joiner(c: char) -> bool {
    // Combining marks continue an identifier; the exact classes are the json5 crate's business.
    matches!(c, '\u{200c}' | '\u{200d}' | '\u{203f}' | '\u{300}'..='\u{36f}')
}

fn json5_number(word: &str) -> Option<f64> {
    let (sign, digits) = match word.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, word.strip_prefix('+').unwrap_or(word)),
    };
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        let value = hex.chars().try_fold(0.0, |sum, c| Some(sum * 16.0 + f64::from(c.to_digit(16)?)))?;
        return (!hex.is_empty()).then_some(sign * value);
    }
    match digits {
        "Infinity" => Some(sign * f64::INFINITY),
        "NaN" => Some(f64::NAN),
        // Rust would also read "inf", "nan" and "infinity".
        _ if digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
            let leading_zero =
                digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit();
            digits.parse::<f64>().ok().filter(|_| !leading_zero).map(|value| sign * value)
        }
        _ => None,
    }
}

/// Decimal numbers of at most 15 significant digits: those that any route through JSON keeps exactly.
fn plain_number(word: &str) -> Option<f64> {
    let digits = word.strip_prefix('-').unwrap_or(word);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let leading_zero = whole.len() > 1 && whole.starts_with('0');
    if !all_digits(whole) || !all_digits(fraction) || leading_zero || whole.len() + fraction.len() > 16 {
        return None;
    }
    // Minus zero is a number of its own in JavaScript, but not once it has been through JSON.
    word.parse::<f64>().ok().filter(|value| *value != 0.0 || value.is_sign_positive())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &str) -> Result<String, Fault> {
        Scanner::new(text, Dialect::Json5).string()
    }

    fn number(text: &str, dialect: Dialect) -> Option<f64> {
        let mut scanner = Scanner::new(text, dialect);
        scanner.number().ok().filter(|_| scanner.peek().is_none())
    }

    #[test]
    fn strings_are_unescaped_as_javascript_does() {
        assert_eq!(string(r#""a\n\x41\u00e9\'\q\0""#).unwrap(), "a\nAé'q\0");
        assert_eq!(string(r#"'\ud83d\ude00'"#).unwrap(), "😀");
        assert_eq!(string("'a\\\r\nb'").unwrap(), "ab");
    }

    #[test]
    fn broken_strings_are_faults() {
        for text in
            [r"'a", "'a\nb'", r"'\1'", r"'\01'", r"'\ud83d'", r"'\ud83dx'", r"'\xg0'", r"'\u12'", "'\\"]
        {
            assert!(string(text).is_err(), "{text}");
        }
    }

    #[test]
    fn json5_numbers_are_all_read() {
        for (text, value) in [
            ("0", 0.0),
            ("-1", -1.0),
            ("+1.5", 1.5),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e3", 1000.0),
            ("1E-1", 0.1),
            ("0x1F", 31.0),
            ("-Infinity", f64::NEG_INFINITY),
        ] {
            assert_eq!(number(text, Dialect::Json5), Some(value), "{text}");
        }
        for text in ["01", "1_000", "inf", "nan", "0x", "1n", "--1", "1e", ".", "+", "0b1"] {
            assert_eq!(number(text, Dialect::Json5), None, "{text}");
        }
    }

    #[test]
    fn literals_take_only_plain_numbers() {
        for (text, value) in [("0", 0.0), ("8080", 8080.0), ("-1.25", -1.25), ("8080.0", 8080.0)] {
            assert_eq!(number(text, Dialect::Literal), Some(value), "{text}");
        }
        for text in [
            "-0",
            "-0.0",
            "1e3",
            "0x10",
            "010",
            "1_000",
            "5.",
            ".5",
            "+1",
            "10n",
            "12345678901234567890",
            "NaN",
        ] {
            assert_eq!(number(text, Dialect::Literal), None, "{text}");
        }
    }
}
