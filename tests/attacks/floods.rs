//! B3-6: what one HTTP/2 connection can make a router do or keep, vector by vector, against the binary itself. The
//! connection is ended or held to its limits, memory stays within a budget, and every request of another client is
//! answered meanwhile.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use trueroute_testkit::{
    App, Registration,
    client_h2::{
        Client,
        raw::{Frame, Raw, block, flag, kind},
    },
    tls::ClientTls,
};

use super::{
    canary::{HOST, settings},
    secure::with_tls,
    support::{PATIENCE, Reach},
};

/// What a connection may have in memory, in KiB. Its header lists have most of it, see `frontend::h2`: up to 16 MiB on
/// the wire's account, twice that with what the fields are kept in.
const BUDGET: u64 = 40 * 1024;
/// How many attack at the same time.
const ATTACKERS: u64 = 2;
/// What two requests of another client may take. This is a build for tests, on a machine that is busy with it.
const SLOWEST: Duration = Duration::from_secs(5);
/// How long an attack goes on.
const LONG: Duration = Duration::from_millis(400);

/// What becomes of an attacker's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is told to go, or cut.
    Ended,
    /// It goes on, within limits.
    Held,
}

/// The attacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Vector {
    /// Requests taken back at once (CVE-2023-44487).
    RapidReset,
    /// Requests that the router itself has to reset (CVE-2025-8671).
    MadeYouReset,
    /// A head without an end (CVE-2024-27316).
    Continuation,
    /// The same with nothing in it (CVE-2019-9518).
    EmptyContinuation,
    /// PINGs whose answers nobody reads (CVE-2019-9512).
    Ping,
    /// SETTINGS whose answers nobody reads (CVE-2019-9515).
    Settings,
    /// DATA with nothing in it (CVE-2019-9518).
    EmptyData,
    /// A small head that is large when it is unpacked (CVE-2016-6581).
    HpackBomb,
    /// Fields with nothing in them, in as many streams as there may be, whose answers wait (B7).
    EmptyFields,
    /// Answers that nobody takes (CVE-2019-9511, 9517).
    WindowStall,
    /// Windows that open by one byte (CVE-2019-9511).
    TinyWindows,
    /// Frames of a kind that nobody knows.
    Unknown,
    /// Uploads in as many streams as there may be, to an app that does not answer.
    Uploads,
}
use Vector::{
    Continuation, EmptyContinuation, EmptyData, EmptyFields, HpackBomb, MadeYouReset, Ping, RapidReset, Settings,
    TinyWindows, Unknown, Uploads, WindowStall,
};

const VECTORS: [(Vector, &[Fate]); 13] = [
    (RapidReset, &[Fate::Ended]),
    (MadeYouReset, &[Fate::Ended]),
    (Continuation, &[Fate::Ended]),
    (EmptyContinuation, &[Fate::Ended]),
    (Ping, &[Fate::Ended, Fate::Held]),
    (Settings, &[Fate::Ended, Fate::Held]),
    (EmptyData, &[Fate::Ended, Fate::Held]),
    (HpackBomb, &[Fate::Ended, Fate::Held]),
    (EmptyFields, &[Fate::Held]),
    (WindowStall, &[Fate::Held, Fate::Ended]),
    (TinyWindows, &[Fate::Ended, Fate::Held]),
    (Unknown, &[Fate::Ended, Fate::Held]),
    (Uploads, &[Fate::Ended, Fate::Held]),
];

/// `SETTINGS_INITIAL_WINDOW_SIZE`.
const WINDOW: u16 = 4;

fn get(path: &str) -> Vec<u8> {
    block(&[(":method", "GET"), (":scheme", "https"), (":authority", HOST), (":path", path)])
}

fn head(stream: u32, path: &str, ends: bool) -> Frame {
    let flags = flag::END_HEADERS | if ends { flag::END_STREAM } else { 0 };
    Frame::new(kind::HEADERS, flags, stream, get(path))
}

