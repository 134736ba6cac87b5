//! Keeps the snapshot as the table is: written when something changed, not more often than asked for, and at the end.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use tokio::{task::spawn_blocking, time::interval};
use tokio_util::sync::CancellationToken;

use super::Snapshot;
use crate::{
    registration::{MAX_URIS, message::Message},
    route::endpoint::Endpoint,
    table::{Table, listing::Listing},
};

/// What became of the file, for whoever watches the router.
#[derive(Debug, Default)]
pub struct Record {
    written: Mutex<Option<SystemTime>>,
    bytes: AtomicU64,
    failures: AtomicU64,
}

impl Record {
    /// When the file was last written by this process.
    #[must_use]
    pub fn written(&self) -> Option<SystemTime> {
        *self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its size in bytes then.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// How often it could not be written.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    fn stored(&self, bytes: u64) {
        self.bytes.store(bytes, Relaxed);
        *self.written.lock().unwrap_or_else(PoisonError::into_inner) = Some(SystemTime::now());
    }

    fn failed(&self) {
        self.failures.fetch_add(1, Relaxed);
    }
}

/// Writes the table to its file.
#[derive(Debug)]
pub struct Keeper {
    table: Arc<Table>,
    snapshot: Snapshot,
    /// The table's edits when it was last written.
    written: Option<u64>,
    /// The last failure, so that it is told once and not at every try.
    told: Option<String>,
    record: Arc<Record>,
}

impl Keeper {
    /// A keeper of `table`. What `snapshot` holds counts as older than any table.
    #[must_use]
    pub fn new(table: Arc<Table>, snapshot: Snapshot) -> Self {
        Self { table, snapshot, written: None, told: None, record: Arc::default() }
    }

    /// The same, noting in `record` what becomes of the file.
    #[must_use]
    pub fn noting(self, record: Arc<Record>) -> Self {
        Self { record, ..self }
    }

    /// Looks every `every` whether there is something to write, until `until` is cancelled; then once more.
    pub async fn run(mut self, every: Duration, until: CancellationToken) {
        let mut ticks = interval(every);
        // The first one is at once, and nothing can have come yet.
        ticks.tick().await;
        while until.run_until_cancelled(ticks.tick()).await.is_some() {
            self.keep().await;
        }
        self.keep().await;
    }

    async fn keep(&mut self) {
        let edits = self.table.edits();
        if self.written.unwrap_or(0) == edits {
            return;
        }
        let (listing, snapshot) = (self.table.listing(), self.snapshot.clone());
        let stored = spawn_blocking(move || snapshot.store(messages(&listing))).await;
        match stored.map_err(std::io::Error::other).and_then(|stored| stored) {
            Ok(size) => {
                self.record.stored(size);
                self.written = Some(edits);
                self.told = None;
            }
            Err(error) => {
                self.record.failed();
                self.tell(error.to_string());
            }
        }
    }

    fn tell(&mut self, error: String) {
        if self.told.as_ref() != Some(&error) {
            let file = self.snapshot.path().display();
            tracing::error!(target: "registry", error, file = %file, "snapshot-not-written");
            self.told = Some(error);
        }
    }
}

/// The messages that would register the TLS endpoints of a table, one after the other: all of them at once would be
/// larger than the table.
pub fn messages(listing: &Listing) -> impl Iterator<Item = String> {
    let mut routes: HashMap<*const Endpoint, Vec<&str>> = HashMap::new();
    let mut order = Vec::new();
    for pool in listing.pools() {
        for endpoint in pool.leases().iter().map(|lease| lease.endpoint()).filter(|endpoint| endpoint.peer.is_tls()) {
            let known = routes.entry(Arc::as_ptr(endpoint)).or_insert_with(|| {
                order.push(endpoint);
                Vec::new()
            });
            known.push(pool.route().key());
        }
    }
    order.into_iter().flat_map(move |endpoint| {
        let keys = routes.remove(&Arc::as_ptr(endpoint)).unwrap_or_default();
        let chunks: Vec<Vec<&str>> = keys.chunks(MAX_URIS).map(<[_]>::to_vec).collect();
        chunks.into_iter().filter_map(|keys| serde_json::to_string(&Message::of(endpoint, &keys)).ok())
    })
}

