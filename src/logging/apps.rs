//! Whose a log line is, where there are several apps: it is told within a span that names the app.
//!
//! Invariant: a line that is told outside of such a span is written as if there were none.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// The app a span is about.
#[derive(Debug)]
struct AppName(String);

impl Visit for AppName {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "app" {
            value.clone_into(&mut self.0);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// Keeps the app's name with each span.
#[derive(Debug)]
pub(super) struct Apps;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Apps {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut app = AppName(String::new());
        attributes.record(&mut app);
        span.extensions_mut().insert(app);
    }
}

/// The app that is spoken of.
pub(super) fn current<S, N>(context: &FmtContext<'_, S, N>) -> Option<String>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    let span = context.lookup_current()?;
    let app = span.extensions().get::<AppName>().map(|app| app.0.clone());
    app.filter(|app| !app.is_empty())
}

/// JSON objects, with the app.
#[derive(Debug)]
pub(super) struct WithApp<F>(pub(super) F);

impl<S, N, F> FormatEvent<S, N> for WithApp<F>
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
        let Some(app) = current(context) else { return self.0.format_event(context, writer, event) };
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        // A name needs no escapes: `config/apps.rs` sees to that.
        let end = line.rfind('}').unwrap_or(line.len());
        write!(writer, "{},\"app\":\"{app}\"{}", &line[..end], &line[end..])
    }
}
