//! NATS over mutual TLS: who may be a server, and who a client.

use std::{path::Path, sync::Arc};

use trueroute::bus::{
    link::{LinkError, LinkSettings},
    proofs::{Proof, Proofs},
    secure,
};
use trueroute_testkit::{
    Bus, Nats, Tempdir,
    pki::{Authority, Leaf},
    tls::{ClientTls, ServerTls},
};

use crate::{
    broker::PATIENCE,
    router::{Router, settings},
};

/// Two authorities, one for the servers and one for their clients.
struct Pki {
    servers: Authority,
    clients: Authority,
    dir: Tempdir,
}

impl Pki {
    fn new() -> Self {
        let dir = Tempdir::new().unwrap();
        Self { servers: Authority::new("servers"), clients: Authority::new("clients"), dir }
    }

    fn server(&self) -> Leaf {
        self.servers.server(&["localhost"]).ip([127, 0, 0, 1]).issue()
    }

    /// Settings of a router that trusts `servers` and shows `own`.
    fn settings(&self, bus: &Bus, servers: &Authority, own: &Leaf) -> LinkSettings {
        let files = own.write_to(self.dir.path(), "own");
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        let tls = secure::client_config(servers.pem(), &read(&files.cert), &read(&files.key)).unwrap();
        LinkSettings { tls: Some(tls), ..settings(&[bus.addr()], None) }
    }

    async fn start(&self, bus: &Bus, servers: &Authority, own: &Leaf) -> Result<Router, LinkError> {
        Router::start(&self.settings(bus, servers, own)).await
    }
}

/// Another client of the same server.
async fn component(pki: &Pki, bus: &Bus) -> async_nats::Client {
    let own = pki.clients.router_client("component").issue();
    let tls = ClientTls::new(&pki.servers, "localhost").identity(&own).config();
    let options = async_nats::ConnectOptions::new().require_tls(true).tls_client_config(Arc::unwrap_or_clone(tls));
    options.connect(format!("tls://{}", bus.addr())).await.unwrap()
}

fn each(pki: &Pki) -> Vec<Bus> {
    Bus::each_with_tls(&pki.server(), &pki.clients)
}

#[tokio::test]
async fn registrations_come_over_mutual_tls_and_again_after_an_outage() {
    let pki = Pki::new();
    for bus in each(&pki) {
        let router = pki.start(&bus, &pki.servers, &pki.clients.router_client("router").issue()).await.unwrap();
        for port in 1..=2 {
            let message = format!(r#"{{"host":"10.0.0.1","port":{port},"uris":["a{port}.example"]}}"#);
            let component = component(&pki, &bus).await;
            trueroute_testkit::eventually(PATIENCE, async || {
                component.publish("router.register", message.clone().into()).await.unwrap();
                component.flush().await.unwrap();
                !router.endpoints(&format!("a{port}.example")).is_empty()
            })
            .await;
            bus.die();
            router.is_connected(false).await;
            bus.revive();
            router.is_connected(true).await;
        }
        router.stop().await;
    }
}

#[tokio::test]
async fn a_server_of_another_authority_is_none() {
    let pki = Pki::new();
    for bus in each(&pki) {
        let own = pki.clients.router_client("router").issue();
        let error = pki.start(&bus, &Authority::new("strangers"), &own).await.err().unwrap();
        assert!(matches!(error, LinkError::Unreachable { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(&bus.addr().to_string()) && text.contains("UnknownIssuer"), "{}: {text}", bus.kind());
    }
}

#[tokio::test]
async fn the_next_connection_is_made_with_the_proof_of_the_moment() {
    let pki = Pki::new();
    let proof = |servers: &Authority, own: &Leaf| Proof::from_pem(servers.pem(), &own.chain_pem, &own.key_pem).unwrap();
    let own = pki.clients.router_client("router").issue();
    let stranger = Authority::new("strangers");
    for bus in each(&pki) {
        let proofs = Proofs::new(proof(&stranger, &own));
        let tls = Some(proofs.client_config().unwrap());
        let settings = LinkSettings { tls, ..settings(&[bus.addr()], None) };
        assert!(Router::start(&settings).await.is_err(), "{}: servers of another authority", bus.kind());
        proofs.replace(proof(&pki.servers, &stranger.router_client("router").issue()));
        assert!(Router::start(&settings).await.is_err(), "{}: we are a stranger there", bus.kind());
        proofs.replace(proof(&pki.servers, &own));
        let router = Router::start(&settings).await.unwrap();
        // The one that stands is left alone; what follows it is not.
        proofs.replace(proof(&stranger, &own));
        assert!(router.state.standing().lost.is_none());
        bus.die();
        router.is_connected(false).await;
        proofs.replace(proof(&pki.servers, &own));
        bus.revive();
        router.is_connected(true).await;
        router.stop().await;
    }
}

#[tokio::test]
async fn a_server_must_prove_the_name_that_it_is_configured_by() {
    let pki = Pki::new();
    for bus in Bus::each_with_tls(&pki.servers.server(&["nats.example"]).issue(), &pki.clients) {
        let own = pki.clients.router_client("router").issue();
        let error = pki.start(&bus, &pki.servers, &own).await.err().unwrap().to_string();
        assert!(error.contains("certificate not valid for name"), "{}: {error}", bus.kind());
    }
}

#[tokio::test]
async fn a_client_of_another_authority_is_not_let_in() {
    let pki = Pki::new();
    for bus in each(&pki) {
        let own = Authority::new("strangers").router_client("router").issue();
        let error = pki.start(&bus, &pki.servers, &own).await.err().unwrap();
        assert!(matches!(error, LinkError::Unreachable { .. }), "{}: {error:?}", bus.kind());
    }
}

#[tokio::test]
async fn a_server_without_tls_is_not_spoken_to() {
    let (pki, nats) = (Pki::new(), Nats::start());
    let bus = Bus::Small(nats);
    let own = pki.clients.router_client("router").issue();
    let error = pki.start(&bus, &pki.servers, &own).await.err().unwrap();
    assert!(matches!(error, LinkError::Unreachable { .. }), "{error:?}");
    let Bus::Small(nats) = bus else { unreachable!() };
    assert_eq!(nats.clients_ever(), 0, "a password in the clear");
}

#[tokio::test]
async fn a_client_without_tls_is_not_let_in_by_a_server_that_demands_it() {
    let pki = Pki::new();
    let bus = Bus::Small(Nats::builder().tls(ServerTls::new(&pki.server())).start());
    let error = Router::start(&settings(&[bus.addr()], None)).await.err().unwrap();
    assert!(matches!(error, LinkError::Unreachable { .. }), "{error:?}");
}
