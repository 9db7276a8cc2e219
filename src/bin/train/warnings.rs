//! Warnings of the library, shown in the format of this program's messages.

use std::fmt::{Debug, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// Warnings, except those of a schedule about changes: this program lists all changes itself. Of data that is counted for
/// long, its progress too.
const SHOWN: &str = "warn,rekindle::schedule=error,rekindle::data::stream=info";

/// Shows warnings through `say` from now on; the environment variable RUST_LOG selects other events.
pub fn show(say: impl Fn(&str) + Send + Sync + 'static) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(SHOWN));
    tracing_subscriber::registry().with(Lines(say).with_filter(filter)).init();
}

/// Formats each event as a line: `warning: …`.
struct Lines<F>(F);

impl<S: Subscriber, F: Fn(&str) + 'static> Layer<S> for Lines<F> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut message = Message::default();
        event.record(&mut message);
        let kind = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warning",
            Level::INFO => "note",
            Level::DEBUG => "debug",
            Level::TRACE => "trace",
        };
        (self.0)(&format!("{kind}: {}{}", message.text, message.fields));
    }
}

/// The sentence of an event, and its other fields.
#[derive(Default)]
struct Message {
    text: String,
    fields: String,
}

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a String does not fail.
        let _ = match field.name() {
            "message" => write!(self.text, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