/// What is sent before the attack proper.
fn opening(vector: Vector) -> Vec<u8> {
    match vector {
        Continuation | EmptyContinuation => Frame::new(kind::HEADERS, flag::END_STREAM, 1, get("/")).bytes(),
        EmptyData => head(1, "/upload", false).bytes(),
        _ => Vec::new(),
    }
}

/// One round of an attack; `turn` counts from 0. None when there is no more to do.
fn round(vector: Vector, turn: u32) -> Option<Vec<u8>> {
    let stream = turn * 2 + 1;
    let increment = |stream: u32, by: u32| Frame::new(kind::WINDOW_UPDATE, 0, stream, by.to_be_bytes()).bytes();
    Some(match vector {
        RapidReset => {
            let reset = Frame::new(kind::RST_STREAM, 0, stream, [0, 0, 0, 8]);
            [head(stream, "/delay", true).bytes(), reset.bytes()].concat()
        }
        // A window beyond its largest is an error of that stream alone.
        MadeYouReset => [head(stream, "/delay", true).bytes(), increment(stream, i32::MAX.unsigned_abs())].concat(),
        Continuation => Frame::new(kind::CONTINUATION, 0, 1, block(&[("x", "y".repeat(16_000))])).bytes(),
        EmptyContinuation => Frame::new(kind::CONTINUATION, 0, 1, []).bytes().repeat(100),
        Ping => Frame::new(kind::PING, 0, 0, [0; 8]).bytes().repeat(100),
        Settings => Frame::new(kind::SETTINGS, 0, 0, []).bytes().repeat(100),
        EmptyData => Frame::new(kind::DATA, 0, 1, []).bytes().repeat(100),
        HpackBomb => {
            let mut payload = get("/");
            if turn == 0 {
                // One field of 4000 bytes for the table: literal, with incremental indexing, a new name.
                payload.extend([0x40, 1, b'x']);
                payload.extend([127, 0xa1, 0x1e]);
                payload.extend([b'y'; 4000]);
            }
            // The newest of the table, again and again.
            payload.extend([0xbe; 10_000]);
            Frame::new(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, stream, payload).bytes()
        }
        EmptyFields if turn < 200 => {
            let empty = vec![("a", ""); 1800];
            let mut payload = get("/delay");
            payload.extend(block(&empty));
            Frame::new(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, stream, payload).bytes()
        }
        WindowStall if turn < 200 => head(stream, "/stream/10000000", true).bytes(),
        TinyWindows if turn < 200 => head(stream, "/stream/10000000", true).bytes(),
        TinyWindows => (0..200).flat_map(|stream| increment(stream * 2 + 1, 1)).collect(),
        Unknown => Frame::new(0xfe, 0xff, 0, [7; 1000]).bytes().repeat(10),
        Uploads if turn < 200 => {
            let data = Frame::new(kind::DATA, 0, stream, [b'x'; 16_000]).bytes();
            [head(stream, "/upload", false).bytes(), data].concat()
        }
        EmptyFields | WindowStall | Uploads => return None,
    })
}

/// Attacks for a while and tells what became of the connection. Answers are left unread until the end.
async fn attack(address: std::net::SocketAddr, tls: &ClientTls, vector: Vector) -> Fate {
    let window: &[_] = if matches!(vector, WindowStall | TinyWindows | EmptyFields) { &[(WINDOW, 0)] } else { &[] };
    let mut raw = Raw::connect(address, tls, window).await.unwrap();
    let (until, mut turn) = (Instant::now() + LONG, 0);
    let _ = raw.send_bytes(&opening(vector)).await;
    while Instant::now() < until {
        let Some(bytes) = round(vector, turn) else { break };
        turn += 1;
        // A router that no longer reads holds the attacker.
        match tokio::time::timeout(LONG, raw.send_bytes(&bytes)).await {
            Err(_) => break,
            Ok(Err(_)) => return Fate::Ended,
            Ok(Ok(())) => {}
        }
        tokio::task::yield_now().await;
    }
    // Whether it is still served, or told to go.
    let probe = Frame::new(kind::PING, 0, 0, *b"are you?").bytes();
    let _ = tokio::time::timeout(LONG, raw.send_bytes(&probe)).await;
    let word = async {
        loop {
            match raw.frame().await {
                Ok(frame) if frame.kind == kind::GOAWAY => return Fate::Ended,
                Ok(frame) if frame.kind == kind::PING && frame.payload == b"are you?" => return Fate::Held,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::TimedOut => return Fate::Held,
                Err(_) => return Fate::Ended,
            }
        }
    };
    tokio::time::timeout(LONG, word).await.unwrap_or(Fate::Held)
}

