//! The arguments of the commands for a luster that runs.
//!
//! Invariant: nothing is looked up here; a word that is a number is a worker's, any other is an app's name or CONFIG.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

/// Which luster is meant.
#[derive(Debug, Args)]
pub(crate) struct Whom {
    /// The one that listens on this socket
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// The one that is this process
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) pid: Option<i32>,
    /// The one that was started with this --name
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Prints JSON, as the control socket gives it
    #[arg(long)]
    pub(crate) json: bool,
}

/// How long a command waits for what comes of it.
#[derive(Debug, Args)]
pub(crate) struct Waiting {
    /// The app that is meant, where the configuration has several [default: all]
    #[arg(long)]
    pub(crate) app: Option<String>,
    /// Does not wait for what comes of it
    #[arg(long, conflicts_with = "timeout")]
    pub(crate) no_wait: bool,
    /// Waits so long at most; what was asked for goes on
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
}

/// `luster status`.
#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) whom: Whom,
    /// The configuration it runs [default: luster.conf, or the only one that runs]
    pub(crate) config: Option<PathBuf>,
    /// Shows it again every second, until it ends or Ctrl-C
    #[arg(long)]
    pub(crate) watch: bool,
}

/// `luster events`.
#[derive(Debug, Args)]
pub(crate) struct Look {
    #[command(flatten)]
    pub(crate) whom: Whom,
    /// The configuration it runs [default: luster.conf, or the only one that runs]
    pub(crate) config: Option<PathBuf>,
}

/// `luster list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Prints JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Only those that run this configuration
    pub(crate) config: Option<PathBuf>,
}

/// `luster reload`.
#[derive(Debug, Args)]
pub(crate) struct Reload {
    #[command(flatten)]
    pub(crate) whom: Whom,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
    /// The configuration it runs [default: luster.conf, or the only one that runs]
    pub(crate) config: Option<PathBuf>,
}

/// `luster scale`.
#[derive(Debug, Args)]
pub(crate) struct Scale {
    #[command(flatten)]
    pub(crate) whom: Whom,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
    /// How many workers there are to be: 4; or how many more or fewer: +1, -1
    #[arg(value_name = "N", allow_negative_numbers = true, value_parser = size)]
    pub(crate) size: Size,
    /// The configuration it runs [default: luster.conf, or the only one that runs]
    pub(crate) config: Option<PathBuf>,
}

/// `luster restart`, `stop`, `start`, `revive`.
#[derive(Debug, Args)]
pub(crate) struct Workers {
    #[command(flatten)]
    pub(crate) whom: Whom,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
    /// Workers' numbers or an app [default: all], and the configuration luster runs [default: luster.conf, or the only one that runs]
    #[arg(value_name = "WID|APP|APP/WID|CONFIG")]
    words: Vec<OsString>,
    /// Those of the words that are numbers.
    #[arg(skip)]
    pub(crate) wids: Vec<u32>,
    /// The one that is not.
    #[arg(skip)]
    pub(crate) config: Option<PathBuf>,
}

/// How many workers are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// So many.
    Count(i64),
    /// So many more, or fewer.
    Change(i64),
}

impl Workers {
    /// Tells apps, workers' numbers and CONFIG apart: `APP/WID` is a worker of an app, and of two words the first is an app.
    pub(super) fn sort(&mut self) -> Result<(), String> {
        for word in std::mem::take(&mut self.words) {
            let text = word.to_str().unwrap_or_default();
            let (app, number) = match text.split_once('/') {
                Some((app, number)) if is_number(number) && is_plain(app) => (Some(app.to_owned()), number),
                Some(_) | None => (None, text),
            };
            if is_number(number) {
                let wid = number.parse().map_err(|_| format!("{} is no worker's number", word.display()))?;
                self.wids.push(wid);
                app.map_or(Ok(()), |app| self.mean(app))?;
            } else if word.is_empty() {
                return Err("CONFIG is empty".to_owned());
            } else if let Some(first) = self.config.replace(PathBuf::from(&word)) {
                match first.to_str().filter(|first| is_plain(first) && self.waiting.app.is_none()) {
                    Some(app) => self.mean(app.to_owned())?,
                    None => {
                        let (first, second) = (first.display(), word.display());
                        return Err(format!(
                            "{first} and {second} cannot both be CONFIG; workers have numbers"
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    fn mean(&mut self, app: String) -> Result<(), String> {
        match self.waiting.app.replace(app.clone()) {
            Some(other) if other != app => {
                Err(format!("{other} and {app} are two apps; one command is about one of them, or about all"))
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a word could be an app's name, as it is neither a path nor a file with an ending.
pub(crate) fn is_plain(word: &str) -> bool {
    word.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

fn seconds(text: &str) -> Result<Duration, String> {
    /// What is beyond a century is as good as no limit, and clocks cannot count to it.
    const CENTURY: f64 = 100.0 * 365.0 * 86_400.0;
    let seconds = text.parse().ok().filter(|seconds: &f64| *seconds > 0.0 && seconds.is_finite());
    seconds
        .map(|seconds| Duration::from_secs_f64(seconds.min(CENTURY)))
        .ok_or_else(|| "it takes seconds, such as 30 or 0.5".to_owned())
}

fn size(text: &str) -> Result<Size, String> {
    let number = text.parse().map_err(|_| {
        "it takes a number of workers, such as 4, or how many more or fewer, such as +1 or -1".to_owned()
    })?;
    Ok(if text.starts_with(['+', '-']) { Size::Change(number) } else { Size::Count(number) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_seconds_are_what_they_look_like() {
        assert_eq!(size("4"), Ok(Size::Count(4)));
        assert_eq!(size("+1"), Ok(Size::Change(1)));
        assert_eq!(size("-2"), Ok(Size::Change(-2)));
        assert!(size("four").is_err() && size("").is_err() && size("1.5").is_err());
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert!(seconds("1e300").is_ok_and(|long| long.as_secs() < u64::from(u32::MAX)));
        for text in ["0", "-1", "NaN", "inf", "soon", ""] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
