//! What docker-compose.yml, Dockerfile and config/compose.yml say to each other. Nothing here starts a container.

use std::collections::BTreeSet;

use clap::Parser;
use serde_json::Value;
use trueroute::config::{self, RouteIntegrity};
use trueroute_sidecar::{flags::Flags, settings::Mode};
use trueroute_testkit::Tempdir;

use crate::{read, root};

#[path = "../../crates/testkit/examples/identities.rs"]
#[allow(dead_code, reason = "a test calls what `main` calls")]
mod identities;

fn compose() -> Value {
    serde_saphyr::from_str(&read("docker-compose.yml")).unwrap()
}

fn services() -> Vec<(String, Value)> {
    let compose = compose();
    let services = compose["services"].as_object().unwrap();
    services.iter().map(|(name, service)| (name.clone(), service.clone())).collect()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(|item| item.as_str().unwrap().to_owned()).collect()
}

/// `(service, folder inside, volume)` for every mount of a volume.
fn mounts() -> Vec<(String, String, String)> {
    let mounts = services().into_iter().flat_map(|(name, service)| {
        texts(&service["volumes"]).into_iter().map(move |mount| {
            let mut parts = mount.split(':');
            let (volume, folder) = (parts.next().unwrap().to_owned(), parts.next().unwrap().to_owned());
            (name.clone(), folder, volume)
        })
    });
    mounts.collect()
}

/// `FROM image AS name` of the Dockerfile, in order.
fn stages() -> Vec<(String, String)> {
    let file = read("Dockerfile");
    let stages = file.lines().filter_map(|line| line.strip_prefix("FROM ")?.split_once(" AS "));
    stages.map(|(from, name)| (from.to_owned(), name.to_owned())).collect()
}

#[test]
fn what_services_refer_to_exists() {
    let services = services();
    let names: BTreeSet<&str> = services.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.len(), 7);
    let stages: Vec<String> = stages().into_iter().map(|(_, name)| name).collect();
    for (name, service) in &services {
        if let Some(build) = service["build"].as_object() {
            assert_eq!(build["context"], ".", "{name}");
            assert!(stages.iter().any(|stage| build["target"] == **stage), "{name}: {}", build["target"]);
        } else {
            assert!(service["image"].is_string(), "{name} has neither build nor image");
        }
        for other in service["depends_on"].as_object().into_iter().flat_map(|on| on.keys()) {
            assert!(names.contains(other.as_str()), "{name} depends on {other}");
        }
        if let Some(mode) = service["network_mode"].as_str() {
            assert!(names.contains(mode.strip_prefix("service:").unwrap()), "{name}: {mode}");
        }
    }
    let declared: BTreeSet<String> = compose()["volumes"].as_object().unwrap().keys().cloned().collect();
    let mounted: BTreeSet<String> = mounts().into_iter().map(|(_, _, volume)| volume).collect();
    assert_eq!(declared, mounted);
}

#[test]
fn the_images_are_made_of_what_the_tree_has() {
    let file = read("Dockerfile");
    let stages = stages();
    for (at, (from, name)) in stages.iter().enumerate() {
        let known = from.contains(':') || stages[..at].iter().any(|(_, earlier)| earlier == from);
        assert!(known, "{name} is built from {from}");
    }
    let named = |flag: &str| -> Vec<&str> {
        let words: Vec<&str> = file.split_whitespace().collect();
        words.windows(2).filter(|pair| pair[0] == flag).map(|pair| pair[1]).collect()
    };
    assert_eq!(named("--bin"), ["trueroute", "trueroute-sidecar"]);
    assert_eq!(named("-p"), ["trueroute", "trueroute-sidecar", "trueroute-testkit"]);
    assert_eq!(named("--example"), ["app", "identities"]);
    for source in ["src/main.rs", "crates/sidecar/src/main.rs", "crates/testkit/examples/app.rs"] {
        assert!(root().join(source).is_file(), "{source}");
    }
    // What one stage builds is what the others copy, and what is copied from the tree is there.
    for line in file.lines().filter_map(|line| line.strip_prefix("COPY ")) {
        let mut words = line.split(' ');
        match words.next().unwrap() {
            "--from=build" => {
                let source = words.next().unwrap();
                let built = source.rsplit('/').next().unwrap();
                let is_ours = source.starts_with("/src/target/release/");
                assert!(!is_ours || [named("--bin"), named("--example")].concat().contains(&built), "{source}");
            }
            "." => {}
            source => assert!(root().join(source).is_file(), "{source}"),
        }
    }
}

