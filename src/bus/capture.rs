//! For tests: what is logged on this thread.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    subscriber::DefaultGuard,
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
};

/// One log line.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) level: Level,
    pub(crate) target: &'static str,
    pub(crate) message: String,
    pub(crate) data: serde_json::Value,
}

/// Collects log lines while it lives.
pub(crate) struct Capture {
    lines: Arc<Mutex<Vec<Line>>>,
    _guard: DefaultGuard,
}

impl Capture {
    pub(crate) fn start() -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let subscriber = tracing_subscriber::registry().with(Collect(Arc::clone(&lines)));
        Self { lines, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// The lines since the last call.
    pub(crate) fn lines(&self) -> Vec<Line> {
        std::mem::take(&mut self.lines.lock().unwrap())
    }

    /// `LEVEL target: message` of every line since the last call.
    pub(crate) fn heads(&self) -> Vec<String> {
        let head = |line: &Line| format!("{} {}: {}", line.level, line.target, line.message);
        self.lines().iter().map(head).collect()
    }
}

struct Collect(Arc<Mutex<Vec<Line>>>);

impl<S: Subscriber> Layer<S> for Collect {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let meta = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let data = serde_json::from_str(&fields.data).unwrap_or_default();
        let line = Line { level: *meta.level(), target: meta.target(), message: fields.message, data };
        self.0.lock().unwrap().push(line);
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    data: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "data" => self.data = format!("{value:?}"),
            _ => {}
        }
    }
}
