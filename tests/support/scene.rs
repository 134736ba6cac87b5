//! What routers and instances share: a bus and the certificates.

use std::sync::Arc;

use trueroute_testkit::{
    Bus,
    pki::{Authority, InstanceId, Leaf},
    tls::ServerTls,
};

use super::settings::RouterBuilder;

/// The name in the router's own certificate.
pub(crate) const ROUTER_NAME: &str = "gorouter.service.cf.internal";

/// Two authorities, and what the router shows to instances.
#[derive(Clone, Debug)]
pub(crate) struct Pki {
    /// Signs instances; the router trusts it.
    pub(crate) instances: Authority,
    /// Signs routers; instances trust it.
    pub(crate) routers: Authority,
    /// The router's certificate.
    pub(crate) router: Leaf,
}

impl Pki {
    /// A PKI that nobody else has.
    pub(crate) fn new() -> Self {
        let routers = Authority::new("routers");
        let router = routers.router_client(ROUTER_NAME).issue();
        Self { instances: Authority::new("instances"), routers, router }
    }

    /// The door of an instance: its certificate, and nobody but a router gets in.
    pub(crate) fn door(&self, id: &InstanceId) -> ServerTls {
        self.door_showing(&self.instances.instance(id).issue())
    }

    /// The same with another certificate.
    pub(crate) fn door_showing(&self, leaf: &Leaf) -> ServerTls {
        ServerTls::new(leaf).require_client(&self.routers)
    }
}

/// A bus and a PKI. Cloning shares both; the bus ends with the last clone.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) bus: Arc<Bus>,
    pub(crate) pki: Pki,
}

impl Scene {
    /// Over a real nats-server where there is one, else over the small one.
    pub(crate) fn new() -> Self {
        Self::over(Bus::best())
    }

    /// Over this bus.
    pub(crate) fn over(bus: Bus) -> Self {
        Self { bus: Arc::new(bus), pki: Pki::new() }
    }

    /// A router of this scene, to describe first.
    pub(crate) fn router(&self) -> RouterBuilder {
        RouterBuilder::new(self.clone())
    }
}
