//! From a bootstrap to settings.

use serde_json::Value;

use super::CommandLine;
use crate::{
    bootstrap::{Bootstrap, Cluster},
    settings::{Admin, Caps, Documents, Drain, Listener, Settings, Subject, Timeouts},
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
        admin: admin.map(|address| Admin {
            address,
            read_only: line.own.admin_read_only,
            address_path: line.admin_address_path.clone(),
            subject: subject(bootstrap, line),
        }),
        ..usual
    }
}

fn listener(listener: &crate::bootstrap::Listener, cluster: &Cluster, line: &CommandLine) -> Option<Listener> {
    let (usual, own) = (Timeouts::default(), line.own);
    let app = cluster.endpoints.first()?.clone();
    let (identity, mode) = (listener.identity.clone(), listener.mode.clone());
    let limits = cluster.breakers.default;
    let most = limits.limits_connections.then_some(limits.connections);
    let most = most.map(|most| usize::try_from(most).unwrap_or(usize::MAX));
    Some(Listener {
        name: listener.name.clone(),
        cluster: cluster.name.clone(),
        stat_prefix: listener.stat_prefix.clone(),
        offer: listener.offer.clone(),
        access_log: listener.access_log.clone(),
        on_refused: own.on_refused,
        proxy_protocol: cluster.proxy_protocol,
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

fn subject(bootstrap: &Bootstrap, line: &CommandLine) -> Subject {
    let all = |values: &[Value]| values.iter().map(|value| value.to_string().into()).collect();
    let documents = Documents {
        bootstrap: bootstrap.shown.bootstrap.to_string().into(),
        dynamic_listeners: all(&bootstrap.shown.dynamic_listeners),
        dynamic_clusters: all(&bootstrap.shown.dynamic_clusters),
    };
    let config = line.config.as_deref().map(|path| path.display().to_string()).unwrap_or_default();
    Subject {
        node_id: bootstrap.node.id.clone(),
        node_cluster: bootstrap.node.cluster.clone(),
        documents: Some(documents),
        limits: bootstrap.clusters.iter().map(|cluster| (cluster.name.clone(), cluster.breakers)).collect(),
        stats_rejected: bootstrap.stats_rejected && !line.own.keep_stats,
        options: vec![
            ("concurrency", 1.into()),
            ("config_path", config.into()),
            ("log_level", line.log_level.word.into()),
            ("service_cluster", line.cluster.clone().unwrap_or_default().into()),
            ("service_node", line.node.clone().unwrap_or_default().into()),
            ("drain_time", format!("{}s", line.drain_time.as_secs()).into()),
            ("mode", "Serve".into()),
            ("restart_epoch", 0.into()),
        ],
    }
}