/// Attacks on new connections, as long as those before are ended, for as long as an attack goes on.
async fn attack_on(address: std::net::SocketAddr, tls: &ClientTls, vector: Vector) -> Vec<Fate> {
    let (until, mut met) = (Instant::now() + LONG, Vec::new());
    while Instant::now() < until {
        met.push(attack(address, tls, vector).await);
    }
    met
}

/// The memory of a process, in KiB.
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("the process runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it has memory");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number of KiB")
}

/// A client that asks over HTTP/1 and HTTP/2 all the time, on a thread of its own. Every request is answered.
struct GoodClient {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<(u32, Duration)>,
}

impl GoodClient {
    fn start(router: &Reach, tls: &ClientTls) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, router, tls) = (Arc::clone(&stop), router.clone(), tls.clone());
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (mut answers, mut slowest) = (0, Duration::ZERO);
                let stream = Client::connect(router.https(), &tls).await.unwrap();
                let mut plain = router.client().await;
                while answers == 0 || !told.load(Relaxed) {
                    let asked = Instant::now();
                    assert_eq!(stream.get(HOST, "/good").await.unwrap().status, 200);
                    assert_eq!(plain.get(HOST, "/good").await.unwrap().status, 200);
                    slowest = slowest.max(asked.elapsed());
                    answers += 2;
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                (answers, slowest)
            })
        });
        Self { stop, thread }
    }

    /// How many answers it got, and how long the slowest two took.
    fn stop(self) -> (u32, Duration) {
        self.stop.store(true, Relaxed);
        self.thread.join().expect("every request is answered")
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn no_flood_costs_more_than_its_own_connection() {
    let (settings, tls) = with_tls(settings().set("go_max_procs", 2).set("frontend_idle_timeout", "5s"));
    let router = settings.spawn().await;
    let app = App::start("canary");
    router.register(&Registration::plain(app.addr()).uri(HOST).app("canary")).await;
    for _ in 0..20 {
        assert_eq!(router.get(HOST, "/").await.status, 200);
    }
    let mut wrong = Vec::new();
    for (vector, fates) in VECTORS {
        let (before, asked, good) = (resident(router.id()), app.requests(), GoodClient::start(&router, &tls));
        let attackers = (0..ATTACKERS).map(|_| attack_on(router.https(), &tls, vector));
        let attacks = tokio::time::timeout(PATIENCE, futures_util::future::join_all(attackers));
        let met = attacks.await.unwrap_or_else(|_| panic!("{vector:?} hangs")).concat();
        let growth = resident(router.id()).saturating_sub(before);
        let (answers, slowest) = good.stop();
        let reached = app.requests() - asked - u64::from(answers);
        let told = format!(
            "{vector:?}: {} connections, the last {:?}, {growth} KiB more, {reached} at the app, \
             {answers} others answered, the slowest in {slowest:?}",
            met.len(),
            met.last()
        );
        println!("{told}");
        let right = met.iter().all(|fate| fates.contains(fate));
        if !right || growth > BUDGET * ATTACKERS || slowest > SLOWEST {
            wrong.push(told);
        }
        // What the attackers left waiting ends with them.
        app.hang_up();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    trueroute_testkit::eventually(PATIENCE, async || router.metric("trueroute_open_exchanges").await == 0.0).await;
    assert_eq!(router.metric("trueroute_panics_total").await, 0.0);
    assert_eq!(router.addresses(HOST).await.len(), 1);
    assert_eq!(router.get(HOST, "/").await.status, 200);
}
