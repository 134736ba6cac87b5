//! The access log: one line per exchange, in Gorouter's form (gorouter.md §9).
//!
//! A worker formats into a buffer of its own and hands whole batches to one writer thread. Nothing waits for the
//! disk: batches that find the queue full are dropped and counted.

mod aborted;
mod fields;
mod file;
mod format;
pub mod syslog;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};
use thiserror::Error;

pub use self::aborted::Aborted;
pub use self::fields::{Cost, Extra, Fields, Privacy, Redact};
use self::file::LogFile;
pub(super) use self::format::Formatter;
use self::syslog::{Sender, Syslog};
use super::spool::{self, DropCount, Spool, Writer};

/// A worker's buffer is handed over once it is longer than this.
const BATCH: usize = 32 * 1024;

/// Bytes that may wait for the disk: some seconds of lines.
const QUEUE: usize = 32 * 1024 * 1024;

/// What one line tells. Text that is empty prints as `"-"`; bytes are printed as they came, quoted as Go quotes
/// them, so nothing from the wire can end a line or a field.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The Host header as received, port included; the one field that is not quoted. Empty prints nothing.
    pub host: &'a [u8],
    /// When the request was received.
    pub received: SystemTime,
    /// The request's method.
    pub method: &'a str,
    /// The request's target in origin form.
    pub target: &'a [u8],
    /// `HTTP/1.1`, `HTTP/1.0` or `HTTP/2.0`.
    pub protocol: &'a str,
    /// The response's status, if one was sent.
    pub status: Option<u16>,
    /// Bytes of the request's body that were read.
    pub request_bytes: u64,
    /// Bytes of the response's body that were sent.
    pub response_bytes: u64,
    /// Referer.
    pub referer: &'a [u8],
    /// User-Agent.
    pub user_agent: &'a [u8],
    /// The client's address, `ip:port`.
    pub remote_addr: &'a str,
    /// The last endpoint's address, `ip:port`; empty when none was chosen.
    pub backend_addr: &'a str,
    /// X-Forwarded-For as sent to the endpoint once proxied, else as received.
    pub x_forwarded_for: &'a [u8],
    /// X-Forwarded-Proto, likewise.
    pub x_forwarded_proto: &'a [u8],
    /// X-Vcap-Request-Id.
    pub request_id: &'a [u8],
    /// From receipt to the end.
    pub response_time: Option<Duration>,
    /// The router's own part of it; zero when nothing was proxied.
    pub gorouter_time: Option<Duration>,
    /// The endpoint's app.
    pub app_id: &'a str,
    /// The endpoint's index.
    pub app_index: &'a str,
    /// The endpoint's instance id.
    pub instance_id: &'a str,
    /// X-Cf-RouterError of the response.
    pub router_error: &'a [u8],
    /// What the attempts cost; none where there was none.
    pub cost: Option<&'a Cost>,
    /// The request's fields, for those that are logged by name.
    pub headers: &'a HeaderMap,
    /// Those that it had before its `Connection` was obeyed, likewise.
    pub removed: &'a [(HeaderName, HeaderValue)],
    /// How it ended, if it was not finished; a line that says so ends with it.
    pub aborted: Option<Aborted>,
}

/// Appends the line for `entry`, line end included.
///
/// For one line; who writes many uses a [`Sink`], which remembers the last second's text.
pub fn format(entry: &Entry<'_>, out: &mut Vec<u8>) {
    Formatter::default().line(entry, out);
}

/// The access log can't be written to.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Its file.
    #[error("access log {}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The system gives no thread.
    #[error("access log: {0}")]
    Thread(#[source] io::Error),
}

/// The access log of the process. Dropping it writes what was handed over and ends its threads.
#[derive(Debug, Default)]
pub struct AccessLog {
    /// One per place that lines go to.
    spools: Vec<Spool>,
    writers: Vec<Writer>,
    fields: Arc<Fields>,
}

impl AccessLog {
    /// A log whose lines go nowhere yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends to the file at `path` as well, made with mode 0644 if it is not there, and again if it is moved away.
    ///
    /// # Errors
    ///
    /// [`OpenError`] names the path.
    pub fn file(self, path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let file = LogFile::open(path).map_err(|cause| OpenError::File { path: path.into(), cause })?;
        self.to("access-log", file)
    }

