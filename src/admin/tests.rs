use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::reload::Reload;
use super::routes::Login;
use super::{Limits, Port};
use super::{
    health, metrics, pools, routes,
    shapes::Outcome,
    view::{Rules, View},
};
use crate::lifecycle::Readiness;
use crate::observe::metrics::{Buckets, Metrics, Pruned};
use crate::route::{
    balancing::Algorithm,
    endpoint::{Endpoint, Facts},
    moment::Moment,
    peer::{Identity, Peer},
    pick,
    uri::RouteKey,
};
use crate::table::{Settings, Sharding, Table};

const PATIENCE: Duration = Duration::from_secs(10);

/// A served port; stopped when dropped.
struct Served {
    addr: SocketAddr,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn port<F>(limits: Limits, serve: impl FnOnce(Port) -> F) -> Served
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (addr, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let served = tokio::spawn(serve(Port { listener, tls: None, limits, stop: stop.clone() }));
    Served { addr, stop, served }
}

async fn health_port(readiness: &Readiness, limits: Limits) -> Served {
    let readiness = readiness.clone();
    port(limits, |port| health::serve(port, readiness)).await
}

/// An empty table.
fn sources() -> pools::Sources {
    let settings = Settings {
        stale_threshold: Duration::from_secs(120),
        empty_pool_grace: Duration::ZERO,
        sharding: Sharding::All,
        balancing: Algorithm::RoundRobin,
    };
    let rules = Rules {
        pick: pick::Limits::default(),
        max_attempts: 3,
        empty_pool_is_503: false,
        has_certificate: false,
        asks_services: false,
    };
    pools::Sources { table: Arc::new(Table::new(settings)), clock: Arc::new(Moment::default), rules: Arc::new(rules) }
}

#[test]
fn a_bound_route_has_a_status_of_the_router_only_where_services_are_off() {
    let sources = sources();
    let facts = Facts { route_service_url: "https://rs.example".into(), ..Facts::default() };
    let endpoint = Arc::new(Endpoint::new(Peer::new("10.0.0.1", 1, Identity::Plain), facts));
    sources.table.register(&RouteKey::parse("a.example").unwrap(), &endpoint, Moment::default(), 0);
    for (asks_services, status) in [(false, Some(502)), (true, None)] {
        let rules = Rules { asks_services, ..(*sources.rules).clone() };
        let clock = std::time::SystemTime::UNIX_EPOCH;
        let why = View { table: &sources.table, rules: &rules, now: Moment::default(), clock }.why("a.example", "/");
        assert_eq!((why.outcome, why.status), (Outcome::RouteService, status));
    }
}

async fn routes_port(password: &str, limits: Limits, listing: impl Fn() -> String + Send + Sync + 'static) -> Served {
    let login = Login { user: "admin".into(), password: password.into() };
    port(limits, |port| routes::serve(port, login, sources(), listing, Reload::channel().0)).await
}

/// Sends `request` on a connection of its own and reads to the end.
async fn ask(addr: SocketAddr, request: &str) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).await.unwrap();
        String::from_utf8(reply).unwrap()
    };
    timeout(PATIENCE, exchange).await.unwrap()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
}

fn get_as(path: &str, authorization: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\nConnection: close\r\n\r\n")
}

fn basic(login: &str) -> String {
    format!("Basic {}", STANDARD.encode(login))
}

/// Status line, sorted header lines without the date and the connection, body.
fn parts(reply: &str) -> (&str, Vec<&str>, &str) {
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap();
    let passing = |line: &&str| !line.starts_with("Date:") && !line.starts_with("Connection:");
    let mut headers: Vec<_> = lines.filter(passing).collect();
    headers.sort_unstable();
    (status, headers, body)
}

const OK: (&str, &[&str], &str) =
    ("HTTP/1.1 200 OK", &["Content-Length: 3", "Content-Type: text/plain; charset=utf-8"], "ok\n");
const NOT_FOUND: (&str, &[&str], &str) = (
    "HTTP/1.1 404 Not Found",
    &["Content-Length: 19", "Content-Type: text/plain; charset=utf-8", "X-Content-Type-Options: nosniff"],
    "404 page not found\n",
);

