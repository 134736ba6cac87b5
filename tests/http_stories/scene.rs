//! A router in this process between a raw client and an app that says what a story tells it to.

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use trueroute::{
    app::{Addresses, Bound, Router},
    config,
};
use trueroute_testkit::{
    App, Client, Nats, Registration, Tempdir,
    app::{Received, Reply},
    client::Response,
    eventually,
};

use super::message::{HELLO, Message};

/// Nothing in these stories takes longer unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What the plain app is registered as.
pub(crate) const APP_ID: &str = "0a1b2c3d-0000-4000-8000-000000000001";
pub(crate) const INSTANCE_ID: &str = "0a1b2c3d-0000-4000-8000-000000000005";

/// A router at work. Fields end in this order.
pub(crate) struct Scene {
    pub(crate) router: Router,
    pub(crate) app: App,
    pub(crate) nats: Nats,
    says: Arc<Mutex<Reply>>,
    dir: Tempdir,
}

/// How the client's connection is after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// It takes another request.
    Open,
    /// It is closed.
    Closed,
}

/// The configuration of the recorded exchanges, with `further` keys beside or instead.
pub(crate) fn settings(nats: &Nats, dir: &Tempdir, further: &str) -> String {
    let (port, log) = (nats.port(), dir.path().join("access.log"));
    let usual = [
        "port: 0".to_owned(),
        "status: {port: 0, user: ops, pass: secret, routes: {port: 0}}".to_owned(),
        "prometheus: {enabled: true, port: 0}".to_owned(),
        format!("nats: {{hosts: [{{hostname: 127.0.0.1, port: {port}}}]}}"),
        format!("access_log: {{file: {}}}", log.display()),
        "start_response_delay_interval: 0s".to_owned(),
        "disable_keep_alives: true".to_owned(),
        "endpoint_timeout: 2s".to_owned(),
        "backends: {max_attempts: 3}".to_owned(),
    ];
    let key = |line: &str| line.split(':').next().map(str::to_owned);
    let named = |line: &String| further.lines().any(|other| key(other) == key(line));
    let kept: Vec<String> = usual.into_iter().filter(|line| !named(line)).collect();
    format!("{}\n{further}\n", kept.join("\n"))
}

pub(crate) async fn bind(nats: &Nats, dir: &Tempdir, further: &str) -> Bound {
    let parsed = config::parse(&settings(nats, dir, further)).unwrap();
    Router::bind(parsed.config).await.unwrap()
}

impl Scene {
    /// The usual router, app and registrations.
    pub(crate) async fn new() -> Self {
        Self::with("").await
    }

    /// The same with further configuration.
    pub(crate) async fn with(further: &str) -> Self {
        let says = Arc::new(Mutex::new(raw(HELLO)));
        let heard = Arc::clone(&says);
        let rule = move |_: &Received| heard.lock().unwrap().clone();
        Self::set(App::builder("a").instance(INSTANCE_ID).rule(rule).start(), says, further).await
    }

    /// The same with an app that decides by the path, see [`Reply::by_path`].
    pub(crate) async fn by_path(further: &str) -> Self {
        Self::set(App::builder("a").instance(INSTANCE_ID).start(), Arc::new(Mutex::new(Reply::Echo)), further).await
    }

    async fn set(app: App, says: Arc<Mutex<Reply>>, further: &str) -> Self {
        let (nats, dir) = (Nats::start(), Tempdir::new().unwrap());
        let router = bind(&nats, &dir, further).await.open().await.unwrap();
        let scene = Self { router, app, nats, says, dir };
        let uris = ["app.example.com", "*.wild.example.com", "path.example.com/ctx"];
        scene.register(uris.iter().fold(plain(scene.app.addr()), |message, uri| message.uri(uri))).await;
        scene.knows("path.example.com", "/ctx").await;
        scene
    }

    /// Sends a registration; it counts once [`Scene::knows`] says so.
    pub(crate) async fn register(&self, message: Registration) {
        message.register(&self.nats.url()).await.unwrap();
    }

    /// Sends a registration for one host and waits until it counts.
    pub(crate) async fn route(&self, host: &str, message: Registration) {
        self.register(message.uri(host)).await;
        self.knows(host, "/").await;
    }

