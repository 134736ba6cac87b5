//! Everything that plays: NATS, two authorities, two apps with three instances each, the router.
//!
//! Promise: whatever was started here has ended when the [`Stage`] is gone, and the files are deleted unless
//! [`Stage::keep_files`] was called. Only one stage per process: it takes the process' log lines.

mod berth;
mod instance;
mod logs;
mod router;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use trueroute_testkit::{
    Bus, ReservedPort, Tempdir,
    pki::{Authority, guid},
};

pub(crate) use self::{
    berth::Berth,
    instance::{Instance, Service},
    router::{Integrity, RunningRouter},
};
use self::{
    instance::{ROUTER, Surroundings},
    logs::Logs,
};
use crate::Failed;

/// Instances of each app at the start.
pub(crate) const INSTANCES: u32 = 3;

/// What plays, all of it running.
#[derive(Debug)]
pub struct Stage {
    pub(crate) router: RunningRouter,
    pub(crate) shop: Vec<Instance>,
    pub(crate) billing: Vec<Instance>,
    pub(crate) logs: Logs,
    around: Surroundings,
    labels: BTreeMap<String, String>,
    pub(crate) bus: Bus,
    dir: Tempdir,
}

impl Stage {
    /// Starts everything.
    ///
    /// # Errors
    /// Whatever keeps one of the parts from starting.
    pub async fn set() -> Result<Self, Failed> {
        // Many connections meet in this one process. Where the limit can't be raised, the usual one does.
        let _ = trueroute_sidecar::raise_limit();
        let dir = Tempdir::with_prefix("trueroute-demo-").map_err(Failed::scene("make a temporary directory"))?;
        let logs = Logs::start(dir.path())?;
        nats_server_is_a_file()?;
        let bus = Bus::best();
        let routers = Authority::new("router CA");
        let client_ca = dir.path().join("router-ca.crt");
        std::fs::write(&client_ca, routers.pem()).map_err(Failed::scene("write the router CA"))?;
        let around = Surroundings {
            dir: dir.path().to_owned(),
            instances: Authority::new("instance identity CA"),
            client_ca,
            nats: bus.url().parse().map_err(Failed::scene("read the URL of NATS"))?,
        };
        let router_leaf = routers.router_client(ROUTER).issue();
        let integrity = Integrity::Strict { instances: &around.instances, own: &router_leaf };
        let (shop, billing, router) = tokio::try_join!(
            crew(&around, service("shop", "shop.demo")),
            crew(&around, service("billing", "billing.demo")),
            RunningRouter::start("gorouter", dir.path(), &bus, integrity),
        )?;
        let mut stage = Self { router, shop, billing, logs, around, labels: BTreeMap::new(), bus, dir };
        let labels: Vec<_> = stage.instances().map(|i| (i.id.instance.clone(), i.label.clone())).collect();
        stage.labels.extend(labels);
        Ok(stage)
    }

    /// Starts one more instance of `service`, its sidecar at `port`.
    pub(crate) async fn hire(
        &mut self,
        service: &Service,
        number: u32,
        port: Arc<ReservedPort>,
    ) -> Result<Instance, Failed> {
        let instance = Instance::start(&self.around, service, number, port).await?;
        self.name(&instance.id.instance, &instance.label);
        Ok(instance)
    }

    /// Starts a second router, with `route_integrity: off`.
    pub(crate) async fn router_without_integrity(&self) -> Result<RunningRouter, Failed> {
        RunningRouter::start("gorouter-off", self.dir.path(), &self.bus, Integrity::Off).await
    }

    /// Remembers what the story calls the instance with this GUID.
    pub(crate) fn name(&mut self, instance: &str, label: &str) {
        self.labels.insert(instance.to_owned(), label.to_owned());
    }

    /// What the story calls the instance with this GUID.
    pub(crate) fn label<'a>(&'a self, instance: &'a str) -> &'a str {
        self.labels.get(instance).map_or(instance, String::as_str)
    }

    /// Every instance, dead ones included.
    pub(crate) fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.shop.iter().chain(&self.billing)
    }

    /// Where certificates, configuration and logs are.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Keeps the files when the stage is gone, for whoever wants to know what went wrong.
    pub fn keep_files(&mut self) -> PathBuf {
        self.dir.disable_cleanup(true);
        self.dir.path().to_owned()
    }

    /// Ends everything in order: the router finishes its requests, the sidecars unregister and drain, NATS dies.
    pub async fn stop(self) {
        self.router.stop().await;
        let sidecars: Vec<_> = self.shop.into_iter().chain(self.billing).map(|i| (i.sidecar, i.app)).collect();
        for (sidecar, _) in &sidecars {
            sidecar.ask_to_stop();
        }
        for (sidecar, app) in sidecars {
            sidecar.stop().await;
            drop(app);
        }
        self.bus.die();
    }
}

fn service(name: &'static str, host: &'static str) -> Service {
    Service { name, host, guid: guid() }
}

async fn crew(around: &Surroundings, service: Service) -> Result<Vec<Instance>, Failed> {
    let mut instances = Vec::new();
    for number in 1..=INSTANCES {
        instances.push(Instance::start(around, &service, number, Arc::new(ReservedPort::new())).await?);
    }
    Ok(instances)
}

/// Told here with the name of the variable, before anything is started in its place.
fn nats_server_is_a_file() -> Result<(), Failed> {
    match std::env::var_os("NATS_SERVER_BIN").map(PathBuf::from) {
        Some(named) if !named.as_os_str().is_empty() && !named.is_file() => {
            Err(Failed::Untrue(format!("NATS_SERVER_BIN names {}, which is no file", named.display())))
        }
        _ => Ok(()),
    }
}
