//! What earlier Diegos wrote, and what a container lives through.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use rustls::CipherSuite;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use trueroute_sidecar::{Settings, stats::Event};
use trueroute_testkit::{
    ReservedPort, Tempdir, eventually,
    pki::{Authority, InstanceId, KeyKind, Leaf},
    tls::{ClientTls, Version},
};

use super::{
    diego::{Container, Door},
    envoy::settings,
    scene::{PATIENCE, Running, World, accept, app, echo, echoing, shown},
};

/// The layout of 2018: a bootstrap without listeners, and a file of them with the certificate inline, rewritten whole.
fn write_2018(dir: &Path, app: std::net::SocketAddr, leaf: &Leaf) {
    let indented = |text: &str| text.lines().map(|line| format!("              {line}\n")).collect::<String>();
    let listeners = format!(
        "version_info: \"0\"\nresources:\n- '@type': type.googleapis.com/envoy.api.v2.Listener\n  name: listener-8080\n  \
         address:\n    socket_address:\n      address: 127.0.0.1\n      port_value: 0\n  filter_chains:\n  - filters:\n    \
         - name: envoy.tcp_proxy\n      config:\n        stat_prefix: 0-stats\n        cluster: 0-service-cluster\n    \
         tls_context:\n      common_tls_context:\n        tls_certificates:\n        - certificate_chain:\n            \
         inline_string: |\n{}          private_key:\n            inline_string: |\n{}        tls_params:\n          \
         cipher_suites: '[ECDHE-RSA-AES256-GCM-SHA384|ECDHE-RSA-AES128-GCM-SHA256]'\n",
        indented(&leaf.chain_pem),
        indented(&leaf.key_pem)
    );
    fs::write(dir.join("listeners.yaml"), listeners).unwrap();
    let bootstrap = format!(
        "admin:\n  access_log_path: /dev/null\n  address:\n    socket_address:\n      address: 127.0.0.1\n      \
         port_value: 0\nstatic_resources:\n  clusters:\n  - name: 0-service-cluster\n    connect_timeout: 0.25s\n    \
         type: STATIC\n    lb_policy: ROUND_ROBIN\n    hosts:\n    - socket_address:\n        address: {}\n        \
         port_value: {}\ndynamic_resources:\n  lds_config:\n    path: {}\n",
        app.ip(),
        app.port(),
        dir.join("listeners.yaml").display()
    );
    fs::write(dir.join("envoy.yaml"), bootstrap).unwrap();
}

#[tokio::test]
async fn the_layout_of_2018_is_served_and_renewed() {
    let (dir, instances, id) = (Tempdir::new().unwrap(), Authority::new("instances"), InstanceId::random());
    let issue = || instances.instance(&id).key(KeyKind::Rsa2048).issue();
    let app = echoing().await;
    write_2018(dir.path(), app, &issue());
    let sidecar = Running::start(settings(&dir.path().join("envoy.yaml"))).await;
    let router = ClientTls::new(&instances, &id.instance);
    let mut open = sidecar.call(&router).await.unwrap();
    echo(&mut open, "hello").await;
    let renewed = issue();
    write_2018(dir.path(), app, &renewed);
    eventually(PATIENCE, async || shown(&sidecar.call(&router).await.unwrap()) == renewed.der).await;
    echo(&mut open, "still here").await;
}

#[tokio::test]
async fn diegos_suites_are_spoken_in_both_versions() {
    let container = Container::new();
    container.put("id", &container.instances.instance(&container.id).key(KeyKind::Rsa2048).issue());
    let config = container.write(&[Door::app(echoing().await)], None);
    // As the executor lists them, without the one for other stories' certificates.
    let listed = fs::read_to_string(&config).unwrap().replace("\"ECDHE-ECDSA-AES256-GCM-SHA384\",", "");
    fs::write(&config, listed).unwrap();
    let sidecar = Running::start(settings(&config)).await;
    let suite = async |version| {
        let mut stream = sidecar.call(&container.router().only(version)).await.unwrap();
        echo(&mut stream, "hello").await;
        stream.get_ref().1.negotiated_cipher_suite().unwrap().suite()
    };
    let of_diego =
        [CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256];
    assert!(of_diego.contains(&suite(Version::Tls12).await));
    // Those of 1.3 are the library's; the list says nothing of them.
    assert!(!of_diego.contains(&suite(Version::Tls13).await));
    // A certificate that none of the suites fits can not be shown in 1.2, and can in 1.3.
    container.put("id", &container.instances.instance(&container.id).issue());
    eventually(PATIENCE, async || sidecar.call(&container.router().only(Version::Tls12)).await.is_err()).await;
    suite(Version::Tls13).await;
}

#[tokio::test]
async fn a_listener_speaks_no_version_above_its_maximum() {
    let container = Container::new();
    let config = container.write(&[Door::app(echoing().await)], None);
    let text = fs::read_to_string(&config).unwrap();
    let bounded = "\"tls_params\": {\"tls_maximum_protocol_version\": \"TLSv1_2\",";
    fs::write(&config, text.replace("\"tls_params\": {", bounded)).unwrap();
    let sidecar = Running::start(settings(&config)).await;
    echo(&mut sidecar.call(&container.router()).await.unwrap(), "hello").await;
    assert!(sidecar.call(&container.router().only(Version::Tls13)).await.is_err());
    assert_eq!(sidecar.stats.of(Event::SpokeTls12), 1);
}

