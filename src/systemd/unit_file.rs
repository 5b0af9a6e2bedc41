//! The text of a unit: sections, settings, comments, and how systemd wants paths and words to be written.
//!
//! Invariant: whatever a value has in it, systemd reads back just that value; what cannot be written so is an error.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::Path;

use thiserror::Error;

/// How long a comment's lines are at most.
const WIDTH: usize = 100;

/// A value that no unit can have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{key}= of a unit cannot hold {value:?}: {reason}; give it another name")]
pub struct Unwritable {
    key: &'static str,
    value: String,
    reason: &'static str,
}

/// A unit, as far as it is written.
#[derive(Debug, Default)]
pub struct UnitFile(String);

impl UnitFile {
    /// Begins a section.
    pub fn section(&mut self, name: &str) {
        let gap = if self.0.is_empty() { "" } else { "\n" };
        let _ = writeln!(self.0, "{gap}[{name}]");
    }

    /// Says why what follows is as it is.
    pub fn comment(&mut self, text: &str) {
        let mut line = String::from("#");
        for word in text.split_whitespace() {
            if line.len() + 1 + word.len() > WIDTH {
                let _ = writeln!(self.0, "{line}");
                line = String::from("#");
            }
            let _ = write!(line, " {word}");
        }
        let _ = writeln!(self.0, "{line}");
    }

    /// A setting whose value is plain.
    pub fn set(&mut self, key: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{key}={value}");
    }

    /// A setting that is text for people, or one path and nothing else.
    ///
    /// # Errors
    /// There is no way to write it.
    pub fn text(&mut self, key: &'static str, value: &OsStr) -> Result<(), Unwritable> {
        let text = writable(key, value)?;
        if text.trim() != text || text.ends_with('\\') {
            let reason = "it begins or ends with a blank, or ends with a backslash";
            return Err(Unwritable { key, value: text.to_owned(), reason });
        }
        self.set(key, text.replace('%', "%%"));
        Ok(())
    }

    /// A setting that is several words, each perhaps with a mark of systemd's in front; variables are not expanded in them.
    ///
    /// # Errors
    /// There is no way to write one of them.
    pub fn words<'a>(
        &mut self,
        key: &'static str,
        words: impl IntoIterator<Item = (&'static str, &'a OsStr)>,
    ) -> Result<(), Unwritable> {
        let words = words.into_iter().map(|(mark, word)| Ok(quoted(mark, writable(key, word)?)));
        let words: Vec<_> = words.collect::<Result<_, _>>()?;
        self.set(key, words.join(" "));
        Ok(())
    }

    /// A command: the program, and its arguments, in which systemd would expand variables.
    ///
    /// # Errors
    /// There is no way to write one of them.
    pub fn command(
        &mut self,
        key: &'static str,
        program: &Path,
        arguments: &[&OsStr],
    ) -> Result<(), Unwritable> {
        let program = quoted("", writable(key, program.as_os_str())?);
        let argument = |word: &&OsStr| Ok(quoted("", &writable(key, word)?.replace('$', "$$")));
        let arguments: Vec<_> = arguments.iter().map(argument).collect::<Result<_, _>>()?;
        let words: Vec<_> = std::iter::once(program).chain(arguments).collect();
        self.set(key, words.join(" "));
        Ok(())
    }

    /// The whole text.
    #[must_use]
    pub fn into_text(self) -> String {
        self.0
    }
}

/// Nothing that would end a line, or that systemd refuses.
fn writable<'a>(key: &'static str, value: &'a OsStr) -> Result<&'a str, Unwritable> {
    let unwritable = |reason| Unwritable { key, value: value.to_string_lossy().into_owned(), reason };
    let text = value.to_str().ok_or_else(|| unwritable("it is not UTF-8"))?;
    match text.chars().any(char::is_control) {
        true => Err(unwritable("it has a line end or another control character in it")),
        false => Ok(text),
    }
}

/// One word, in quotes if it needs them.
fn quoted(mark: &str, word: &str) -> String {
    let text = format!("{mark}{}", word.replace('%', "%%"));
    let is_plain = |character: char| character.is_alphanumeric() || "/._-=:,@+%$~".contains(character);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text;
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_systemd_would_read_otherwise_is_escaped() {
        let mut unit = UnitFile::default();
        unit.section("Service");
        unit.text("WorkingDirectory", OsStr::new("/srv/100% of it")).expect("it can be");
        let words =
            ["plain", "a b", "$HOME", "50%", "say \"hi\"", "back\\slash", "", ";", "'"].map(OsStr::new);
        unit.command("ExecStart", Path::new("/opt/my $app/luster"), &words).expect("it can be");
        unit.words("ReadWritePaths", [("-", OsStr::new("/var/log/a b")), ("", OsStr::new("/x"))])
            .expect("it can be");
        assert_eq!(
            unit.into_text(),
            "[Service]\nWorkingDirectory=/srv/100%% of it\n\
             ExecStart=\"/opt/my $app/luster\" plain \"a b\" $$HOME 50%% \"say \\\"hi\\\"\" \"back\\\\slash\" \"\" \";\" \"'\"\n\
             ReadWritePaths=\"-/var/log/a b\" /x\n"
        );
    }

    #[test]
    fn what_cannot_be_written_is_told() {
        let mut unit = UnitFile::default();
        for path in ["/a\nb", "/a ", "/a\\", "/a\tb"] {
            assert!(unit.text("WorkingDirectory", OsStr::new(path)).is_err(), "{path:?}");
        }
        let error = unit.command("ExecStart", Path::new("/a\nb"), &[]).expect_err("a line end");
        assert_eq!(
            error.to_string(),
            "ExecStart= of a unit cannot hold \"/a\\nb\": it has a line end or another control character in it; give it another name"
        );
    }

    #[test]
    fn comments_are_broken_between_words() {
        let mut unit = UnitFile::default();
        unit.comment(&"word ".repeat(50));
        let text = unit.into_text();
        assert!(text.lines().all(|line| line.starts_with("# word") && line.len() <= WIDTH), "{text}");
        assert_eq!(text.matches("word").count(), 50);
    }
}
