//! Chooses level and form, once, at the start.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::format;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::fmt::time::SystemTime;

use super::journal::{self, Prioritized};
use super::sink::Stderr;
use super::stream::Stream;
use super::text::{Place, Text};
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
    let stream = Stream::now();
    let journal = journal::reads_stderr().then_some(stream);
    let _ = match output.log_format {
        LogFormat::Json => {
            let form = format().json().flatten_event(true).with_target(false).with_timer(SystemTime);
            let form = form.with_current_span(false).with_span_list(false);
            builder.fmt_fields(JsonFields::new()).event_format(Prioritized { form, journal }).try_init()
        }
        LogFormat::Text => {
            let place = match journal {
                Some(_) => Place::Journal,
                None if is_colourful() => Place::Terminal,
                None => Place::Plain,
            };
            builder.event_format(Text { place, stream }).try_init()
        }
    };
}

/// Colour on a terminal that knows it, unless the user objects (<https://no-color.org>).
fn is_colourful() -> bool {
    let objects = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    std::io::stderr().is_terminal() && !objects && !dumb
}
