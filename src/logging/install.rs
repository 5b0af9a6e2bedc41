//! Chooses level and form, once, at the start.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::time::SystemTime;

use super::sink::Stderr;
use super::stream::Stream;
use super::text::{Colour, Stamp, Text};
use crate::cli::{LogFormat, Output};

/// Sends log lines to stderr from now on. Only the first call counts.
pub(crate) fn install(output: &Output) {
    let level = match (output.verbose, output.quiet) {
        (0, 0) => LevelFilter::INFO,
        (0, 1) => LevelFilter::WARN,
        (0, _) => LevelFilter::ERROR,
        (1, _) => LevelFilter::DEBUG,
        (_, _) => LevelFilter::TRACE,
    };
    let builder = tracing_subscriber::fmt().with_max_level(level).with_writer(Stderr::new);
    // A second installation (only tests do that) keeps the first.
    let _ = match output.log_format {
        LogFormat::Json => {
            let json = builder.json().flatten_event(true).with_target(false).with_timer(SystemTime);
            json.with_current_span(false).with_span_list(false).try_init()
        }
        LogFormat::Text => {
            builder.event_format(Text { colour: colour(), stamp: stamp(), stream: Stream::now() }).try_init()
        }
    };
}

/// Colour on a terminal that knows it, unless the user objects (<https://no-color.org>).
fn colour() -> Colour {
    let objects = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    if std::io::stderr().is_terminal() && !objects && !dumb { Colour::Ansi } else { Colour::None }
}

/// systemd's journal has its own time for each line (`JOURNAL_STREAM`, systemd.exec(5)).
fn stamp() -> Stamp {
    if std::env::var_os("JOURNAL_STREAM").is_some() { Stamp::None } else { Stamp::Utc }
}
