use std::pin::Pin;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use tokio::{
    io::{AsyncReadExt, DuplexStream, duplex},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use tokio_util::sync::CancellationToken;

use super::*;

const FOREVER: Silence = Silence { idle: None, draining: Duration::from_secs(1) };

/// A relay between two peers over TCP: router, app, and how it ends.
async fn over_tcp(silence: Silence) -> (TcpStream, TcpStream, JoinHandle<End>) {
    let ((router, router_side), (app, app_side)) = (tcp_pair().await, tcp_pair().await);
    let end = tokio::spawn(async move {
        let never = CancellationToken::new();
        relay(router_side, app_side, silence, Ends { lull: &never, cut: &never }, &Stats::default()).await
    });
    (router, app, end)
}

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

/// In memory, for virtual time; knows whether it was reset.
struct Memory(DuplexStream, Arc<AtomicBool>);

impl Memory {
    fn new(pipe: DuplexStream) -> Self {
        Self(pipe, Arc::default())
    }
}

impl Stream for Memory {
    fn poll_chunk(&mut self, cx: &mut Context<'_>, into: &mut BytesMut, most: usize) -> Poll<io::Result<usize>> {
        into.reserve(most);
        pin!(self.0.read_buf(&mut into.limit(most))).poll(cx)
    }

    fn reset_on_drop(&self) {
        self.1.store(true, Relaxed);
    }
}

impl AsyncWrite for Memory {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

struct InMemory {
    router: DuplexStream,
    app: DuplexStream,
    draining: CancellationToken,
    end: JoinHandle<(End, Duration)>,
    router_was_reset: Arc<AtomicBool>,
}

/// A relay in memory, each pipe `room` bytes wide; ends with how and after what time.
fn in_memory(silence: Silence, room: usize) -> InMemory {
    let ((router, router_side), (app, app_side)) = (duplex(room), duplex(room));
    let draining = CancellationToken::new();
    let router_was_reset = Arc::new(AtomicBool::new(false));
    let router_side = Memory(router_side, Arc::clone(&router_was_reset));
    let app_side = Memory::new(app_side);
    let token = draining.clone();
    let end = tokio::spawn(async move {
        let start = Instant::now();
        let ends = Ends { lull: &token, cut: &CancellationToken::new() };
        (relay(router_side, app_side, silence, ends, &Stats::default()).await, start.elapsed())
    });
    InMemory { router, app, draining, end, router_was_reset }
}

async fn rest(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.map(|_| all)
}

#[tokio::test]
async fn a_half_closed_request_still_gets_its_answer() {
    let (mut router, mut app, end) = over_tcp(FOREVER).await;
    router.write_all(b"question").await.unwrap();
    router.shutdown().await.unwrap();
    assert_eq!(rest(&mut app).await.unwrap(), b"question");
    app.write_all(b"answer").await.unwrap();
    drop(app);
    assert_eq!(rest(&mut router).await.unwrap(), b"answer");
    assert_eq!(end.await.unwrap(), End::Finished);
}

#[tokio::test]
async fn the_apps_close_reaches_the_router_at_once_and_the_other_way_stays_open() {
    let (mut router, mut app, end) = over_tcp(FOREVER).await;
    app.shutdown().await.unwrap();
    assert_eq!(rest(&mut router).await.unwrap(), b"");
    router.write_all(b"still here").await.unwrap();
    let mut heard = [0; 10];
    app.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"still here");
    drop(router);
    assert_eq!(end.await.unwrap(), End::Finished);
}

#[tokio::test]
async fn a_reset_of_the_app_is_a_reset_for_the_router() {
    let (mut router, mut app, end) = over_tcp(FOREVER).await;
    router.write_all(b"question").await.unwrap();
    app.read_exact(&mut [0; 8]).await.unwrap();
    app.reset_on_drop();
    drop(app);
    assert_eq!(rest(&mut router).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(end.await.unwrap(), End::AppReset);
}

#[tokio::test]
async fn a_reset_of_the_router_is_a_reset_for_the_app() {
    let (mut router, mut app, end) = over_tcp(FOREVER).await;
    router.write_all(b"question").await.unwrap();
    app.read_exact(&mut [0; 8]).await.unwrap();
    router.reset_on_drop();
    drop(router);
    assert_eq!(rest(&mut app).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(end.await.unwrap(), End::RouterReset);
}

#[tokio::test]
async fn an_answer_given_before_the_question_was_read_arrives_whole() {
    let (mut router, mut app, end) = over_tcp(FOREVER).await;
    router.write_all(&vec![b'q'; 64 * 1024]).await.unwrap();
    // Some of the question lies unread at the app, so that closing resets: what servers do that answer 413 and go.
    app.read_exact(&mut [0; 1]).await.unwrap();
    app.write_all(b"too large").await.unwrap();
    let mut heard = vec![0; 9];
    router.read_exact(&mut heard).await.unwrap();
    drop(app);
    assert_eq!(heard, b"too large");
    // And the end is not an orderly one.
    assert_eq!(rest(&mut router).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(end.await.unwrap(), End::AppReset);
}

#[tokio::test(start_paused = true)]
async fn silence_both_ways_ends_a_relay_after_the_idle_timeout() {
    let mut scene = in_memory(Silence { idle: Some(Duration::from_secs(10)), ..FOREVER }, 64);
    for _ in 0..5 {
        // Bytes of one direction count for both.
        tokio::time::sleep(Duration::from_secs(6)).await;
        scene.app.write_all(b"tick").await.unwrap();
        scene.router.read_exact(&mut [0; 4]).await.unwrap();
    }
    let (end, lasted) = scene.end.await.unwrap();
    assert_eq!((end, lasted.as_secs()), (End::Idle, 40));
    assert!(!scene.router_was_reset.load(Relaxed));
    assert_eq!(scene.router.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn draining_closes_a_connection_between_two_requests_after_a_moment() {
    let mut scene = in_memory(FOREVER, 64);
    scene.app.write_all(b"answer").await.unwrap();
    scene.router.read_exact(&mut [0; 6]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(!scene.end.is_finished());
    scene.draining.cancel();
    let (end, lasted) = scene.end.await.unwrap();
    assert_eq!((end, lasted.as_secs()), (End::Drained, 30));
    assert_eq!(scene.router.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn draining_lets_an_app_think_and_closes_after_its_answer() {
    let mut scene = in_memory(FOREVER, 64);
    scene.draining.cancel();
    scene.router.write_all(b"question").await.unwrap();
    scene.app.read_exact(&mut [0; 8]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(!scene.end.is_finished());
    scene.app.write_all(b"answer").await.unwrap();
    scene.router.read_exact(&mut [0; 6]).await.unwrap();
    let (end, lasted) = scene.end.await.unwrap();
    assert_eq!(end, End::Drained);
    assert!((31..=32).contains(&lasted.as_secs()), "{lasted:?}");
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stops_stops_the_writer_within_one_chunk() {
    let room = 1000;
    let mut scene = in_memory(FOREVER, room);
    let mut sent = 0;
    while let Ok(n) = timeout(Duration::from_secs(1), scene.app.write(&[7; 500])).await {
        sent += n.unwrap();
    }
    // Both pipes full, and at most one chunk in the relay.
    assert!(sent > room && sent <= 2 * room + CHUNK, "{sent}");
    drop(scene.app);
    let mut all = Vec::new();
    scene.router.read_to_end(&mut all).await.unwrap();
    assert_eq!(all.len(), sent);
}

#[tokio::test]
async fn a_way_that_has_delivered_holds_no_memory() {
    let ((mut near, source), (sink, mut far)) = (duplex(1000), duplex(10));
    let (mut source, mut sink) = (Memory::new(source), Memory::new(sink));
    let mut way = Way::default();
    near.write_all(&[1; 100]).await.unwrap();
    let once = poll_fn(|cx| Poll::Ready(way.poll(cx, &mut source, &mut sink))).await;
    assert!(once.is_pending());
    assert_eq!(way.held.len(), 90);
    let mut heard = [0; 100];
    let delivered = async { poll_fn(|cx| way.poll_deliver(cx, &mut sink)).await.unwrap() };
    tokio::join!(delivered, async { far.read_exact(&mut heard).await.unwrap() });
    assert_eq!((way.held.capacity(), heard), (0, [1; 100]));
}

/// Always has more to say and takes all that it hears: neither makes the relay wait.
struct Quick {
    left: usize,
}

impl Stream for Quick {
    fn poll_chunk(&mut self, _: &mut Context<'_>, into: &mut BytesMut, most: usize) -> Poll<io::Result<usize>> {
        let count = most.min(self.left);
        self.left -= count;
        into.put_bytes(0, count);
        Poll::Ready(Ok(count))
    }

    fn reset_on_drop(&self) {}
}

impl AsyncWrite for Quick {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// How often a relay of `each` bytes both ways was polled, and the bytes up and down after the first time.
fn turns(each: usize) -> (usize, (u64, u64)) {
    let stats = Stats::default();
    let mut pump = Pump::new(Quick { left: each }, Quick { left: each }, &stats);
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let (mut polls, mut first) = (0, (0, 0));
    loop {
        let polled = pump.poll(&mut cx);
        polls += 1;
        if polls == 1 {
            first = stats.bytes();
        }
        if polled == Poll::Ready(End::Finished) {
            assert_eq!(stats.bytes(), (each as u64, each as u64));
            return (polls, first);
        }
    }
}

#[test]
fn a_way_that_never_waits_leaves_the_other_and_other_connections_their_turn() {
    let each = 64 * LONG_CHUNK;
    let (polls, (up, down)) = turns(each);
    assert!(polls > 4, "{polls}");
    let share = (CHUNK as u64)..(each as u64 / 4);
    assert!(share.contains(&up) && share.contains(&down), "{up} {down}");
    // What is small is moved in one go, to its end.
    assert_eq!(turns(3 * CHUNK).0, 1);
}

#[tokio::test]
async fn a_relay_that_had_its_turn_goes_on_by_itself() {
    let (stats, never) = (Stats::default(), CancellationToken::new());
    let (router, app) = (Quick { left: 64 * LONG_CHUNK }, Quick { left: 64 * LONG_CHUNK });
    let relaying = relay(router, app, FOREVER, Ends { lull: &never, cut: &never }, &stats);
    assert_eq!(timeout(Duration::from_secs(10), relaying).await.unwrap(), End::Finished);
}
