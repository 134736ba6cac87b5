//! A router with a TLS door, an app behind it, and the authorities on both sides of the door.

use std::{io, ops::Deref};

use serde_json::{Value, json};
use trueroute::{app, config};
use trueroute_testkit::{
    App, Bus, Client, Nats, Registration,
    client::{Request, Response},
    eventually,
    pki::{Authority, Leaf},
    tls::ClientTls,
};

use crate::support::{self, PATIENCE, RouterBuilder, RouterUnderTest};

/// The suites of BOSH, and those for the keys of the scene.
pub(crate) const SUITES: &str = "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256";

/// The name that the app is registered under.
pub(crate) const HOST: &str = "app.example.com";

/// Who signs whom.
pub(crate) struct Authorities {
    pub(crate) servers: Authority,
    pub(crate) clients: Authority,
    pub(crate) strangers: Authority,
}

/// A router at work and an app behind it; everything that a router tells, it tells too.
pub(crate) struct Doors {
    pub(crate) router: RouterUnderTest,
    pub(crate) app: App,
}

/// An entry of `tls_pem`.
pub(crate) fn pem(leaf: &Leaf) -> Value {
    json!({"cert_chain": leaf.chain_pem, "private_key": leaf.key_pem})
}

/// Everything that keeps this router from starting.
pub(crate) fn what_ends_the_start(router: &RouterBuilder) -> Vec<String> {
    let parsed = config::parse(&router.yml()).unwrap();
    app::preflight(&parsed.config).iter().map(ToString::to_string).collect()
}

impl Authorities {
    pub(crate) fn new() -> Self {
        let [servers, clients, strangers] = ["servers", "clients", "strangers"].map(Authority::new);
        Self { servers, clients, strangers }
    }

    /// A router with a TLS door that shows a certificate for the app, and asks clients for nothing.
    pub(crate) fn router(&self) -> RouterBuilder {
        let router = support::Scene::over(Bus::Small(Nats::start())).router();
        let shown = pem(&self.servers.server(&[HOST, "*.example.com"]).issue());
        let router = router.set("enable_ssl", true).set("ssl_port", 0).set("tls_pem", json!([shown]));
        router.set("cipher_suites", SUITES).set("client_cert_validation", "none")
    }

    /// The same, with clients held to the authority for clients alone.
    pub(crate) fn asking(&self, validation: &str) -> RouterBuilder {
        let router = self.router().set("client_cert_validation", validation);
        router.set("client_ca_certs", self.clients.pem()).set("only_trust_client_ca_certs", true)
    }

    /// A client that asks for the app by name.
    pub(crate) fn client(&self) -> ClientTls {
        ClientTls::new(&self.servers, HOST)
    }

    /// The same with a certificate to show.
    pub(crate) fn client_with(&self, leaf: &Leaf) -> ClientTls {
        self.client().identity(leaf)
    }
}

impl Doors {
    /// Starts the router and an app that is registered under some names.
    pub(crate) async fn open(router: RouterBuilder) -> Self {
        let doors = Self { router: router.start().await, app: App::start("a") };
        let uris = [HOST, "*.example.com", "a.mtls.test", "b.mtls.test", "deep.a.mtls.test", "other.test", "solo.test"];
        let message = Registration::plain(doors.app.addr());
        doors.register(&uris.iter().fold(message, |message, uri| message.uri(uri))).await;
        doors
    }

    /// A connection through the TLS door.
    pub(crate) async fn over_tls(&self, tls: &ClientTls) -> io::Result<Client> {
        Ok(Client::connect_tls(self.https(), tls).await?.patience(PATIENCE))
    }

    /// A GET through the TLS door over a connection of its own.
    pub(crate) async fn get_over_tls(&self, tls: &ClientTls) -> io::Result<Response> {
        self.over_tls(tls).await?.get(HOST, "/").await
    }

    /// Waits until so many clients have been turned away.
    pub(crate) async fn have_refused(&self, count: f64) {
        eventually(PATIENCE, async || self.metric("trueroute_gate_refused_total").await == count).await;
    }

    /// A GET with these fields, over a connection of its own through the TLS door or, without `tls`, in plain.
    pub(crate) async fn ask_with(&self, tls: Option<&ClientTls>, fields: &[(&str, &str)]) -> Response {
        let mut client = match tls {
            Some(tls) => self.over_tls(tls).await.unwrap(),
            None => self.client().await,
        };
        let request = Request::new("GET", "/").host(HOST);
        client.request(fields.iter().fold(request, |request, (name, value)| request.header(name, value))).await.unwrap()
    }
}

impl Deref for Doors {
    type Target = RouterUnderTest;

    fn deref(&self) -> &RouterUnderTest {
        &self.router
    }
}