#[tokio::test]
async fn certificates_change_under_load_without_one_failure() {
    let container = Container::new();
    let config = container.write(&[Door::app(echoing().await)], None);
    let sidecar = Arc::new(Running::start(settings(&config)).await);
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (tls, sidecar, stop, done) = (container.router(), sidecar.clone(), stop.clone(), done.clone());
            tokio::spawn(async move {
                let mut kept = sidecar.call(&tls).await.unwrap();
                while !stop.load(Relaxed) {
                    echo(&mut sidecar.call(&tls).await.unwrap(), "new").await;
                    echo(&mut kept, "kept").await;
                    done.fetch_add(1, Relaxed);
                }
            })
        })
        .collect();
    for round in 1..=20 {
        container.put("id", &container.instances.instance(&container.id).issue());
        eventually(PATIENCE, async || sidecar.stats.of(Event::CertificateTaken) > round).await;
    }
    stop.store(true, Relaxed);
    for each in load {
        each.await.unwrap();
    }
    assert!(done.load(Relaxed) > 20);
    assert_eq!((sidecar.stats.of(Event::HandshakeFailed), sidecar.stats.of(Event::CertificateRefused)), (0, 0));
}

#[tokio::test]
async fn no_session_from_before_the_sign_to_drain_is_resumed_after_it() {
    let container = Container::new();
    let config = container.write(&[Door::c2c(echoing().await)], None);
    let sidecar = Running::start(settings(&config)).await;
    let tls = ClientTls::new(&container.instances, "app.apps.internal").resuming();
    let resumed = async || {
        let mut stream = sidecar.call(&tls).await?;
        // Tickets come behind the handshake.
        echo(&mut stream, "hello").await;
        std::io::Result::Ok(stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed))
    };
    assert!(!resumed().await.unwrap());
    assert!(resumed().await.unwrap());
    container.put("c2c", &container.instances.drain().issue());
    eventually(PATIENCE, async || sidecar.stats.of(Event::CertificateTaken) > 1).await;
    // A full handshake, and with it the look at the name.
    assert!(resumed().await.is_err());
}

#[tokio::test]
async fn a_thousand_calls_to_an_app_that_refuses_all_fail_before_the_handshake_ends() {
    let (container, nobody) = (Container::new(), ReservedPort::new());
    let config = container.write(&[Door::app(nobody.addr())], None);
    let sidecar = Running::start(settings(&config)).await;
    let router = container.router();
    for _ in 0..1000 {
        let error = sidecar.call(&router).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    assert_eq!((sidecar.stats.of(Event::AppRefused), sidecar.stats.of(Event::HandshakeDone)), (1000, 0));
}

#[tokio::test]
async fn idle_and_handshake_timeouts_of_the_document_hold() {
    let container = Container::new();
    let config = container.write(&[Door::app(echoing().await)], None);
    let text = fs::read_to_string(&config).unwrap();
    let text = text.replace("\"stat_prefix\"", "\"idle_timeout\": \"0.2s\", \"stat_prefix\"");
    let text =
        text.replace("\"transport_socket\"", "\"transport_socket_connect_timeout\": \"0.3s\", \"transport_socket\"");
    fs::write(&config, text).unwrap();
    let sidecar = Running::start(settings(&config)).await;
    let mut router = sidecar.call(&container.router()).await.unwrap();
    echo(&mut router, "hello").await;
    sidecar.sees(Event::RelayIdle, 1).await;
    let _silent = tokio::net::TcpStream::connect(sidecar.addr).await.unwrap();
    sidecar.sees(Event::HandshakeTimedOut, 1).await;
}

#[tokio::test]
async fn small_pieces_are_not_held_back() {
    let (world, (listener, addr)) = (World::new(), app().await);
    let sidecar = Running::start(world.settings(addr, world.strict())).await;
    let mut router = sidecar.call(&world.router()).await.unwrap();
    let mut instance = accept(&listener).await;
    instance.set_nodelay(true).unwrap();
    let start = tokio::time::Instant::now();
    for _ in 0..50 {
        // A piece that is held back until the one before it is acknowledged waits for 40 ms, since nobody answers yet.
        for piece in [b"he", b"ll"] {
            router.write_all(piece).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        instance.read_exact(&mut [0; 4]).await.unwrap();
        for piece in [b"wo", b"rl"] {
            instance.write_all(piece).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        router.read_exact(&mut [0; 4]).await.unwrap();
    }
    assert!(start.elapsed() < Duration::from_millis(50 * 20), "{:?}", start.elapsed());
}

#[tokio::test]
async fn ipv6_is_listened_on_and_dialled() {
    let world = World::new();
    let Ok(listener) = tokio::net::TcpListener::bind("[::1]:0").await else { return };
    let app = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut from, mut to) = stream.split();
        let _ = tokio::io::copy(&mut from, &mut to).await;
    });
    let mut settings = world.settings(app, world.strict());
    settings.listeners[0].listen = "[::1]:0".parse().unwrap();
    let sidecar = Running::start(Settings { ..settings }).await;
    echo(&mut sidecar.call(&world.router()).await.unwrap(), "hello").await;
}