    /// Waits until the table has an endpoint for this host and path.
    pub(crate) async fn knows(&self, host: &str, path: &str) {
        let table = self.router.table();
        eventually(PATIENCE, async || table.lookup(host, path).is_some_and(|pool| !pool.is_empty())).await;
    }

    pub(crate) fn addresses(&self) -> Addresses {
        self.router.addresses()
    }

    /// Where clients go.
    pub(crate) fn http(&self) -> SocketAddr {
        local(self.addresses().http.unwrap())
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.http()).await.unwrap().patience(PATIENCE)
    }

    /// What the app answers from now on.
    pub(crate) fn app_says(&self, reply: Reply) {
        *self.says.lock().unwrap() = reply;
    }

    /// Sends `request` on a connection of its own and reads until the answer is complete.
    pub(crate) async fn exchange(&self, request: &str) -> (Message, After) {
        let method = request.split(' ').next().unwrap();
        let (response, mut client) = self.send(request, method).await.unwrap();
        let message = whole(&response);
        (message, self.state(&mut client).await)
    }

    /// Sends `request`; gives the answer and the connection.
    pub(crate) async fn send(&self, request: &str, method: &str) -> io::Result<(Response, Client)> {
        let mut client = self.client().await;
        let sent = client.send_raw(request).await;
        match client.reader.response(method).await {
            Ok(response) => Ok((response, client)),
            Err(error) => Err(sent.err().unwrap_or(error)),
        }
    }

    /// Sends `request` and reads all that comes until the connection ends, however it ends.
    pub(crate) async fn to_the_end(&self, request: &str) -> Vec<u8> {
        let mut client = self.client().await;
        client.send_raw(request).await.unwrap();
        let mut got = Vec::new();
        loop {
            match client.reader.some().await {
                Ok(piece) if piece.is_empty() => return got,
                Ok(piece) => got.extend_from_slice(&piece),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => panic!("the connection stays open"),
                Err(_) => return got,
            }
        }
    }

    /// Whether the connection takes another request, found out by sending one that no app gets.
    pub(crate) async fn state(&self, client: &mut Client) -> After {
        if client.send_raw("GET / HTTP/1.1\r\nHost: probe.example.com\r\n\r\n").await.is_err() {
            return After::Closed;
        }
        match client.reader.response("GET").await {
            Ok(response) => {
                assert_eq!(response.status, 404, "what came was no answer to the next request: {response:?}");
                After::Open
            }
            Err(error) => {
                assert_ne!(error.kind(), io::ErrorKind::TimedOut, "neither open nor closed");
                After::Closed
            }
        }
    }

    /// The last request that the app got.
    pub(crate) fn app_got(&self) -> Message {
        Message::read(&self.app.last().expect("the app got a request").raw)
    }

    pub(crate) fn access_log(&self) -> PathBuf {
        self.dir.path().join("access.log")
    }

    /// The complete lines of the access log.
    pub(crate) fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.access_log()).unwrap_or_default();
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        complete.lines().map(str::to_owned).collect()
    }

    /// Waits for the first line of the access log that `is_it`.
    pub(crate) async fn line(&self, is_it: impl Fn(&str) -> bool) -> String {
        let find = || self.lines().into_iter().find(|line| is_it(line));
        eventually(PATIENCE, async || find().is_some()).await;
        find().unwrap()
    }

    /// One value of `/metrics`, 0 while there is no such line.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let page = self.router.metrics().render();
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }
}

/// The registration of a plain endpoint as Diego's route-emitter sends it.
pub(crate) fn plain(addr: SocketAddr) -> Registration {
    let message = Registration::plain(addr).app(APP_ID).instance(INSTANCE_ID).index(0);
    message.tag("component", "route-emitter").tag("process_id", "0a1b2c3d-0000-4000-8000-000000000009")
}

/// An answer of exactly these bytes, after which the app closes.
pub(crate) fn raw(bytes: &str) -> Reply {
    Reply::RawThenClose(bytes.into())
}

/// The same address on the loopback interface.
pub(crate) fn local(addr: SocketAddr) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], addr.port()))
}

/// A response with its body as the client understands it.
pub(crate) fn whole(response: &Response) -> Message {
    let mut message = Message::read(&response.raw_head);
    message.body = response.text().to_owned();
    message
}
