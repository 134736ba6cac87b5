//! A router with a TLS port that offers HTTP/2, and an app behind it.

use std::ops::Deref;

use serde_json::json;
use trueroute_testkit::{
    App, Bus, Nats, Registration,
    app::{Received, Reply},
    client_h2::{Client, raw::Raw},
    pki::Authority,
    tls::ClientTls,
};

use super::support::{self, RouterBuilder, RouterUnderTest};

/// Where the app is.
pub(crate) const HOST: &str = "app.example.com";

/// A router at work and an app behind it.
pub(crate) struct Scene {
    pub(crate) router: RouterUnderTest,
    pub(crate) app: App,
    pub(crate) tls: ClientTls,
}

/// A router before its TLS port is set.
pub(crate) fn router() -> RouterBuilder {
    support::Scene::over(Bus::Small(Nats::start())).router().set("endpoint_timeout", "5s")
}

impl Scene {
    /// The usual settings, and an app that decides by the path, see [`Reply::by_path`].
    pub(crate) async fn new() -> Self {
        Self::with(router()).await
    }

    /// Other settings.
    pub(crate) async fn with(router: RouterBuilder) -> Self {
        Self::ruled(router, Reply::by_path).await
    }

    /// An app with a rule of its own.
    pub(crate) async fn ruled(
        router: RouterBuilder,
        rule: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let authority = Authority::new("front");
        let leaf = authority.localhost().issue();
        let router = router
            .set("enable_ssl", true)
            .set("ssl_port", 0)
            .set("cipher_suites", "ECDHE-ECDSA-AES128-GCM-SHA256")
            .set("client_cert_validation", "none")
            .set("tls_pem", json!([{"cert_chain": leaf.chain_pem, "private_key": leaf.key_pem}]));
        let app = App::builder("a").rule(rule).start();
        let scene = Self { router: router.start().await, app, tls: ClientTls::new(&authority, "localhost") };
        scene.register(&Registration::plain(scene.app.addr()).uri(HOST).app("app-guid")).await;
        scene
    }

    /// A new connection.
    pub(crate) async fn h2(&self) -> Client {
        Client::connect(self.https(), &self.tls).await.unwrap()
    }

    /// A new connection for frames; `settings` as [`Raw::connect`] takes them.
    pub(crate) async fn raw(&self, settings: &[(u16, u32)]) -> Raw {
        Raw::connect(self.https(), &self.tls, settings).await.unwrap()
    }

    /// How many requests endpoints are at work on.
    pub(crate) fn in_flight(&self) -> u32 {
        let pool = self.table().lookup(HOST, "/").expect("the app is registered");
        pool.leases().iter().map(|lease| lease.endpoint().in_flight()).sum()
    }
}

impl Deref for Scene {
    type Target = RouterUnderTest;

    fn deref(&self) -> &RouterUnderTest {
        &self.router
    }
}
