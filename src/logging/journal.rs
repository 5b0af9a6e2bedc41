//! systemd's journal as what reads stderr: it wants each line's priority, and has a time of its own.
//!
//! Sources: systemd.exec(5) on `JOURNAL_STREAM`, sd-daemon(3) on priorities.

use std::fmt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::stream::Stream;

/// Whether stderr goes straight to the journal: the variable alone is inherited by whoever redirects stderr, too.
pub(crate) fn reads_stderr() -> bool {
    let named = std::env::var("JOURNAL_STREAM").ok();
    named.as_deref().and_then(Stream::named).is_some_and(|journal| journal == Stream::now())
}

/// What goes before a line of this level.
pub(super) const fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        Level::DEBUG | Level::TRACE => "<7>",
    }
}

/// Lines of another form, with priorities; `None` for a stderr that is not the journal's.
#[derive(Debug)]
pub(super) struct Prioritized<F> {
    pub(super) form: F,
    pub(super) journal: Option<Stream>,
}

impl<S, N, F> FormatEvent<S, N> for Prioritized<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        // What goes to a log file by now is none of the journal's.
        if self.journal.is_some_and(|journal| journal == Stream::now()) {
            writer.write_str(priority(*event.metadata().level()))?;
        }
        self.form.format_event(context, writer, event)
    }
}