#[test]
fn the_sidecars_are_started_with_flags_that_they_take() {
    let services = services();
    let sidecars: Vec<&(String, Value)> =
        services.iter().filter(|(_, service)| service["build"]["target"] == "sidecar").collect();
    assert_eq!(sidecars.len(), 2);
    let nats = nats_login();
    for (name, service) in sidecars {
        let words = std::iter::once("trueroute-sidecar".to_owned()).chain(texts(&service["command"]));
        let settings = Flags::try_parse_from(words).and_then(Flags::settings).unwrap_or_else(|e| panic!("{name}: {e}"));
        let app = service["network_mode"].as_str().unwrap().strip_prefix("service:").unwrap().to_owned();
        let Mode::Strict { names, .. } = &settings.listeners[0].mode else { panic!("{name} is not strict") };
        assert_eq!(names, &[identities::ROUTER.into()]);
        let registration = settings.registration.unwrap();
        assert_eq!(registration.host, app, "routers reach the sidecar under the name of the app's network");
        assert_eq!(registration.tls_port, Some(settings.listeners[0].listen.port()));
        assert_eq!(registration.servers[0].login(), Some((nats.0.as_str(), nats.1.as_str())));
        // The certificate is that of the instance which registers.
        let volume = format!("{}-identity", registration.instance_id);
        assert!(mounts().contains(&(name.clone(), "/identity".into(), volume.clone())), "{name} mounts no {volume}");
        let made = format!("/identities/{}", registration.instance_id);
        assert!(mounts().contains(&("identities".into(), made, volume)));
        // The app listens where its sidecar looks for it.
        let (_, running) = services.iter().find(|(other, _)| *other == app).unwrap();
        assert_eq!(texts(&running["command"])[2], settings.listeners[0].app.port().to_string());
    }
}

fn nats_login() -> (String, String) {
    let services = services();
    let (_, nats) = services.iter().find(|(name, _)| name == "nats").unwrap();
    let command = texts(&nats["command"]);
    assert_eq!((command[0].as_str(), command[2].as_str()), ("--user", "--pass"));
    (command[1].clone(), command[3].clone())
}

#[test]
fn the_one_shot_makes_a_configuration_that_starts_a_router() {
    let services = services();
    let (_, one_shot) = services.iter().find(|(name, _)| name == "identities").unwrap();
    let command = texts(&one_shot["command"]);
    let [program, _, template, names @ ..] = command.as_slice() else { panic!("{command:?}") };
    let file = read("Dockerfile");
    assert!(file.contains(&format!("/identities {program}\n")) && file.contains(&format!("compose.yml {template}\n")));

    let folder = Tempdir::new().unwrap();
    identities::write(folder.path(), &root().join("config/compose.yml"), names).unwrap();
    let text = std::fs::read_to_string(folder.path().join("router/gorouter.yml")).unwrap();
    let parsed = config::parse(&text).unwrap();
    assert!(parsed.warnings.is_empty(), "{:?}", parsed.warnings);
    let config = parsed.config;
    assert_eq!(config.route_integrity, RouteIntegrity::Strict);
    assert!(config.backends.key_pair.is_some());
    assert_eq!(config.ca_certs.len(), 1);
    assert_eq!((config.nats.user.clone(), config.nats.pass.expose().to_owned()), nats_login());
    assert!(services.iter().any(|(name, _)| *name == config.nats.hosts[0].hostname));

    let (_, router) = services.iter().find(|(name, _)| name == "router").unwrap();
    assert_eq!(texts(&router["command"]), ["-c", "/identity/gorouter.yml"]);
    let mount = |service: &str, inside: &str| (service.to_owned(), inside.to_owned(), "router-identity".to_owned());
    assert!(mounts().contains(&mount("router", "/identity")));
    assert!(mounts().contains(&mount("identities", "/identities/router")));
    let published = texts(&router["ports"]).join(" ");
    for port in [config.port, config.status.port] {
        assert!(published.contains(&format!(":{port}:{port}")), "{port} is not in {published}");
    }
    for name in names {
        for file in ["instance.crt", "instance.key", "ca.crt"] {
            assert!(folder.path().join(name).join(file).is_file(), "{name}/{file}");
        }
    }
}