#[tokio::test]
async fn health_follows_the_router() {
    const LIVENESS: &str = "/is-process-alive-do-not-use-for-loadbalancing";
    let uncached = ["Cache-Control: private, max-age=0", "Content-Length: 0", "Expires: 0"];
    let sick = ("HTTP/1.1 503 Service Unavailable", uncached.to_vec(), "");
    let ok = (OK.0, OK.1.to_vec(), OK.2);
    let mut well = ok.clone();
    well.1.extend([uncached[0], uncached[2]]);
    well.1.sort_unstable();

    let readiness = Readiness::new();
    let port = health_port(&readiness, Limits::default()).await;
    let probe = |path: &str| {
        let (addr, request) = (port.addr, get(path));
        async move { ask(addr, &request).await }
    };
    assert_eq!(parts(&probe("/health").await), sick);
    assert_eq!(parts(&probe(LIVENESS).await), ok);
    readiness.open();
    assert_eq!(parts(&probe("/health").await), well);
    assert_eq!(parts(&probe("/health?a=b").await), well);
    assert_eq!(parts(&probe(LIVENESS).await), ok);
    readiness.degrade();
    assert_eq!(parts(&probe("/health").await), sick);
    assert_eq!(parts(&probe(LIVENESS).await), ok);
    for path in ["/", "/healthz", "/health/", "/routes", "/varz"] {
        assert_eq!(parts(&probe(path).await), (NOT_FOUND.0, NOT_FOUND.1.to_vec(), NOT_FOUND.2), "{path}");
    }
}

#[tokio::test]
async fn a_probe_may_keep_its_connection() {
    let readiness = Readiness::new();
    readiness.open();
    let port = health_port(&readiness, Limits::default()).await;
    let probing = async {
        let mut stream = TcpStream::connect(port.addr).await.unwrap();
        for _ in 0..3 {
            stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            let mut reply = Vec::new();
            while !reply.ends_with(b"\r\n\r\nok\n") {
                assert_ne!(stream.read_buf(&mut reply).await.unwrap(), 0);
            }
            assert!(reply.starts_with(b"HTTP/1.1 200 OK\r\n"));
        }
        stream.write_all(b"HEAD /health HTTP/1.0\r\n\r\n").await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        assert!(reply.contains("Content-Length: 3\r\n") && reply.ends_with("\r\n\r\n"), "{reply}");
    };
    timeout(PATIENCE, probing).await.unwrap();
}

