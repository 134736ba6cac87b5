//! In Envoy's place: what Diego starts, and what it finds.

use std::{ffi::OsString, path::Path, process::Command};

use rustls::AlertDescription;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use trueroute_sidecar::{Settings, envoy::CommandLine, settings::Drain, stats::Event};
use trueroute_testkit::{
    eventually,
    pki::Leaf,
    tls::{ClientTls, Version},
};

use super::{
    diego::{Container, Door},
    process::PROGRAM,
    scene::{PATIENCE, Running, accept, alert, app, echo, echoing, rest, shown},
};

/// The settings that the executor's command line comes to.
pub(crate) fn settings(config: &Path) -> Settings {
    let words = ["-c", config.to_str().unwrap(), "--drain-time-s", "900", "--log-level", "critical"];
    let line = CommandLine::parse(words.map(OsString::from)).unwrap();
    let (settings, _) = line.settings().unwrap();
    Settings { drain: Drain { idle: std::time::Duration::from_millis(50), ..settings.drain }, ..settings }
}

fn run(words: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(PROGRAM).args(words).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn each_listener_leads_to_its_own_app_by_its_own_certificate() {
    let container = Container::new();
    let (one, other) = (echoing().await, app().await);
    let config = container.write(&[Door::app(one), Door::app(other.1), Door::c2c(one)], None);
    let sidecar = Running::start(settings(&config)).await;
    let [first, second, third] = sidecar.addrs[..] else { panic!("three listeners") };
    echo(&mut sidecar.call_at(first, &container.router()).await.unwrap(), "hello").await;
    let mut to_other = sidecar.call_at(second, &container.router()).await.unwrap();
    to_other.write_all(b"x").await.unwrap();
    accept(&other.0).await.read_exact(&mut [0; 1]).await.unwrap();
    // Another app comes by the internal route's name, and needs to prove nothing, also in strict.
    let neighbour = ClientTls::new(&container.instances, "app.apps.internal");
    let mut c2c = sidecar.call_at(third, &neighbour).await.unwrap();
    echo(&mut c2c, "hello").await;
    assert_ne!(shown(&c2c), shown(&to_other));
}

#[tokio::test]
async fn names_and_authorities_of_the_secret_decide_who_comes_in() {
    let container = Container::new();
    let config = container.write(&[Door::app(echoing().await)], None);
    let sidecar = Running::start(settings(&config)).await;
    let named = |name: &str| container.caller().identity(&container.routers.router_client(name).issue());
    echo(&mut sidecar.call(&named("ssh-proxy.service.cf.internal")).await.unwrap(), "hello").await;
    for version in [Version::Tls12, Version::Tls13] {
        let refused = async |tls: ClientTls| {
            let told = async {
                let mut stream = sidecar.call(&tls.only(version)).await?;
                stream.read(&mut [0; 1]).await
            };
            let told = timeout(PATIENCE, told).await.expect("a verdict in time");
            alert(&told.unwrap_err())
        };
        assert_eq!(refused(named("tcp-router.service.cf.internal")).await, Some(AlertDescription::BadCertificate));
        assert_eq!(refused(container.caller()).await, Some(AlertDescription::CertificateRequired));
    }
    container.believe(container.routers.pem(), &["tcp-router.service.cf.internal"]);
    eventually(PATIENCE, async || {
        let Ok(mut stream) = sidecar.call(&named("tcp-router.service.cf.internal")).await else { return false };
        stream.write_all(b"x").await.is_ok() && stream.read_exact(&mut [0; 1]).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn strict_without_an_authority_lets_nobody_in() {
    let container = Container::new();
    container.believe("", &[]);
    let config = container.write(&[Door::app(echoing().await)], None);
    let sidecar = Running::start(settings(&config)).await;
    assert_eq!(sidecar.call(&container.router()).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    container.believe(container.routers.pem(), &[]);
    eventually(PATIENCE, async || sidecar.call(&container.router()).await.is_ok()).await;
}

#[tokio::test]
async fn a_secret_is_taken_over_at_once_and_open_connections_stay() {
    let container = Container::new();
    let config = container.write(&[Door::app(echoing().await)], None);
    // Far more than a test takes, so that it is the watch that tells.
    let sidecar = Running::start(Settings { reload_interval: PATIENCE * 10, ..settings(&config) }).await;
    let mut old = sidecar.call(&container.router()).await.unwrap();
    for _ in 0..3 {
        let renewed = container.instances.instance(&container.id).issue();
        container.put("id", &renewed);
        eventually(PATIENCE, async || shown(&sidecar.call(&container.router()).await.unwrap()) == renewed.der).await;
        echo(&mut old, "still here").await;
    }
}

/// Mounted secrets are renewed by a link that leads elsewhere, and some folders as a whole.
#[tokio::test]
async fn a_folder_that_is_swapped_is_seen_at_once() {
    let source = "/static_resources/listeners/0/filter_chains/0/transport_socket/typed_config/common_tls_context\
                  /tls_certificate_sds_secret_configs/0/sds_config/path_config_source";
    for by_link in [true, false] {
        let container = Container::new();
        // Without authorities, whose file would have the folder watched in any case.
        let config = container.write(&[Door::c2c(echoing().await)], None);
        let mut document: serde_json::Value = serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
        let source = document.pointer_mut(source).unwrap();
        source["path"] = container.file("current/secret.yaml").to_str().into();
        if by_link {
            source.as_object_mut().unwrap().remove("watched_directory");
        }
        std::fs::write(&config, document.to_string()).unwrap();
        let put = |leaf: &Leaf, folder: &str| {
            std::fs::create_dir(container.file(folder)).unwrap();
            container.put("c2c", leaf);
            let secret = container.file("sds-c2c-cert-and-key.yaml");
            std::fs::rename(secret, container.file(&format!("{folder}/secret.yaml"))).unwrap();
        };
        put(&container.instances.instance(&container.id).issue(), "first");
        let renewed = container.instances.instance(&container.id).issue();
        put(&renewed, "second");
        let swap = |old: &str, new: &str| {
            let (old, new, current) = (container.file(old), container.file(new), container.file("current"));
            if by_link {
                std::os::unix::fs::symlink(&new, container.file("link")).unwrap();
                std::fs::rename(container.file("link"), current).unwrap();
            } else {
                let _ = std::fs::rename(&current, old);
                std::fs::rename(new, current).unwrap();
            }
        };
        swap("none", "first");
        // Far more than a test takes, so that it is the watch that tells.
        let sidecar = Running::start(Settings { reload_interval: PATIENCE * 10, ..settings(&config) }).await;
        assert_ne!(shown(&sidecar.call(&container.caller()).await.unwrap()), renewed.der);
        swap("first", "second");
        eventually(PATIENCE, async || shown(&sidecar.call(&container.caller()).await.unwrap()) == renewed.der).await;
    }
}

#[tokio::test]
async fn where_nothing_can_be_watched_files_are_read_at_intervals() {
    let container = Container::new();
    let config = container.write(&[Door::app(echoing().await)], None);
    let reload_interval = std::time::Duration::from_millis(20);
    let sidecar = Running::start(Settings { watch: false, reload_interval, ..settings(&config) }).await;
    let renewed = container.instances.instance(&container.id).issue();
    container.put("id", &renewed);
    eventually(PATIENCE, async || shown(&sidecar.call(&container.router()).await.unwrap()) == renewed.der).await;
}

#[tokio::test]
async fn a_half_written_secret_changes_nothing() {
    let container = Container::new();
    let config = container.write(&[Door::app(echoing().await)], None);
    let sidecar = Running::start(settings(&config)).await;
    let first = shown(&sidecar.call(&container.router()).await.unwrap());
    let (path, next) =
        (container.file("sds-id-cert-and-key.yaml"), container.instances.instance(&container.id).issue());
    let text = std::fs::read_to_string(&path).unwrap();
    for cut in [0, 1, text.len() / 3, text.len() - 2] {
        std::fs::write(&path, &text[..cut]).unwrap();
        eventually(PATIENCE, async || sidecar.stats.of(Event::CertificateRefused) > 0).await;
        assert_eq!(shown(&sidecar.call(&container.router()).await.unwrap()), first, "cut at {cut}");
    }
    container.put("id", &next);
    eventually(PATIENCE, async || shown(&sidecar.call(&container.router()).await.unwrap()) == next.der).await;
}

#[tokio::test]
async fn a_secret_that_comes_late_is_waited_for() {
    let container = Container::new();
    std::fs::remove_file(container.file("sds-id-cert-and-key.yaml")).unwrap();
    let config = container.write(&[Door::app(echoing().await)], None);
    let sidecar = Running::start(settings(&config)).await;
    assert_eq!(sidecar.call(&container.router()).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    container.put("id", &container.instances.instance(&container.id).issue());
    eventually(PATIENCE, async || sidecar.call(&container.router()).await.is_ok()).await;
}

#[tokio::test]
async fn the_sign_to_drain_closes_idle_connections_and_turns_new_ones_away() {
    let container = Container::new();
    let config = container.write(&[Door::app(echoing().await)], None);
    let sidecar = Running::start(settings(&config)).await;
    let mut pooled = sidecar.call(&container.router()).await.unwrap();
    echo(&mut pooled, "answered").await;
    container.put("id", &container.instances.drain().issue());
    assert_eq!(rest(&mut pooled).await.unwrap(), b"");
    // The wrong name is what makes a router go elsewhere.
    assert!(sidecar.call(&container.router()).await.is_err());
}

#[tokio::test]
async fn a_protocol_is_agreed_on_where_one_is_offered_and_never_demanded() {
    let container = Container::new();
    let app = echoing().await;
    let config = container.write(&[Door::app(app), Door::c2c(app)], None);
    let sidecar = Running::start(settings(&config)).await;
    let agreed = async |at: usize, asked: &[&str]| {
        let tls = if at == 0 { container.router() } else { ClientTls::new(&container.instances, "app.apps.internal") };
        let stream = sidecar.call_at(sidecar.addrs[at], &tls.alpn(asked)).await.unwrap();
        stream.get_ref().1.alpn_protocol().map(|name| String::from_utf8(name.to_vec()).unwrap())
    };
    assert_eq!(agreed(0, &["h2", "http/1.1"]).await.as_deref(), Some("h2"));
    assert_eq!(agreed(0, &["http/1.1"]).await.as_deref(), Some("http/1.1"));
    assert_eq!(agreed(0, &[]).await, None);
    // Envoy goes on without one; rustls by itself would turn the caller away.
    assert_eq!(agreed(0, &["istio"]).await, None);
    assert_eq!(agreed(1, &["h2", "http/1.1"]).await, None);
}

#[test]
fn a_configuration_is_validated_without_serving_it() {
    let container = Container::new();
    let app = ([127, 0, 0, 1], 1).into();
    let config = container.write(&[Door::app(app)], None);
    let config = config.to_str().unwrap();
    let (code, out, _) = run(&["-c", config, "--mode", "validate"]);
    assert_eq!((code, out), (Some(0), format!("configuration '{config}' OK\n")));
    let spoilt = std::fs::read_to_string(config).unwrap().replace("\"STATIC\"", "\"EDS\"");
    std::fs::write(config, spoilt).unwrap();
    let (code, _, err) = run(&["-c", config, "--mode", "validate", "--log-level", "off"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("static_resources.clusters[0].type: \"EDS\" is not supported"), "{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
}

#[test]
fn a_configuration_whose_files_can_not_be_served_is_not_valid() {
    let container = Container::new();
    let config = container.write(&[Door::app(([127, 0, 0, 1], 1).into())], None);
    let validated = || run(&["-c", config.to_str().unwrap(), "--mode", "validate"]);
    // A secret may be incomplete still, and serving waits for it.
    let secret = container.file("sds-id-cert-and-key.yaml");
    std::fs::write(&secret, "resources: [").unwrap();
    let (code, _, err) = validated();
    assert_eq!((code, err.matches("serving would wait").count()), (Some(0), 1), "{err}");
    std::fs::remove_file(&secret).unwrap();
    std::fs::remove_file(container.file("sds-id-validation-context.yaml")).unwrap();
    let (code, out, err) = validated();
    assert_eq!((code, out.as_str(), err.lines().count()), (Some(1), "", 2), "{err}");
    for (line, file) in err.lines().zip(["sds-id-cert-and-key.yaml", "sds-id-validation-context.yaml"]) {
        assert!(line.starts_with("error: listener-1-61001: ") && line.contains(file), "{err}");
    }
}

#[test]
fn one_screen_leads_from_the_port_to_the_app() {
    let container = Container::new();
    let app = ([10, 255, 116, 6], 8080).into();
    let doors = [Door { port: 61001, ..Door::app(app) }, Door { port: 61443, ..Door::c2c(app) }];
    let config = container.write(&doors, Some(([127, 0, 0, 1], 61003).into()));
    let (code, out, err) = run(&["explain", "-c", config.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{err}");
    for expected in [
        "port 61001 (127.0.0.1:61001) -> listener listener-8080-61001 -> cluster service-cluster-8080 -> app 10.255.116.6:8080",
        "demands  strict: a certificate of the authorities in",
        "allows   gorouter.service.cf.internal, ssh-proxy.service.cf.internal",
        "agrees   h2, http/1.1",
        "port 61443 (127.0.0.1:61443) -> listener listener-8080-61443 -> cluster service-cluster-8080 -> app 10.255.116.6:8080",
        "demands  tls: nothing of the caller",
        "admin pages: 127.0.0.1:61003",
        container.id.instance.as_str(),
    ] {
        assert!(out.contains(expected), "{expected}\n{out}");
    }
    assert!(out.lines().count() <= 24, "{out}");
}

#[test]
fn under_envoys_name_it_is_envoy() {
    let container = Container::new();
    let program = container.file("envoy");
    std::os::unix::fs::symlink(PROGRAM, &program).unwrap();
    let output = Command::new(&program).arg("--version").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("envoy  version: trueroute-sidecar/"), "{text}");
    let config = container.write(&[Door::app(([127, 0, 0, 1], 1).into())], None);
    // As the executor starts it, trap and all, in an empty environment.
    let line = format!(
        "trap 'kill -9 0' TERM; {} -c {} --drain-time-s 900 --log-level critical --mode validate& wait $!",
        program.display(),
        config.display()
    );
    let output = Command::new("/bin/sh").env_clear().args(["-c", &line]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