#[cfg(test)]
mod tests {
    use trueroute_testkit::Tempdir;

    use super::*;
    use crate::{
        bus::subscriber::{Policy, REGISTER, Subscriber},
        route::{balancing::Algorithm, moment::Moment},
        table::{Settings, Sharding},
    };

    fn subscriber() -> (Arc<Table>, Subscriber) {
        let table = Arc::new(Table::new(Settings {
            stale_threshold: Duration::from_secs(120),
            empty_pool_grace: Duration::ZERO,
            sharding: Sharding::All,
            balancing: Algorithm::RoundRobin,
        }));
        (Arc::clone(&table), Subscriber::new(table, Policy::default()))
    }

    fn keys(table: &Table) -> Vec<String> {
        table.listing().pools().iter().map(|pool| pool.route().key().to_owned()).collect()
    }

    const TLS: &[u8] =
        br#"{"host":"10.0.0.1","tls_port":443,"uris":["a.example","b.example/x"],"server_cert_domain_san":"i"}"#;
    const PLAIN: &[u8] = br#"{"host":"10.0.0.2","port":80,"uris":["a.example","plain.example"]}"#;

    #[test]
    fn tls_endpoints_come_back_and_plain_ones_do_not() {
        let (table, mut bus) = subscriber();
        bus.apply(REGISTER, TLS, Moment::from_ms(5));
        bus.apply(REGISTER, PLAIN, Moment::from_ms(5));
        let kept: Vec<String> = messages(&table.listing()).collect();
        assert_eq!(kept.len(), 1, "an endpoint once, with all of its routes: {kept:?}");
        let (table, mut bus) = subscriber();
        let restored = [kept[0].as_bytes(), PLAIN, b"junk"].map(|message| bus.restore(message, Moment::from_ms(1)));
        assert_eq!((restored, keys(&table)), ([2, 0, 0], vec!["a.example".into(), "b.example/x".to_owned()]));

        bus.apply(REGISTER, &TLS.to_ascii_lowercase(), Moment::from_ms(9));
        assert!(table.forget_unconfirmed(Moment::from_ms(10)).is_empty(), "it was confirmed");
    }

    #[test]
    fn what_nobody_confirms_is_forgotten() {
        let (table, mut bus) = subscriber();
        bus.restore(TLS, Moment::from_ms(1));
        table.prune(Moment::from_ms(2), crate::table::Source::Recovered);
        bus.apply(
            REGISTER,
            br#"{"host":"10.0.0.1","tls_port":443,"uris":["a.example"],"server_cert_domain_san":"i"}"#,
            Moment::from_ms(3),
        );
        let gone = table.forget_unconfirmed(Moment::from_ms(4));
        assert_eq!(gone.iter().map(|route| &*route.key).collect::<Vec<_>>(), ["b.example/x"]);
        assert_eq!(keys(&table), ["a.example"]);
    }

    #[tokio::test]
    async fn it_writes_what_changed_and_only_then() {
        let dir = Tempdir::new().unwrap();
        let snapshot = Snapshot::at(dir.path().join("routes"));
        let (table, mut bus) = subscriber();
        let mut keeper = Keeper::new(Arc::clone(&table), snapshot.clone());
        keeper.keep().await;
        assert!(!snapshot.path().exists(), "an empty table that never had a route is not written");
        bus.apply(REGISTER, TLS, Moment::from_ms(5));
        keeper.keep().await;
        assert_eq!(snapshot.load().unwrap().unwrap().messages().count(), 1);
        std::fs::remove_file(snapshot.path()).unwrap();
        bus.apply(REGISTER, TLS, Moment::from_ms(6));
        keeper.keep().await;
        assert!(!snapshot.path().exists(), "a heartbeat changes nothing");
        bus.apply("router.unregister", TLS, Moment::from_ms(7));
        keeper.keep().await;
        assert_eq!(snapshot.load().unwrap().unwrap().messages().count(), 0);
    }
}
