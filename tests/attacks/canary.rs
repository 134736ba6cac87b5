//! The scene: a router with one worker and kept connections, where a smuggled request would wait for the next client,
//! and an app that keeps what it gets.

use std::{io, ops::Deref};

use trueroute_testkit::{
    App, Bus, Client, Nats, Registration,
    app::{Received, Reply},
    client::Response,
    eventually,
};

use super::support::{self, PATIENCE, RouterBuilder, RouterUnderTest};

/// The canary's host.
pub(crate) const HOST: &str = "canary.example";

/// A router and the canary behind it; everything that a router tells, it tells too.
pub(crate) struct Canary {
    pub(crate) router: RouterUnderTest,
    pub(crate) app: App,
}

/// A router with one worker, kept connections and a short endpoint timeout.
pub(crate) fn settings() -> RouterBuilder {
    let router = support::Scene::over(Bus::Small(Nats::start())).router();
    router.set("go_max_procs", 1).set("endpoint_timeout", "10s").set("backends.max_attempts", 3)
}

impl Canary {
    /// A canary that says `ok` to everything.
    pub(crate) async fn new() -> Self {
        Self::with(settings(), |_| Reply::text("ok")).await
    }

    /// The same behind a router of these settings, with other answers.
    pub(crate) async fn with(
        settings: RouterBuilder,
        rule: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let canary = Self { router: settings.start().await, app: App::builder("canary").rule(rule).start() };
        canary.register(&Registration::plain(canary.app.addr()).uri(HOST).app("canary")).await;
        canary
    }

    /// Sends these bytes on a connection of their own and reads answers until it ends.
    pub(crate) async fn send(&self, bytes: impl AsRef<[u8]>) -> Vec<Response> {
        let mut client = self.client().await;
        // A refusal may come, and the connection end, before all is sent.
        let _ = client.send_raw(bytes).await;
        answers(&mut client).await
    }

    /// Waits until nobody is served any more, and gives what the canary got, each request proven to have one reading.
    pub(crate) async fn got(&self) -> Vec<Received> {
        eventually(PATIENCE, async || self.metric("trueroute_open_exchanges").await == 0.0).await;
        let got = self.app.received();
        assert!(got.len() as u64 <= self.app.requests());
        for request in &got {
            if let Some(doubt) = doubt(request) {
                panic!("{doubt}: {:?}", String::from_utf8_lossy(&request.raw));
            }
        }
        got
    }

    /// An ordinary client is served, and the endpoint was never marked or taken out.
    pub(crate) async fn is_well(&self, after: &str) {
        let pool = self.router.table().lookup(HOST, "/").expect("the route is there");
        let lease = pool.leases().first().expect("the endpoint is there");
        let never = trueroute::route::moment::Moment::from_ms(0);
        // First of all: a request that finds nothing but marked endpoints forgives them.
        assert!(!lease.is_resting(never, std::time::Duration::MAX), "{after}: the endpoint is marked");
        assert_eq!(self.get(HOST, "/well").await.status, 200, "{after}");
        eventually(PATIENCE, async || lease.endpoint().in_flight() == 0).await;
        assert_eq!(self.metric("trueroute_panics_total").await, 0.0, "{after}");
    }
}

impl Deref for Canary {
    type Target = RouterUnderTest;

    fn deref(&self) -> &RouterUnderTest {
        &self.router
    }
}

/// All answers until the connection ends, which it must.
pub(crate) async fn answers(client: &mut Client) -> Vec<Response> {
    let mut answers = Vec::new();
    loop {
        match client.response().await {
            Ok(answer) => answers.push(answer),
            Err(error) => {
                assert_ne!(error.kind(), io::ErrorKind::TimedOut, "the connection stays open after {answers:?}");
                return answers;
            }
        }
    }
}

/// The status codes of answers.
pub(crate) fn statuses(answers: &[Response]) -> Vec<u16> {
    answers.iter().map(|answer| answer.status).collect()
}

/// Why two parsers could read this request differently; none if they can't.
pub(crate) fn doubt(request: &Received) -> Option<&'static str> {
    let head =
        request.raw.windows(4).position(|four| four == b"\r\n\r\n").map_or(&request.raw[..], |at| &request.raw[..at]);
    let lines: Vec<&[u8]> = head.split(|byte| *byte == b'\n').collect();
    let (last, others) = lines.split_last()?;
    if others.iter().any(|line| !line.ends_with(b"\r")) || last.contains(&b'\r') {
        return Some("a line of the head ends in something else than CR LF");
    }
    if others.iter().any(|line| line[..line.len() - 1].contains(&b'\r')) {
        return Some("a CR within a line");
    }
    if head.contains(&0) {
        return Some("a NUL");
    }
    if request.version != "HTTP/1.1"
        || head.iter().take_while(|byte| **byte != b'\r').filter(|byte| **byte == b' ').count() != 2
    {
        return Some("an odd request line");
    }
    let token = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
    };
    if !request.headers.iter().all(|(name, _)| token(name)) {
        return Some("a field name that is no token");
    }
    let (lengths, codings) = (request.headers_named("content-length"), request.headers_named("transfer-encoding"));
    match (&lengths[..], &codings[..]) {
        ([], []) | ([], ["chunked"]) => {}
        ([length], []) if !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()) => {}
        _ => return Some("more than one framing, or an odd one"),
    }
    if request.headers_named("host").len() != 1 {
        return Some("not one Host");
    }
    (codings.len() == 1 && !chunks_are_plain(request)).then_some("odd chunks")
}

/// Whether the body is chunks as the router itself writes them: lower-case sizes, no extension, CR LF.
fn chunks_are_plain(request: &Received) -> bool {
    let Some(at) = request.raw.windows(4).position(|four| four == b"\r\n\r\n") else { return true };
    let mut rest = &request.raw[at + 4..];
    loop {
        let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else { return !request.complete };
        let line = std::str::from_utf8(&rest[..end]).unwrap_or("?");
        let plain = !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        let Some(size) = usize::from_str_radix(line, 16).ok().filter(|_| plain) else { return false };
        if size == 0 {
            return true;
        }
        match rest.get(end + 2 + size..) {
            Some(after) if after.starts_with(b"\r\n") => rest = &after[2..],
            Some(_) => return false,
            None => return !request.complete,
        }
    }
}
