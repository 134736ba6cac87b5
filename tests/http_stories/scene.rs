//! A router between a raw client and an app that says what a story tells it to.

use std::{
    io,
    net::SocketAddr,
    ops::Deref,
    sync::{Arc, Mutex},
};

use trueroute_testkit::{
    App, Bus, Client, Nats, Registration,
    app::{Received, Reply},
    client::Response,
    eventually,
};

use super::{
    message::{HELLO, Message},
    support::{self, PATIENCE, RouterBuilder, RouterUnderTest},
};

/// What the plain app is registered as.
pub(crate) const APP_ID: &str = "0a1b2c3d-0000-4000-8000-000000000001";
pub(crate) const INSTANCE_ID: &str = "0a1b2c3d-0000-4000-8000-000000000005";

/// A router at work and an app behind it; everything that a router tells, it tells too.
pub(crate) struct Scene {
    pub(crate) router: RouterUnderTest,
    pub(crate) app: App,
    says: Arc<Mutex<Reply>>,
}

/// How the client's connection is after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// It takes another request.
    Open,
    /// It is closed.
    Closed,
}

/// A router with the settings of the recorded exchanges.
pub(crate) fn recorded() -> RouterBuilder {
    let router = support::Scene::over(Bus::Small(Nats::start())).router();
    router.set("disable_keep_alives", true).set("endpoint_timeout", "2s")
}

impl Scene {
    /// The recorded settings, and an app that says one thing.
    pub(crate) async fn new() -> Self {
        Self::with(recorded()).await
    }

    /// The same with other settings.
    pub(crate) async fn with(router: RouterBuilder) -> Self {
        let says = Arc::new(Mutex::new(raw(HELLO)));
        let heard = Arc::clone(&says);
        let rule = move |_: &Received| heard.lock().unwrap().clone();
        Self::set(router, App::builder("a").instance(INSTANCE_ID).rule(rule).start(), says).await
    }

    /// An app that decides by the path, see [`Reply::by_path`].
    pub(crate) async fn by_path(router: RouterBuilder) -> Self {
        Self::set(router, App::builder("a").instance(INSTANCE_ID).start(), Arc::new(Mutex::new(Reply::Echo))).await
    }

    async fn set(router: RouterBuilder, app: App, says: Arc<Mutex<Reply>>) -> Self {
        let scene = Self { router: router.start().await, app, says };
        let uris = ["app.example.com", "*.wild.example.com", "path.example.com/ctx"];
        scene.register(&uris.iter().fold(plain(scene.app.addr()), |message, uri| message.uri(uri))).await;
        scene
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

    /// Waits until the access log has so many lines.
    pub(crate) async fn lines(&self, count: usize) -> Vec<String> {
        eventually(PATIENCE, async || self.access_log().len() >= count).await;
        self.access_log()
    }
}

impl Deref for Scene {
    type Target = RouterUnderTest;

    fn deref(&self) -> &RouterUnderTest {
        &self.router
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

/// A response with its body as the client understands it.
pub(crate) fn whole(response: &Response) -> Message {
    let mut message = Message::read(&response.raw_head);
    message.body = response.text().to_owned();
    message
}
