//! Which events go where: to stderr those of the level that was asked for; to listeners those, and all from INFO on.
//!
//! Invariant: an event that goes nowhere costs a comparison.

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::listeners::is_listened;

/// Decides whether an event is made at all.
#[derive(Debug)]
pub(super) struct Levels {
    pub(super) stderr: LevelFilter,
}

/// What goes to stderr.
#[derive(Debug)]
pub(super) struct ToStderr<L> {
    pub(super) level: LevelFilter,
    pub(super) layer: L,
}

/// What goes to listeners.
#[derive(Debug)]
pub(super) struct ToListeners<L>(pub(super) L);

impl<S: Subscriber> Layer<S> for Levels {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if *metadata.level() <= self.stderr {
            Interest::always()
        } else if *metadata.level() <= LevelFilter::INFO {
            Interest::sometimes()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() <= self.stderr || *metadata.level() <= LevelFilter::INFO && is_listened()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.stderr.max(LevelFilter::INFO))
    }
}

impl<S: Subscriber, L: Layer<S>> Layer<S> for ToStderr<L> {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if *event.metadata().level() <= self.level {
            self.layer.on_event(event, context);
        }
    }
}

impl<S: Subscriber, L: Layer<S>> Layer<S> for ToListeners<L> {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if is_listened() {
            self.0.on_event(event, context);
        }
    }
}
