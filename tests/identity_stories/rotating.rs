//! Certificates are renewed all the time under load, and nobody notices: no request fails, and none has to be sent
//! again.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use tokio_util::sync::CancellationToken;
use trueroute_sidecar::{
    Settings, Sidecar, Stats,
    settings::{IdentityFiles, IdentitySource, Listener, Mode, SecretFile},
    stats::Event,
};
use trueroute_testkit::{
    App, Registration, Tempdir,
    client::Request,
    eventually,
    pki::{InstanceId, Leaf},
};

use crate::support::{PATIENCE, Pki, ROUTER_NAME, Reach, Scene};

const CLIENTS: usize = 8;

/// How an instance gets its certificates.
#[derive(Clone, Copy, Debug)]
enum Delivery {
    /// As an app gets them: the key, and then the chain. For a moment they do not match.
    Pair,
    /// As Envoy gets them: a secret in one file, which is replaced.
    Secret,
}

/// An instance whose certificate can be renewed.
struct Renewed {
    delivery: Delivery,
    id: InstanceId,
    address: SocketAddr,
    stats: Arc<Stats>,
    files: Tempdir,
    _app: App,
    _stop: tokio_util::sync::DropGuard,
}

impl Renewed {
    async fn start(pki: &Pki, delivery: Delivery) -> Self {
        let (id, files, app) = (InstanceId::of_app("a"), Tempdir::new().unwrap(), App::start("a"));
        let file = |name: &str| files.path().join(name);
        std::fs::write(file("client-ca.crt"), pki.routers.pem()).unwrap();
        put(files.path(), delivery, &pki.instances.instance(&id).issue());
        let identity: IdentitySource = match delivery {
            Delivery::Pair => IdentityFiles { certificate: file("instance.crt"), key: file("instance.key") }.into(),
            Delivery::Secret => {
                IdentitySource::Secret(SecretFile { path: file("sds.yaml"), name: "id".into(), watched: None })
            }
        };
        let mode = Mode::strict(file("client-ca.crt"), vec![ROUTER_NAME.into()]);
        let listener = Listener::new(([127, 0, 0, 1], 0).into(), app.addr().into(), identity, mode);
        let bound = Sidecar::bind(Settings::new(vec![listener])).await.unwrap();
        let (address, stats, stop) = (bound.local_addr(), bound.stats(), CancellationToken::new());
        tokio::spawn(bound.run(stop.clone()));
        Self { delivery, id, address, stats, files, _app: app, _stop: stop.drop_guard() }
    }

    /// Puts a new certificate in its place and waits until it is in force.
    async fn renew(&self, pki: &Pki) {
        let taken = self.stats.of(Event::CertificateTaken);
        put(self.files.path(), self.delivery, &pki.instances.instance(&self.id).issue());
        eventually(PATIENCE, async || self.stats.of(Event::CertificateTaken) > taken).await;
    }
}

fn put(folder: &Path, delivery: Delivery, leaf: &Leaf) {
    match delivery {
        Delivery::Pair => drop(leaf.write_to(folder, "instance")),
        Delivery::Secret => {
            let secret = json!({"version_info": "0", "resources": [{
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
                "name": "id",
                "tls_certificate": {"certificate_chain": {"inline_string": leaf.chain_pem},
                                    "private_key": {"inline_string": leaf.key_pem}}}]});
            std::fs::write(folder.join("sds.yaml.tmp"), secret.to_string()).unwrap();
            std::fs::rename(folder.join("sds.yaml.tmp"), folder.join("sds.yaml")).unwrap();
        }
    }
}

/// Requests without a pause, until told to stop.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    requests: AtomicU64,
    failed: AtomicU64,
}

impl Load {
    async fn client(self: Arc<Self>, router: Reach) {
        let mut client = router.client().await;
        while !self.stop.load(Relaxed) {
            let post = Request::new("POST", "/").host("renewed.rotating").body(vec![b'x'; 1000]);
            let answer = client.request(post).await;
            self.requests.fetch_add(1, Relaxed);
            if !answer.as_ref().is_ok_and(|answer| answer.status == 200) {
                println!("failed: {answer:?}");
                self.failed.fetch_add(1, Relaxed);
                client = router.client().await;
            }
        }
    }
}

/// Renews both instances `times` times under load, one round in each `pace`, or as fast as they take it over.
async fn renew_under_load(times: u32, pace: Duration) {
    let scene = Scene::new();
    // One keeps its connections, one makes a new one for each request: both must go on as if nothing happened.
    let keeping = scene.router().start().await;
    let dialling = scene.router().set("disable_keep_alives", true).start().await;
    let mut instances = Vec::new();
    for delivery in [Delivery::Pair, Delivery::Secret] {
        let instance = Renewed::start(&scene.pki, delivery).await;
        let registration = Registration::tls(instance.address, &instance.id.instance).uri("renewed.rotating").app("a");
        keeping.register(&registration).await;
        dialling.register(&registration).await;
        instances.push(instance);
    }
    let load = Arc::new(Load::default());
    let reaches = [&keeping, &dialling].into_iter().cycle().take(CLIENTS);
    let clients: Vec<_> = reaches.map(|router| tokio::spawn(Arc::clone(&load).client((*router).clone()))).collect();

    let begun = Instant::now();
    let mut ticks = tokio::time::interval(pace.max(Duration::from_millis(1)));
    for _ in 0..times {
        ticks.tick().await;
        let before = load.requests.load(Relaxed);
        for instance in &instances {
            instance.renew(&scene.pki).await;
        }
        // Every certificate is used before the next one comes.
        eventually(PATIENCE, async || load.requests.load(Relaxed) > before + CLIENTS as u64).await;
    }
    load.stop.store(true, Relaxed);
    for client in clients {
        client.await.unwrap();
    }

    let (requests, failed) = (load.requests.load(Relaxed), load.failed.load(Relaxed));
    let sum = |event| instances.iter().map(|instance| instance.stats.of(event)).sum::<u64>();
    let (taken, handshakes) = (sum(Event::CertificateTaken), sum(Event::HandshakeDone));
    println!(
        "{requests} requests over {handshakes} connections, {failed} failed; {times} rounds of renewal, {taken} \
         certificates and authorities taken over, in {:?}",
        begun.elapsed()
    );
    assert_eq!((failed, sum(Event::HandshakeFailed)), (0, 0));
    for router in [&keeping, &dialling] {
        assert_eq!(router.metric("trueroute_retries_total").await, 0.0, "nothing was mended by asking again");
        assert_eq!(router.endpoints("renewed.rotating").await.len(), 2);
    }
    let rounds = 2 * u64::from(times);
    assert!(taken >= rounds && handshakes >= rounds, "{taken} {handshakes}");
}

#[tokio::test]
async fn certificates_are_renewed_under_load_and_no_request_fails_or_is_sent_twice() {
    renew_under_load(20, Duration::ZERO).await;
}

#[tokio::test]
#[ignore = "takes a minute; .ci/run runs it"]
async fn certificates_are_renewed_every_second_for_a_minute_under_load() {
    renew_under_load(60, Duration::from_secs(1)).await;
}
