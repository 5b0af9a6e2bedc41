//! The form for people: time, level, sentence. Fields are for machines and left out; the sentence names them.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::stream::Stream;

/// Writes a log line for people.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) colour: Colour,
    pub(super) stamp: Stamp,
    /// The stderr these are for; on another one lines are plain.
    pub(super) stream: Stream,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    Ansi,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stamp {
    Utc,
    None,
}

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let (colour, stamp) = match Stream::now() == self.stream {
            true => (self.colour, self.stamp),
            false => (Colour::None, Stamp::None),
        };
        if stamp == Stamp::Utc {
            SystemTime.format_time(&mut writer)?;
            writer.write_char(' ')?;
        }
        let level = *event.metadata().level();
        match colour {
            Colour::Ansi => write!(writer, "\x1b[{}m{level:>5}\x1b[0m ", ansi(level))?,
            Colour::None => write!(writer, "{level:>5} ")?,
        }
        event.record(&mut Message(&mut writer));
        writeln!(writer)
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

struct Message<'a, 'w>(&'a mut Writer<'w>);

impl Visit for Message<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // The writer is a buffer in memory.
            let _ = write!(self.0, "{value:?}");
        }
    }
}
