//! Chooses level and form, once, at the start.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::format::{self, Format, Json, JsonFields};
use tracing_subscriber::fmt::layer;
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;
use tracing_subscriber::util::SubscriberInitExt;

use super::apps::{Apps, WithApp};
use super::journal::{self, Prioritized};
use super::levels::{Levels, ToListeners, ToStderr};
use super::listeners::Listeners;
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
    let stream = Stream::now();
    let journal = journal::reads_stderr().then_some(stream);
    let stderr = layer().with_writer(Stderr::new);
    let listeners =
        layer().with_writer(Listeners::new).fmt_fields(JsonFields::new()).event_format(WithApp(json()));
    let all = registry().with(Levels { stderr: level }).with(Apps).with(ToListeners(listeners));
    // A second installation (only tests do that) keeps the first.
    let _ = match output.log_format {
        LogFormat::Json => {
            let form = Prioritized { form: WithApp(json()), journal };
            let stderr = stderr.fmt_fields(JsonFields::new()).event_format(form);
            all.with(ToStderr { level, layer: stderr }).try_init()
        }
        LogFormat::Text => {
            let place = match journal {
                Some(_) => Place::Journal,
                None if is_colourful() => Place::Terminal,
                None => Place::Plain,
            };
            all.with(ToStderr { level, layer: stderr.event_format(Text { place, stream }) }).try_init()
        }
    };
}

/// The form for programs.
fn json() -> Format<Json, SystemTime> {
    let form = format::format().json().flatten_event(true).with_target(false).with_timer(SystemTime);
    form.with_current_span(false).with_span_list(false)
}

/// Colour on a terminal that knows it, unless the user objects (<https://no-color.org>).
fn is_colourful() -> bool {
    let objects = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    std::io::stderr().is_terminal() && !objects && !dumb
}
