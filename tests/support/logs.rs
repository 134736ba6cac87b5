//! The log lines of this process, kept.
//!
//! There is one receiver per process and a router does not say its name, so a story tells its lines from those of the
//! stories beside it by what is in them: its hosts and addresses are its own.

use std::{
    io::{self, Write},
    sync::{Mutex, OnceLock},
};

use serde_json::Value;
use tracing_subscriber::layer::SubscriberExt;
use trueroute::observe::log::{self, Guard};
use trueroute_testkit::eventually;

use super::{PATIENCE, Reach};

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// One line of a log.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LogLine(pub(crate) Value);

struct Keep;

impl Write for Keep {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.lock().expect("no holder panics").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps every line from now on. May be called again.
pub(super) fn keep() {
    static GUARD: OnceLock<Mutex<Guard>> = OnceLock::new();
    GUARD.get_or_init(|| {
        let (layer, guard) = log::layer(log::Settings::default(), Keep).expect("a thread can be started");
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::set_global_default(subscriber).expect("nobody else keeps the log");
        Mutex::new(guard)
    });
}

/// The lines of `text` that are whole; panics on one that is no JSON.
pub(super) fn parse(text: &str) -> Vec<LogLine> {
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.map(|line| LogLine(serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line:?}")))).collect()
}

impl LogLine {
    /// The message.
    pub(crate) fn message(&self) -> &str {
        self.0["message"].as_str().unwrap_or_default()
    }

    /// A field of `data`; null if it is not there.
    pub(crate) fn field(&self, name: &str) -> &Value {
        &self.0["data"][name]
    }

    /// Whether any of its text holds `needle`.
    pub(crate) fn mentions(&self, needle: &str) -> bool {
        self.0.to_string().contains(needle)
    }
}

impl Reach {
    /// The lines of this process with this message that mention `needle`, written by now. Nothing of a
    /// [`super::RouterProcess`] is here: it keeps its own.
    pub(crate) fn logged(&self, message: &str, needle: &str) -> Vec<LogLine> {
        let text = String::from_utf8(LINES.lock().expect("no holder panics").clone()).expect("the log is UTF-8");
        let near = text.split_inclusive('\n').filter(|line| line.contains(message) && line.contains(needle));
        let lines: String = near.collect();
        parse(&lines).into_iter().filter(|line| line.message() == message).collect()
    }

    /// Waits for such a line and gives the first.
    pub(crate) async fn log_line(&self, message: &str, needle: &str) -> LogLine {
        eventually(PATIENCE, async || !self.logged(message, needle).is_empty()).await;
        self.logged(message, needle).remove(0)
    }
}
