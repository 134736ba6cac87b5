//! A router, an app whose route is bound to a service, and the service.

use std::time::{Duration, SystemTime};

use trueroute::route_service::{Keys, Signed};
use trueroute_testkit::{
    App, Bus, Nats, Registration,
    app::Received,
    client::{Request, Response},
    eventually,
    tls::ServerTls,
};

use crate::support::{self, PATIENCE, RouterBuilder, RouterUnderTest};

pub(crate) const SECRET: &str = "the routers' secret";
pub(crate) const APP: &str = "0a1b2c3d-0000-4000-8000-000000000001";
pub(crate) const BOUND: &str = "bound.example.com";
/// The fields that a request has to and fro.
pub(crate) const FIELDS: [&str; 3] = ["X-CF-Forwarded-Url", "X-CF-Proxy-Signature", "X-CF-Proxy-Metadata"];

pub(crate) struct Scene {
    pub(crate) router: RouterUnderTest,
    pub(crate) app: App,
    pub(crate) service: App,
}

/// A router that sends requests to services.
pub(crate) fn with_services() -> RouterBuilder {
    let router = support::Scene::over(Bus::Small(Nats::start())).router();
    router.set("route_services_secret", SECRET).set("route_services.max_attempts", 3)
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::with(with_services()).await
    }

    pub(crate) async fn with(router: RouterBuilder) -> Self {
        let router = router.start().await;
        let door = ServerTls::new(&router.scene.pki.instances.localhost().issue());
        let scene = Self { app: App::start("app"), service: App::builder("service").door(door).start(), router };
        scene.bind(&scene.service_url("/check?by=router")).await;
        scene
    }

    /// Where the service is.
    pub(crate) fn service_url(&self, target: &str) -> String {
        format!("https://localhost:{}{target}", self.service.port())
    }

    /// Binds the app's route to the service at `url`.
    pub(crate) async fn bind(&self, url: &str) {
        let app = Registration::plain(self.app.addr()).app(APP).index(0).uri(BOUND).route_service(url);
        self.router.register(&app).await;
        let bound =
            async || self.router.endpoints(BOUND).await.iter().any(|endpoint| endpoint["route_service_url"] == url);
        eventually(PATIENCE, bound).await;
    }

    /// A client's request for the bound route, by way of the service: what the service got, and the answer that the
    /// client has of it.
    pub(crate) async fn first_leg(&self, request: Request) -> (Received, Response) {
        let before = self.service.requests();
        let response = self.router.ask(request.host(BOUND)).await;
        assert_eq!(self.service.requests(), before + 1, "{response:?}");
        (self.service.last().unwrap(), response)
    }

    /// What a service that has no objection sends to the router: the request as it came, to where it was for.
    pub(crate) fn onward(received: &Received) -> Request {
        let url = received.header(FIELDS[0]).unwrap();
        let (_, rest) = url.split_once("://").unwrap();
        let (host, _) = rest.split_once('/').unwrap_or((rest, ""));
        let mut request = Request::new(&received.method, &rest[host.len()..]).host(host);
        for (name, value) in &received.headers {
            let own = ["host", "connection", "content-length", "transfer-encoding"];
            if !own.contains(&name.to_ascii_lowercase().as_str()) {
                request = request.header(name, value);
            }
        }
        request.body(received.body.clone())
    }
}

/// A signature made elsewhere with this secret, `age` ago.
pub(crate) fn signed(secret: &str, url: &str, age: Duration) -> Signed {
    Keys::derive(secret, None).sign(url.to_owned(), SystemTime::now() - age, [9; 12]).unwrap()
}

/// A request that bears a signature.
pub(crate) fn bearing(signed: &Signed, url: &str) -> Request {
    Request::new("GET", "/path")
        .host(BOUND)
        .header(FIELDS[0], url)
        .header(FIELDS[1], &signed.signature)
        .header(FIELDS[2], &signed.metadata)
}
