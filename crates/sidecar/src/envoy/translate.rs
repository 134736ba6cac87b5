//! From a bootstrap to settings.

use super::CommandLine;
use crate::{
    bootstrap::{Bootstrap, Cluster},
    settings::{Admin, Caps, Drain, Listener, Settings, Timeouts},
};

/// What `bootstrap` and `line` come to.
pub(super) fn settings(bootstrap: &Bootstrap, line: &CommandLine) -> Settings {
    let usual = Settings::new(Vec::new());
    let listeners = bootstrap.listeners.iter().filter_map(|listener| {
        // Reading has seen to it that there is one with one endpoint.
        let cluster = bootstrap.clusters.iter().find(|cluster| cluster.name == listener.cluster)?;
        self::listener(listener, cluster, line)
    });
    let admin = bootstrap.admin.clone();
    Settings {
        listeners: listeners.collect(),
        drain: Drain { time: line.drain_time, ..usual.drain },
        admin: admin.map(|address| Admin { address, read_only: line.own.admin_read_only }),
        ..usual
    }
}

fn listener(listener: &crate::bootstrap::Listener, cluster: &Cluster, line: &CommandLine) -> Option<Listener> {
    let (usual, own) = (Timeouts::default(), line.own);
    let app = cluster.endpoints.first()?.clone();
    let (identity, mode) = (listener.identity.clone(), listener.mode.clone());
    let most = cluster.limits.limits_connections.then_some(cluster.limits.connections);
    let most = most.map(|most| usize::try_from(most).unwrap_or(usize::MAX));
    Some(Listener {
        name: listener.name.clone(),
        cluster: cluster.name.clone(),
        offer: listener.offer.clone(),
        on_refused: own.on_refused,
        timeouts: Timeouts {
            dial: cluster.connect_timeout,
            handshake: own.handshake_timeout.or(listener.handshake).unwrap_or(usual.handshake),
            idle: listener.idle.unwrap_or(usual.idle),
        },
        caps: Caps {
            handshakes: own.max_handshakes.unwrap_or(Caps::default().handshakes),
            connections: own.max_connections.or(most),
        },
        ..Listener::new(listener.address, app, identity, mode)
    })
}
