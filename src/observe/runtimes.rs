//! How busy the process is: its runtimes, its heap, what it holds of the system.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tikv_jemalloc_ctl::{epoch, stats};
use tokio::runtime::{Handle, RuntimeMetrics};

/// The runtimes of the process, by the names of their threads. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Runtimes(Arc<Mutex<Vec<(String, RuntimeMetrics)>>>);

impl Runtimes {
    fn lock(&self) -> MutexGuard<'_, Vec<(String, RuntimeMetrics)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more.
    pub fn add(&self, name: &str, runtime: &Handle) {
        self.lock().push((name.to_owned(), runtime.metrics()));
    }

    /// The figures of this moment.
    ///
    /// `runtimes[]` has per runtime the tasks that are alive, those that other threads have queued for it, the seconds
    /// that it was at work, and how often it had nothing to do. `heap` is in bytes, as jemalloc counts them; absent
    /// where that is not the allocator. `process` is in bytes and counts, as far as the system tells.
    #[must_use]
    pub fn figures(&self) -> Value {
        let runtimes: Vec<Value> = self.lock().iter().map(|(name, metrics)| of_runtime(name, metrics)).collect();
        let mut figures = json!({"runtimes": runtimes, "process": of_process()});
        if let Ok(heap) = of_heap() {
            figures["heap"] = heap;
        }
        figures
    }
}

fn of_runtime(name: &str, metrics: &RuntimeMetrics) -> Value {
    let threads = 0..metrics.num_workers();
    let busy: f64 = threads.clone().map(|thread| metrics.worker_total_busy_duration(thread).as_secs_f64()).sum();
    let idle: u64 = threads.map(|thread| metrics.worker_park_count(thread)).sum();
    json!({
        "name": name,
        "alive_tasks": metrics.num_alive_tasks(),
        "queued_tasks": metrics.global_queue_depth(),
        "busy_seconds": busy,
        "times_idle": idle,
    })
}

fn of_heap() -> Result<Value, tikv_jemalloc_ctl::Error> {
    // The figures are those of the last epoch.
    epoch::advance()?;
    Ok(json!({
        "allocated": stats::allocated::read()?,
        "active": stats::active::read()?,
        "resident": stats::resident::read()?,
        "mapped": stats::mapped::read()?,
        "retained": stats::retained::read()?,
    }))
}

fn of_process() -> Value {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let number = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let kib = |key| number(key).map(|kib| kib * 1024);
    // The listing is itself an open descriptor.
    let files = std::fs::read_dir("/proc/self/fd").ok().map(|files| files.count().saturating_sub(1));
    json!({
        "id": std::process::id(),
        "threads": number("Threads:"),
        "file_descriptors": files,
        "resident": kib("VmRSS:"),
        "resident_at_most": kib("VmHWM:"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_runtime_is_shown_with_its_tasks() {
        let runtimes = Runtimes::default();
        runtimes.add("worker-0", &Handle::current());
        let _waiting = [0; 3].map(|_| tokio::spawn(std::future::pending::<()>()));
        let figures = runtimes.figures();
        let shown = &figures["runtimes"][0];
        assert_eq!((&shown["name"], &shown["alive_tasks"]), (&json!("worker-0"), &json!(3)));
        assert!(shown["busy_seconds"].as_f64().is_some(), "{figures}");
        let process = &figures["process"];
        assert!(process["threads"].as_u64() >= Some(1) && process["resident"].as_u64() > Some(1 << 20), "{figures}");
    }
}