#[tokio::test]
async fn the_listing_is_for_who_knows_the_password() {
    let port = routes_port("secret", Limits::default(), || r#"{"a.example.com":[]}"#.into()).await;
    let refused_headers = [
        "Content-Length: 17",
        "Content-Type: text/plain; charset=utf-8",
        "Www-Authenticate: Basic",
        "X-Content-Type-Options: nosniff",
    ];
    let refused = ("HTTP/1.1 401 Unauthorized", refused_headers.to_vec(), "401 Unauthorized\n");
    let listed =
        ("HTTP/1.1 200 OK", vec!["Content-Length: 20", "Content-Type: application/json"], r#"{"a.example.com":[]}"#);

    assert_eq!(parts(&ask(port.addr, &get_as("/routes", &basic("admin:secret"))).await), listed);
    let unknown = ask(port.addr, &get_as("/other", &basic("admin:secret"))).await;
    assert_eq!(parts(&unknown), (NOT_FOUND.0, NOT_FOUND.1.to_vec(), NOT_FOUND.2));
    assert_eq!(parts(&ask(port.addr, &get("/routes")).await), refused);
    assert_eq!(parts(&ask(port.addr, &get("/other")).await), refused);
    let encoded = STANDARD.encode("admin:secret");
    for authorization in [
        "".into(),
        "Basic".into(),
        "Basic ".into(),
        basic(""),
        basic("admin"),
        basic("admin:"),
        basic(":secret"),
        basic("admin:secret:"),
        basic("admin:secre"),
        basic("admin:secrets"),
        basic("Admin:secret"),
        basic("secret:admin"),
        format!("basic {encoded}"),
        format!("BASIC {encoded}"),
        format!("Basic  {encoded}"),
        format!("Basic {encoded} x"),
        format!("Bearer {encoded}"),
        "Basic admin:secret".into(),
        "Basic \u{e9}".into(),
    ] {
        let reply = ask(port.addr, &get_as("/routes", &authorization)).await;
        assert_eq!(parts(&reply), refused, "{authorization:?}");
    }
}

#[tokio::test]
async fn a_password_with_a_colon_matches_nothing() {
    let port = routes_port("a:b", Limits::default(), String::new).await;
    let reply = ask(port.addr, &get_as("/routes", &basic("admin:a:b"))).await;
    assert!(reply.starts_with("HTTP/1.1 401 "), "{reply}");
}

#[tokio::test]
async fn metrics_are_scraped_fresh() {
    let served = Metrics::new(1, Buckets::default());
    let shown = Arc::clone(&served);
    let port = port(Limits::default(), |port| metrics::serve(port, shown)).await;
    served.pruned(Pruned::Stale, 2);
    let reply = ask(port.addr, &get("/metrics")).await;
    let (status, headers, body) = parts(&reply);
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(headers.contains(&"Content-Type: text/plain; version=0.0.4; charset=utf-8"), "{headers:?}");
    assert!(body.contains("\nroutes_pruned 2\n"), "{body}");
    let open = body.lines().find_map(|line| line.strip_prefix("file_descriptors ")).unwrap();
    // At least the standard three and both ends of this exchange.
    assert!(open.parse::<u64>().unwrap() >= 5, "{open}");
    served.pruned(Pruned::Stale, 3);
    assert!(ask(port.addr, &get("/metrics")).await.contains("\nroutes_pruned 5\n"));
    let other = ask(port.addr, &get("/")).await;
    assert_eq!(parts(&other), (NOT_FOUND.0, NOT_FOUND.1.to_vec(), NOT_FOUND.2));
}

#[tokio::test]
async fn a_bad_connection_costs_itself_only() {
    let port = routes_port("secret", Limits::default(), || panic!("a listing that panics")).await;
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(1 << 20));
    for request in
        ["\x16\x03\x01\x02\x00\x01\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET / HTTP/1.1\r\nbroken\r\n\r\n", &long]
    {
        let mut stream = TcpStream::connect(port.addr).await.unwrap();
        // The server may close, and reset, while it is still being written to.
        _ = stream.write_all(request.as_bytes()).await;
        let mut reply = Vec::new();
        _ = timeout(PATIENCE, stream.read_to_end(&mut reply)).await.unwrap();
        assert!(!reply.starts_with(b"HTTP/1.1 2"));
    }
    let reply = ask(port.addr, &get_as("/routes", &basic("admin:secret"))).await;
    assert!(reply.starts_with("HTTP/1.1 500 Internal Server Error\r\n"), "{reply}");
    let reply = ask(port.addr, &get("/routes")).await;
    assert!(reply.starts_with("HTTP/1.1 401 "), "{reply}");
}

#[tokio::test]
async fn a_request_body_is_not_waited_for() {
    let port = health_port(&Readiness::new(), Limits::default()).await;
    let reply = ask(port.addr, "POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n").await;
    assert!(reply.starts_with("HTTP/1.1 503 "), "{reply}");
}

#[tokio::test]
async fn a_client_that_says_nothing_is_sent_away() {
    let limits = Limits { read: Duration::from_millis(20), ..Limits::default() };
    let port = health_port(&Readiness::new(), limits).await;
    for head in ["", "GET /health HT", "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let mut stream = TcpStream::connect(port.addr).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut reply = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut reply)).await.unwrap().unwrap();
        assert_eq!(reply.starts_with(b"HTTP/1.1 503"), head.ends_with("\r\n\r\n"), "{head}");
    }
}

#[tokio::test]
async fn a_client_that_reads_nothing_gives_its_place_away() {
    let limits = Limits { write: Duration::from_millis(20), connections: 1, ..Limits::default() };
    let port = routes_port("secret", limits, || "x".repeat(64 << 20)).await;
    let mut deaf = TcpStream::connect(port.addr).await.unwrap();
    deaf.write_all(get_as("/routes", &basic("admin:secret")).as_bytes()).await.unwrap();
    let reply = ask(port.addr, &get("/routes")).await;
    assert!(reply.starts_with("HTTP/1.1 401 "), "{reply}");
}

#[tokio::test]
async fn a_full_port_lets_newcomers_wait() {
    let port = health_port(&Readiness::new(), Limits { connections: 1, ..Limits::default() }).await;
    let idle = TcpStream::connect(port.addr).await.unwrap();
    let addr = port.addr;
    let mut second = tokio::spawn(async move { ask(addr, &get("/health")).await });
    assert!(timeout(Duration::from_millis(50), &mut second).await.is_err(), "it was served beyond the limit");
    drop(idle);
    assert!(second.await.unwrap().starts_with("HTTP/1.1 503 "));
}

#[tokio::test]
async fn a_stopped_port_ends_its_exchanges_and_closes() {
    let (begun, release) = (Arc::new(tokio::sync::Notify::new()), std::sync::mpsc::channel::<()>());
    let (entered, gate) = (Arc::clone(&begun), std::sync::Mutex::new(release.1));
    let mut port = routes_port("secret", Limits::default(), move || {
        entered.notify_one();
        _ = gate.lock().unwrap().recv();
        "{}".into()
    })
    .await;
    let addr = port.addr;
    let _idle = TcpStream::connect(addr).await.unwrap();
    let running = tokio::spawn(async move { ask(addr, &get_as("/routes", &basic("admin:secret"))).await });
    timeout(PATIENCE, begun.notified()).await.unwrap();
    port.stop.cancel();
    timeout(PATIENCE, async { while TcpStream::connect(addr).await.is_ok() {} }).await.unwrap();
    drop(release.0);
    timeout(PATIENCE, &mut port.served).await.unwrap().unwrap();
    assert!(running.await.unwrap().ends_with("\r\n\r\n{}"));
}

/// `/pools` of a table, asked for as the commands do.
async fn pools_page(sources: pools::Sources, path: &str) -> String {
    let login = Login { user: "admin".into(), password: "secret".into() };
    let port =
        port(Limits::default(), |port| routes::serve(port, login, sources, String::new, Reload::channel().0)).await;
    let request = format!("GET {path} HTTP/1.0\r\nHost: x\r\nAuthorization: {}\r\n\r\n", basic("admin:secret"));
    ask(port.addr, &request).await
}

#[tokio::test]
async fn a_hundred_thousand_routes_come_a_line_each_and_the_page_is_whole() {
    const ROUTES: usize = 100_000;
    let sources = sources();
    for number in 0..ROUTES {
        let peer = Peer::new("10.0.0.1", 61001, Identity::Plain);
        let endpoint = Arc::new(Endpoint::new(peer, Facts::default()));
        let key = RouteKey::parse(&format!("app-{number:06}.example.com")).unwrap();
        sources.table.register(&key, &endpoint, Moment::default(), 0);
    }
    let page = pools_page(sources, "/pools").await;
    let (head, body) = page.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.0 200 OK") && !head.to_lowercase().contains("chunked"), "{head}");
    let lines: Vec<&str> = body.lines().collect();
    assert_eq!(lines.len(), ROUTES + 2);
    assert!(lines[0].starts_with("{\"version\":1,\"now\":\"") && lines[0].ends_with("\"routes\":["), "{}", lines[0]);
    assert!(lines[ROUTES].starts_with("{\"route\":\"app-099999.example.com\""), "{}", lines[ROUTES]);
    assert_eq!(lines[ROUTES + 1], format!("],\"count\":{ROUTES}}}"));
    let whole: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(whole["routes"].as_array().map(Vec::len), Some(ROUTES));
}

#[tokio::test]
async fn a_question_that_makes_no_sense_is_told_so() {
    for (path, said) in [
        ("/why", "url: is missing\n"),
        ("/why?url=ftp://a", "url: the scheme is neither http nor https\n"),
        ("/pools?host=/a", "host: names no host\n"),
    ] {
        let page = pools_page(sources(), path).await;
        assert!(page.starts_with("HTTP/1.0 400 Bad Request") && page.ends_with(said), "{page}");
    }
}

#[tokio::test]
async fn the_table_is_for_who_knows_the_password() {
    let port = routes_port("secret", Limits::default(), String::new).await;
    for path in ["/pools", "/why?url=a.example"] {
        for (login, status) in [("admin:secret", "200 OK"), ("admin:wrong", "401 Unauthorized")] {
            let page = ask(port.addr, &get_as(path, &basic(login))).await;
            assert!(page.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{path} as {login}: {page}");
        }
    }
}
