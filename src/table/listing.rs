//! The table as `/routes` shows it (gorouter.md section 10).

use std::{sync::Arc, time::Duration};

use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};

use super::threshold;
use crate::route::{
    endpoint::{Endpoint, Tags},
    pool::Pool,
};

/// Every route with its endpoints at one moment, sorted by key. Serialises to the JSON object of
/// `/routes`; costs a pointer per route until then.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    pools: Vec<Arc<Pool>>,
    stale_threshold: Duration,
}

impl Listing {
    pub(super) fn new(mut pools: Vec<Arc<Pool>>, stale_threshold: Duration) -> Self {
        pools.sort_unstable_by(|a, b| a.route().key().cmp(b.route().key()));
        Self { pools, stale_threshold }
    }

    /// The pools in the order of their keys.
    #[must_use]
    pub fn pools(&self) -> &[Arc<Pool>] {
        &self.pools
    }
}

impl Serialize for Listing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.pools.len()))?;
        for pool in &self.pools {
            map.serialize_entry(pool.route().key(), &Rows { pool, stale_threshold: self.stale_threshold })?;
        }
        map.end()
    }
}

struct Rows<'a> {
    pool: &'a Pool,
    stale_threshold: Duration,
}

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let leases = self.pool.leases();
        let mut rows = serializer.serialize_seq(Some(leases.len()))?;
        for lease in leases {
            rows.serialize_element(&Row::of(lease.endpoint(), self.stale_threshold))?;
        }
        rows.end()
    }
}

/// One endpoint; the order of the fields is that of the JSON.
#[derive(Serialize)]
struct Row<'a> {
    address: &'a str,
    availability_zone: &'a str,
    protocol: &'a str,
    tls: bool,
    ttl: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    route_service_url: &'a str,
    tags: Option<Tags<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    isolation_segment: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    private_instance_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    server_cert_domain_san: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    load_balancing_algorithm: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    hash_header: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    hash_balance: f64,
}

fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

impl<'a> Row<'a> {
    fn of(endpoint: &'a Endpoint, stale_threshold: Duration) -> Self {
        let options = endpoint.options();
        Self {
            address: endpoint.peer.address(),
            availability_zone: endpoint.availability_zone(),
            protocol: endpoint.protocol().as_str(),
            tls: endpoint.peer.is_tls(),
            ttl: threshold(endpoint, stale_threshold).as_secs(),
            route_service_url: endpoint.route_service_url(),
            tags: endpoint.tags(),
            isolation_segment: endpoint.isolation_segment(),
            private_instance_id: endpoint.instance_id(),
            server_cert_domain_san: endpoint.server_cert_domain_san(),
            load_balancing_algorithm: options.map_or("", |options| &options.loadbalancing),
            hash_header: options.map_or("", |options| &options.hash_header),
            hash_balance: options.map_or(0.0, |options| options.hash_balance),
        }
    }
}
