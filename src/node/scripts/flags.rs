//! Node's flags as they reach a Node: from its command line and from `NODE_OPTIONS`.

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::Path;

/// The flags a Node is started with.
#[derive(Debug, Clone)]
pub struct NodeFlags {
    /// In the order Node takes them: the variable's first, so that the command line has the last word.
    words: Vec<String>,
}

impl NodeFlags {
    /// Those of this command line and this value of `NODE_OPTIONS`.
    #[must_use]
    pub fn new(args: &[OsString], options: Option<&str>) -> Self {
        let mut words = options.map(split).unwrap_or_default();
        words.extend(args.iter().map(|arg| arg.to_string_lossy()).map(Cow::into_owned));
        Self { words }
    }

    /// Those of this command line in this process's environment.
    #[must_use]
    pub fn from_environment(args: &[OsString]) -> Self {
        Self::new(args, std::env::var("NODE_OPTIONS").ok().as_deref())
    }

    /// Whether one of these is there, with or without a value.
    #[must_use]
    pub fn has_any(&self, names: &[&str]) -> bool {
        self.last(names).is_some()
    }

    /// The one of these that has the last word, with its `=value`.
    #[must_use]
    pub fn last(&self, names: &[&str]) -> Option<&str> {
        let is_one = |word: &str| names.contains(&word.split('=').next().unwrap_or_default());
        self.words.iter().rev().map(String::as_str).find(|word| is_one(word))
    }

    /// Whether Node restricts what the process may do. Then it has to be told that it may read what is ours.
    #[must_use]
    pub fn has_permissions(&self) -> bool {
        self.has_any(&["--permission", "--experimental-permission"])
    }

    /// Whether something may change how Node finds modules, as TypeScript's compilers and Plug'n'Play do.
    #[must_use]
    pub fn has_resolvers(&self) -> bool {
        self.has_any(&[
            "-r",
            "--require",
            "--import",
            "--loader",
            "--experimental-loader",
            "--preserve-symlinks",
            "--preserve-symlinks-main",
            "--experimental-config-file",
            "--experimental-default-config-file",
        ])
    }
}

/// The flag that lets a Node with restricted rights read this file.
#[must_use]
pub fn readable_arg(file: &Path) -> OsString {
    let mut flag = OsString::from("--allow-fs-read=");
    flag.push(file);
    flag
}

/// The words of `NODE_OPTIONS`, which may be quoted: <https://nodejs.org/api/cli.html#node_optionsoptions>.
fn split(options: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut is_quoted = false;
    let mut letters = options.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            '\\' if is_quoted => word.get_or_insert_default().extend(letters.next()),
            letter if letter.is_whitespace() && !is_quoted => words.extend(word.take()),
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(args: &[&str], options: &str) -> NodeFlags {
        NodeFlags::new(&args.iter().map(OsString::from).collect::<Vec<_>>(), Some(options))
    }

    #[test]
    fn both_sources_count_and_the_command_line_has_the_last_word() {
        let flags = flags(&["--inspect=9300", "--permission"], "--inspect=9400 -r ts-node/register");
        assert_eq!(flags.last(&["--inspect"]), Some("--inspect=9300"));
        assert!(flags.has_permissions() && flags.has_resolvers());
        assert!(!flags.has_any(&["--inspect-brk"]));
    }

    #[test]
    fn words_in_quotes_are_one() {
        assert_eq!(
            split(r#"--require "./a b.js"  --title="x \"y\" \\z" "#),
            ["--require", "./a b.js", r#"--title=x "y" \z"#]
        );
        assert!(split("  ").is_empty());
    }
}
