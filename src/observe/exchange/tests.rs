//! Exchanges that end in one way or another.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio_util::sync::CancellationToken;

use super::*;
use crate::observe::{
    access_log::AccessLog,
    metrics::{Buckets, Metrics},
    panics,
};

fn parts(version: Version, uri: &str) -> Parts {
    http::Request::builder().version(version).uri(uri).body(()).unwrap().into_parts().0
}

#[test]
fn a_panic_is_logged_as_what_the_client_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let log = AccessLog::new().file(&path).unwrap();
    let shard = Metrics::new(1, Buckets::default()).shard(0);
    let recorder = Arc::new(Recorder { sink: Some(log.sink()), ..Recorder::counting(shard) });
    let request = parts(Version::HTTP_11, "http://app.example/broken");
    let exchange = Exchange::open(request, Arc::default(), Arc::clone(&recorder), [b'0'; 36]);
    let panicked = catch_unwind(AssertUnwindSafe(move || {
        let _exchange = exchange;
        panic!("a fault of ours");
    }));
    assert!(panicked.is_err());
    assert_eq!(panics::taken().host, "app.example");
    recorder.sink.as_ref().unwrap().flush();
    assert!(log.flush(Duration::from_secs(10)));
    let line = std::fs::read_to_string(&path).unwrap();
    assert!(line.contains("\"GET /broken HTTP/1.1\" 502 "), "{line}");
    assert!(line.contains("x_cf_routererror:\"unknown_failure\""), "{line}");
}

#[test]
fn what_the_stop_of_the_router_cuts_is_not_laid_at_the_clients_door() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let log = AccessLog::new().file(&path).unwrap();
    let stop = CancellationToken::new();
    let shard = Metrics::new(1, Buckets::default()).shard(0);
    let recorder =
        Arc::new(Recorder { sink: Some(log.sink()), aborted: Some(stop.clone()), ..Recorder::counting(shard) });
    let open = |target| {
        let mut exchange =
            Exchange::open(parts(Version::HTTP_11, target), Arc::default(), Arc::clone(&recorder), [b'0'; 36]);
        exchange.answer(200);
        exchange
    };
    open("/left").cut(Aborted::ClientLeft);
    let (mut stopped, mut broken) = (open("/stopped"), open("/broken"));
    stop.cancel();
    stopped.cut(Aborted::ClientLeft);
    broken.cut(Aborted::AnswerCut);
    drop((stopped, broken));
    drop(open("/whole"));
    recorder.sink.as_ref().unwrap().flush();
    assert!(log.flush(Duration::from_secs(10)));
    let text = std::fs::read_to_string(&path).unwrap();
    let ends: Vec<&str> = text.lines().map(|line| line.rsplit_once("x_cf_routererror:\"-\"").unwrap().1).collect();
    let ended = [" aborted:\"client_left\"", " aborted:\"router_stopped\"", " aborted:\"answer_cut\"", ""];
    assert_eq!(ends, ended, "{text}");
}

#[test]
fn the_target_of_http2_is_its_path() {
    for (version, uri, expected) in [
        (Version::HTTP_11, "/a?b", "/a?b"),
        (Version::HTTP_11, "http://a.example/b?c", "http://a.example/b?c"),
        (Version::HTTP_2, "https://a.example/b?c", "/b?c"),
        (Version::HTTP_2, "/b?c", "/b?c"),
    ] {
        assert_eq!(target(&parts(version, uri)), expected, "{version:?} {uri}");
    }
}
