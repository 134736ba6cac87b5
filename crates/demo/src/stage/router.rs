//! A router of the real library, told what to do by the text of a `gorouter.yml`.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use trueroute::{app::Router, config};
use trueroute_testkit::{
    Bus,
    pki::{Authority, Leaf},
};

use super::berth::Berth;
use crate::Failed;

/// How endpoints of this router prove who they are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Integrity<'a> {
    /// `strict`: by a certificate of `instances`, after this router has shown `own`.
    Strict { instances: &'a Authority, own: &'a Leaf },
    /// `off`: not at all.
    Off,
}

/// A running router and where it listens, all of it on 127.0.0.1.
#[derive(Debug)]
pub(crate) struct RunningRouter {
    pub(crate) config: PathBuf,
    pub(crate) http: SocketAddr,
    pub(crate) health: SocketAddr,
    pub(crate) routes: SocketAddr,
    pub(crate) metrics: SocketAddr,
    berth: Berth,
}

impl RunningRouter {
    /// Writes `<name>.yml` into `dir` and starts a router with it.
    pub(crate) async fn start(name: &str, dir: &Path, bus: &Bus, integrity: Integrity<'_>) -> Result<Self, Failed> {
        let file = dir.join(format!("{name}.yml"));
        let text = text(bus, integrity, &dir.join(format!("{name}.access.log")));
        fs::write(&file, text).map_err(Failed::scene(format!("write {}", file.display())))?;
        let config = config::load(&file).map_err(Failed::scene("read the configuration"))?.config;
        let (berth, addresses) = Berth::start(name.to_owned(), async |stop| {
            let starting = || Failed::scene("start the router");
            let router = Router::bind(config).await.map_err(starting())?.open().await.map_err(starting())?;
            let life = async |router: Router| {
                stop.cancelled_owned().await;
                router.drain().await;
                router.stop().await;
            };
            Ok((router.addresses(), life(router)))
        })
        .await?;
        let here = |address: Option<SocketAddr>| {
            let port = address.map(|address| address.port());
            let port = port.ok_or_else(|| Failed::Untrue(format!("{name} lacks one of its ports")));
            Ok::<_, Failed>(SocketAddr::from(([127, 0, 0, 1], port?)))
        };
        Ok(Self {
            config: file,
            http: here(addresses.http)?,
            health: here(addresses.health)?,
            routes: here(addresses.routes)?,
            metrics: here(addresses.metrics)?,
            berth,
        })
    }

    /// Finishes what is under way and ends.
    pub(crate) async fn stop(self) {
        self.berth.stop().await;
    }
}

/// A configuration that Gorouter could read but for `route_integrity`. Times are short, so that the story is.
fn text(bus: &Bus, integrity: Integrity<'_>, access_log: &Path) -> String {
    let integrity = match integrity {
        Integrity::Off => "route_integrity: off\n".to_owned(),
        Integrity::Strict { instances, own } => format!(
            "route_integrity: strict\n\
             droplet_stale_threshold: 1s\n\
             # Who signs the instances' certificates.\n\
             ca_certs:\n  - |\n{ca}\
             # What this router shows to the sidecars.\n\
             backends:\n  max_attempts: 3\n  cert_chain: |\n{chain}  private_key: |\n{key}",
            ca = indented(instances.pem()),
            chain = indented(&own.chain_pem),
            key = indented(&own.key_pem),
        ),
    };
    format!(
        "# A Gorouter configuration, written by the demo for one run. Port 0 takes a free one.\n\
         port: 0\n\
         status:\n  port: 0\n  user: demo\n  pass: demo\n  routes:\n    port: 0\n\
         prometheus:\n  enabled: true\n  port: 0\n\
         nats:\n  hosts:\n    - hostname: {host}\n      port: {port}\n\
         access_log:\n  file: {access_log:?}\n\
         start_response_delay_interval: 1s\n\
         prune_stale_droplets_interval: 500ms\n\
         suspend_pruning_if_nats_unavailable: true\n\
         empty_pool_response_code_503: true\n\
         drain_wait: 0s\n\
         drain_timeout: 2s\n\
         {integrity}",
        host = bus.host(),
        port = bus.port(),
    )
}

/// PEM as the lines of a YAML block.
fn indented(pem: &str) -> String {
    pem.lines().map(|line| format!("      {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_texts_are_configurations_without_a_warning() {
        let bus = Bus::Small(trueroute_testkit::Nats::start());
        let instances = Authority::new("instances");
        let own = Authority::new("routers").router_client("router.demo").issue();
        for (integrity, expected) in [
            (Integrity::Off, config::RouteIntegrity::Off),
            (Integrity::Strict { instances: &instances, own: &own }, config::RouteIntegrity::Strict),
        ] {
            let parsed = config::parse(&text(&bus, integrity, Path::new("/tmp/a \"b\""))).unwrap();
            assert_eq!(parsed.warnings, []);
            assert_eq!(parsed.config.route_integrity, expected);
            assert_eq!(parsed.config.access_log.file.as_deref(), Some(Path::new("/tmp/a \"b\"")));
        }
    }
}