    /// Whether [`AccessLog::file`] would open `path`, as far as that shows without making or changing anything.
    ///
    /// # Errors
    ///
    /// [`OpenError`] names the path.
    pub fn check(path: impl AsRef<Path>) -> Result<(), OpenError> {
        let path = path.as_ref();
        LogFile::check(path).map_err(|cause| OpenError::File { path: path.into(), cause })
    }

    /// Sends to a syslog server as well. One that is away is tried again and again.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub fn syslog(self, syslog: Syslog) -> Result<Self, OpenError> {
        self.to("access-syslog", Sender::new(syslog))
    }

    fn to<W: Write + Send + 'static>(mut self, thread: &str, sink: W) -> Result<Self, OpenError> {
        let place = thread.to_owned();
        let lost = move |lines, _: &mut W| {
            tracing::warn!(target: "access-grlog", lines, place, "access-log-lines-dropped");
        };
        let (spool, writer) = spool::start(thread, QUEUE, sink, lost).map_err(OpenError::Thread)?;
        self.spools.push(spool);
        self.writers.push(writer);
        Ok(self)
    }

    /// Whether lines go anywhere.
    #[must_use]
    pub fn is_written(&self) -> bool {
        !self.spools.is_empty()
    }

    /// The same log with lines that show what `fields` says.
    #[must_use]
    pub fn showing(self, fields: Fields) -> Self {
        Self { fields: Arc::new(fields), ..self }
    }

    /// A sink for one worker.
    #[must_use]
    pub fn sink(&self) -> Sink {
        let formatter = Formatter::showing(Arc::clone(&self.fields));
        let batch = Batch { lines: 0, bytes: Vec::new(), formatter, spools: self.spools.clone() };
        Sink { batch: Arc::new(Mutex::new(batch)), shows_cost: self.fields.shows_cost() }
    }

    /// Waits until every place has what the sinks have handed over; false if one took longer than `patience`.
    pub fn flush(&self, patience: Duration) -> bool {
        // Each is waited for, also after one that took too long.
        let late = self.writers.iter().filter(|writer| !writer.flush(patience)).count();
        late == 0
    }

    /// The lines lost so far, a count per place.
    pub fn dropped(&self) -> impl Iterator<Item = DropCount> {
        self.spools.iter().map(Spool::dropped)
    }
}

/// One worker's way into the log; clones share its buffer. The last clone hands the buffer over when dropped.
#[derive(Clone, Debug)]
pub struct Sink {
    /// Never contended, since one worker uses it; it is what makes the sink `Send` inside of a task.
    batch: Arc<Mutex<Batch>>,
    shows_cost: bool,
}

#[derive(Debug)]
struct Batch {
    bytes: Vec<u8>,
    lines: u64,
    formatter: Formatter,
    spools: Vec<Spool>,
}

impl Sink {
    /// Whether lines show anything of an [`Entry`]'s cost.
    #[must_use]
    pub fn shows_cost(&self) -> bool {
        self.shows_cost
    }

    /// Adds the line for `entry`; it reaches the file some time after the next [`Sink::flush`].
    pub fn push(&self, entry: &Entry<'_>) {
        let mut batch = self.batch.lock().unwrap_or_else(PoisonError::into_inner);
        let Batch { bytes, lines, formatter, .. } = &mut *batch;
        formatter.line(entry, bytes);
        *lines += 1;
        if bytes.len() > BATCH {
            batch.hand_over();
        }
    }

    /// Hands what is buffered to the writer. Never waits.
    pub fn flush(&self) {
        self.batch.lock().unwrap_or_else(PoisonError::into_inner).hand_over();
    }
}

impl Batch {
    fn hand_over(&mut self) {
        if self.lines > 0 {
            for spool in &self.spools {
                spool.push(&self.bytes, self.lines);
            }
            self.bytes.clear();
            self.lines = 0;
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.hand_over();
    }
}

#[cfg(test)]
pub(super) use self::tests::proxied as example;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
