//! Turns what somebody prints into lines for a log: a stamp, a mark, the text.
//!
//! Invariants: a line is whole or longer than [`LONGEST`]; bytes are passed on as they are, whatever they mean.

/// Longer lines are broken, so that nobody's unfinished line is kept without bound. In bytes.
const LONGEST: usize = 64 << 10;

/// One printer's output on its way into lines.
#[derive(Debug)]
pub(super) struct Lines {
    mark: String,
    /// What becomes of lines that are JSON objects.
    objects: Objects,
    /// What was printed since the last line feed.
    unfinished: Vec<u8>,
}

/// What becomes of lines that are JSON objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objects {
    /// They are stamped and marked as every line.
    Marked,
    /// They stay as they are, for a program to read.
    Untouched,
}

impl Lines {
    /// Lines that are marked as this printer's, such as `[work:1]`.
    pub(super) const fn marked(mark: String, objects: Objects) -> Self {
        Self { mark, objects, unfinished: Vec::new() }
    }

    pub(super) const fn has_unfinished(&self) -> bool {
        !self.unfinished.is_empty()
    }

    /// Appends the lines that are finished by these bytes.
    pub(super) fn take(&mut self, mut bytes: &[u8], stamp: &str, out: &mut Vec<u8>) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            self.write(&bytes[..end], stamp, out);
            bytes = &bytes[end + 1..];
        }
        self.unfinished.extend_from_slice(bytes);
        if self.unfinished.len() >= LONGEST {
            self.finish(stamp, out);
        }
    }

    /// Appends the unfinished line, if there is one.
    pub(super) fn finish(&mut self, stamp: &str, out: &mut Vec<u8>) {
        if self.has_unfinished() {
            self.write(b"", stamp, out);
        }
    }

    fn write(&mut self, rest: &[u8], stamp: &str, out: &mut Vec<u8>) {
        if self.objects == Objects::Untouched && self.is_object(rest) {
            for part in [self.unfinished.as_slice(), rest, b"\n"] {
                out.extend_from_slice(part);
            }
            self.unfinished.clear();
            return;
        }
        for part in [stamp.as_bytes(), b" ", self.mark.as_bytes(), b" ", &self.unfinished, rest, b"\n"] {
            out.extend_from_slice(part);
        }
        self.unfinished.clear();
    }

    /// Whether the line has the form of an object: it is not worth parsing it.
    fn is_object(&self, rest: &[u8]) -> bool {
        let first = self.unfinished.first().or(rest.first());
        let last = rest.last().or(self.unfinished.last());
        first == Some(&b'{') && last == Some(&b'}')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(pieces: &[&str]) -> (String, Lines) {
        let (mut lines, mut out) = (Lines::marked("[work:1]".into(), Objects::Marked), Vec::new());
        for piece in pieces {
            lines.take(piece.as_bytes(), "T", &mut out);
        }
        (String::from_utf8(out).unwrap(), lines)
    }

    #[test]
    fn lines_are_whole_whatever_pieces_they_come_in() {
        let expected = "T [work:1] one\nT [work:1] \nT [work:1] two\n";
        assert_eq!(made(&["one\n\ntwo\n"]).0, expected);
        assert_eq!(made(&["o", "ne", "\n\nt", "wo", "\n"]).0, expected);
    }

    #[test]
    fn an_unfinished_line_waits_until_it_is_asked_for_or_too_long() {
        let (out, mut lines) = made(&["prompt> "]);
        assert_eq!(out, "");
        let mut rest = Vec::new();
        lines.finish("T", &mut rest);
        lines.finish("T", &mut rest);
        assert_eq!(rest, b"T [work:1] prompt> \n");
        let (out, lines) = made(&[&"x".repeat(LONGEST), "y"]);
        assert_eq!(out.len(), "T [work:1] \n".len() + LONGEST);
        assert!(lines.has_unfinished());
    }

    #[test]
    fn objects_stay_as_they_are_where_that_is_wanted() {
        let (mut lines, mut out) = (Lines::marked("[m]".into(), Objects::Untouched), Vec::new());
        lines.take(b"{\"a\":1}\n{\"b\":", "T", &mut out);
        lines.take(b"2}\n{ no\nend }\n\n", "T", &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"a\":1}\n{\"b\":2}\nT [m] { no\nT [m] end }\nT [m] \n"
        );
    }

    #[test]
    fn bytes_that_are_no_text_stay_as_they_are() {
        let (mut lines, mut out) = (Lines::marked("[m]".into(), Objects::Marked), Vec::new());
        lines.take(b"\xff\xfe\r\n", "T", &mut out);
        assert_eq!(out, b"T [m] \xff\xfe\r\n");
    }
}
