//! The form for people: time, level, sentence. Fields are for machines and left out; the sentence names them.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::apps;
use super::journal::priority;
use super::stream::Stream;

/// Writes a log line for people.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) place: Place,
    /// The stderr these are for; another one is a log file, which stamps its lines itself.
    pub(super) stream: Stream,
}

/// What the lines are written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A terminal that shows colour.
    Terminal,
    /// systemd's journal.
    Journal,
    /// Anything else.
    Plain,
    /// One of our log files.
    LogFile,
}

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = *event.metadata().level();
        let place = if Stream::now() == self.stream { self.place } else { Place::LogFile };
        let mut sentence = Sentence(String::new());
        event.record(&mut sentence);
        if let Some(app) = apps::current(context) {
            sentence.0.insert_str(0, &format!("{app}: "));
        }
        match place {
            Place::Terminal => {
                SystemTime.format_time(&mut writer)?;
                writeln!(writer, " \x1b[{}m{level:>5}\x1b[0m {}", ansi(level), sentence.0)
            }
            Place::Plain => {
                SystemTime.format_time(&mut writer)?;
                writeln!(writer, " {level:>5} {}", sentence.0)
            }
            Place::LogFile => writeln!(writer, "{level:>5} {}", sentence.0),
            // Each line is an entry of its own there.
            Place::Journal => {
                sentence.0.lines().try_for_each(|line| writeln!(writer, "{}{line}", priority(level)))
            }
        }
    }
}

const fn ansi(level: Level) -> &'static str {
    match level {
        Level::ERROR => "31",
        Level::WARN => "33",
        Level::INFO => "32",
        Level::DEBUG | Level::TRACE => "2",
    }
}

/// What an event says to people.
struct Sentence(String);

impl Visit for Sentence {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
