//! A source text with its name: turns byte offsets into lines and columns, and shows the place with a caret.
//!
//! Invariant: every offset is accepted, even past the end or inside a character; the answer is then the
//! nearest place.

use std::ops::Range;

/// How much of a source line is shown; minified files have lines of many kilobytes.
const SHOWN: usize = 100;

/// A configuration file's text, decoded as Node does: no byte order mark, bad UTF-8 replaced.
#[derive(Debug, Clone)]
pub(super) struct SourceText {
    body: String,
}

/// A place for people: both numbers count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl SourceText {
    pub(super) fn decode(bytes: &[u8]) -> Self {
        let body = String::from_utf8_lossy(bytes);
        let body = body.strip_prefix('\u{feff}').unwrap_or(&body);
        Self { body: body.to_owned() }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.body
    }

    pub(super) fn position(&self, offset: usize) -> Position {
        let offset = self.floor(offset);
        let line_start = self.line_start(offset);
        Position {
            line: self.body[..line_start].matches('\n').count() + 1,
            column: self.body[line_start..offset].chars().count() + 1,
        }
    }

    /// The byte offset of a place counted from 1 by line and by *byte* column, as `serde_json` gives it.
    pub(super) fn offset(&self, line: usize, byte_column: usize) -> usize {
        let before: usize = self.body.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
        (before + byte_column.saturating_sub(1)).min(self.body.len())
    }

    /// The byte offset of a place counted from 1 by line and by character.
    pub(super) fn offset_of_character(&self, line: usize, column: usize) -> usize {
        let start = self.offset(line, 1);
        let before = self.body[start..].chars().take(column.saturating_sub(1)).map(char::len_utf8);
        start + before.sum::<usize>()
    }

    /// The source line with carets under the span, two text lines without an end of line.
    pub(super) fn excerpt(&self, span: Range<usize>) -> String {
        let start = self.floor(span.start);
        let line_start = self.line_start(start);
        let line_end = self.body[start..].find('\n').map_or(self.body.len(), |at| start + at);
        let line: Vec<char> = self.body[line_start..line_end].trim_end_matches('\r').chars().collect();
        let from = self.body[line_start..start].chars().count().min(line.len());
        let length = self.body[start..self.floor(span.end).clamp(start, line_end)].chars().count();

        let first = from.saturating_sub(SHOWN / 2);
        let last = line.len().min(first + SHOWN);
        let shown: String = line[first..last].iter().map(|&c| printable(c)).collect();
        // Tabs stay tabs, so that the caret lines up however wide the terminal makes them.
        let indent: String = line[first..from].iter().map(|&c| if c == '\t' { '\t' } else { ' ' }).collect();
        let carets = "^".repeat(length.min(last.saturating_sub(from)).max(1));
        let number = self.position(start).line.to_string();
        let gutter = " ".repeat(number.len());
        format!("  {number} | {shown}\n  {gutter} | {indent}{carets}")
    }

    fn floor(&self, offset: usize) -> usize {
        let mut offset = offset.min(self.body.len());
        while !self.body.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }

    fn line_start(&self, offset: usize) -> usize {
        self.body[..offset].rfind('\n').map_or(0, |at| at + 1)
    }
}

/// Control characters could redraw the user's terminal.
fn printable(c: char) -> char {
    if c.is_control() && c != '\t' { '\u{fffd}' } else { c }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_byte_order_mark_is_dropped_and_bad_bytes_are_replaced() {
        assert_eq!(SourceText::decode(b"\xef\xbb\xbf{}").as_str(), "{}");
        assert_eq!(SourceText::decode(b"\"\xff\"").as_str(), "\"\u{fffd}\"");
    }

    #[test]
    fn columns_count_characters() {
        let text = SourceText::decode("a\n  \"é\": 1".as_bytes());
        assert_eq!(text.position(text.as_str().find('1').unwrap()), Position { line: 2, column: 8 });
    }

    #[test]
    fn the_caret_is_under_the_value() {
        let text = SourceText::decode(b"{\r\n\t\"workers\": \"four\",\r\n}");
        let at = text.as_str().find("\"four\"").unwrap();
        assert_eq!(text.excerpt(at..at + 6), "  2 | \t\"workers\": \"four\",\n    | \t           ^^^^^^");
    }

    #[test]
    fn a_long_line_is_cropped_around_the_place() {
        let text = SourceText::decode(format!("{}X{}", "a".repeat(5000), "b".repeat(5000)).as_bytes());
        let excerpt = text.excerpt(5000..5001);
        assert!(excerpt.len() < 300, "{excerpt}");
        assert!(excerpt.contains('X'));
    }

    proptest! {
        #[test]
        fn any_offset_of_any_text_can_be_shown(body in "\\PC{0,40}[\n\r\t]{0,3}\\PC{0,40}", from in 0..200usize, length in 0..50usize) {
            let text = SourceText::decode(body.as_bytes());
            let _ = text.position(from);
            let _ = text.excerpt(from..from + length);
        }
    }
}
