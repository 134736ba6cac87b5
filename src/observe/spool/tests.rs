use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

/// A sink that writes one piece for every permit it gets.
struct Gated {
    permits: Receiver<io::Result<()>>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Write for Gated {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.permits.recv().unwrap_or(Ok(()))?;
        self.written.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Bench {
    spool: Spool,
    writer: Writer,
    permits: Sender<io::Result<()>>,
    written: Arc<Mutex<Vec<u8>>>,
    reports: Arc<Mutex<Vec<u64>>>,
}

fn gated(capacity: usize) -> Bench {
    let (permits, gate) = channel();
    let written = Arc::new(Mutex::new(Vec::new()));
    let reports = Arc::new(Mutex::new(Vec::new()));
    let sink = Gated { permits: gate, written: Arc::clone(&written) };
    let reported = Arc::clone(&reports);
    let lost = move |lines, _: &mut Gated| reported.lock().unwrap().push(lines);
    let (spool, writer) = start("test", capacity, sink, lost).unwrap();
    Bench { spool, writer, permits, written, reports }
}

#[test]
fn what_was_pushed_is_written_in_order_before_the_end() {
    let Bench { spool, writer, permits, written, reports } = gated(1 << 20);
    drop(permits);
    let mut expected = String::new();
    for at in 0..20_000 {
        let line = format!("line {at}\n");
        spool.push(line.as_bytes(), 1);
        expected.push_str(&line);
    }
    drop(writer);
    assert!(*written.lock().unwrap() == expected.as_bytes());
    assert_eq!(spool.dropped().lines(), 0);
    assert!(reports.lock().unwrap().is_empty());
}

#[test]
fn a_full_queue_costs_lines_and_says_so() {
    let Bench { spool, writer, permits, written, reports } = gated(10);
    spool.push(b"first\n", 1);
    spool.push(b"second\n", 1);
    spool.push(b"a batch\nof two\n", 2);
    spool.push(b"3rd\n", 1);
    assert_eq!(spool.dropped().lines(), 3);
    assert!(!writer.flush(Duration::ZERO));
    drop(permits);
    assert!(writer.flush(PATIENCE));
    drop(writer);
    assert_eq!(*written.lock().unwrap(), b"first\n3rd\n");
    assert_eq!(reports.lock().unwrap().iter().sum::<u64>(), 3);
}

#[test]
fn a_sink_that_fails_costs_its_lines_only() {
    let Bench { spool, writer, permits, written, reports } = gated(1000);
    permits.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
    spool.push(b"lost\nlost\n", 2);
    assert!(writer.flush(PATIENCE));
    drop(permits);
    spool.push(b"kept\n", 1);
    drop(writer);
    assert_eq!(*written.lock().unwrap(), b"kept\n");
    assert_eq!(spool.dropped().lines(), 2);
    assert_eq!(*reports.lock().unwrap(), [2]);
}

#[test]
fn a_line_longer_than_a_chunk_is_whole() {
    let Bench { spool, writer, permits, written, .. } = gated(1 << 20);
    drop(permits);
    let long = vec![b'x'; 3 * CHUNK];
    spool.push(b"before\n", 1);
    spool.push(&long, 1);
    spool.push(b"after\n", 1);
    drop(writer);
    assert!(*written.lock().unwrap() == [b"before\n", &*long, b"after\n"].concat());
}

#[test]
fn what_is_pushed_after_the_end_is_counted_as_lost() {
    let Bench { spool, writer, permits, .. } = gated(1000);
    drop(permits);
    drop(writer);
    spool.push(b"late\n", 1);
    assert_eq!(spool.dropped().lines(), 1);
}

#[test]
fn a_sink_that_panics_keeps_nobody_waiting() {
    let written = Arc::new(Mutex::new(Vec::new()));
    let poisoned = Arc::clone(&written);
    _ = std::thread::spawn(move || {
        let _held = poisoned.lock().unwrap();
        panic!("poisons the lock, so that the sink's own unwrap panics");
    })
    .join();
    let (permits, gate) = channel();
    drop(permits);
    let (spool, writer) = start("test", 1000, Gated { permits: gate, written }, |_, _| {}).unwrap();
    spool.push(b"line\n", 1);
    assert!(writer.flush(PATIENCE));
}
