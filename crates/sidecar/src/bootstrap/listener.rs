//! Listeners: one port, its TLS, and the cluster behind it.

use std::{net::SocketAddr, time::Duration};

use trueroute_identity::accept::Offer;

use super::{
    cluster::socket_address,
    fields::{Fields, Node, Notes},
    tls::{self, Place, Tls},
};
use crate::settings::{AccessLog, IdentitySource, Mode};

/// One door as a document describes it.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Its name, unlike all others.
    pub name: String,
    /// Where to accept.
    pub address: SocketAddr,
    /// The prefix of its figures.
    pub stat_prefix: String,
    /// The name of the cluster behind it.
    pub cluster: String,
    /// Where `cluster` stands, for complaints.
    pub(super) cluster_at: String,
    /// What it shows.
    pub identity: IdentitySource,
    /// What it demands.
    pub mode: Mode,
    /// What it agrees to.
    pub offer: Offer,
    /// Without a byte either way: `None` where the document says nothing, `Some(None)` for never.
    pub idle: Option<Option<Duration>>,
    /// Time for a whole handshake, where the document sets one.
    pub handshake: Option<Duration>,
    /// Where a line is written for each connection, if anywhere.
    pub access_log: Option<AccessLog>,
}

/// Reads a `Listener`.
pub(super) fn listener(node: &Node<'_>, place: Place<'_>, notes: &mut Notes) -> Option<Listener> {
    node.fields(notes, |fields, notes| {
        // One thread accepts, so ports are not shared; and no more than a chunk is buffered whatever the limit.
        fields.pass_over(&[
            "@type",
            "stat_prefix",
            "traffic_direction",
            "metadata",
            "enable_reuse_port",
            "reuse_port",
            "per_connection_buffer_limit_bytes",
            "listener_filters_timeout",
        ]);
        let name = fields.take("name");
        let called = name.text(notes).or_else(|| name.missing("secrets and figures go by it", notes));
        let at = fields.take("address");
        let address = socket_address(&at, notes);
        let address = address.and_then(|(host, port)| match host.parse() {
            Ok(ip) => Some(SocketAddr::new(ip, port)),
            Err(_) => at.wrong("an IP address", notes),
        });
        let bind = fields.take("bind_to_port");
        if !bind.is_null() && !bind.flag(notes) {
            bind.unsupported::<()>(notes);
        }
        let chains = fields.take("filter_chains");
        let chain = match chains.list(notes).as_slice() {
            [chain] => filter_chain(chain, place, called.unwrap_or_default(), notes),
            [] => chains.missing("there is nothing to do with a connection", notes),
            _ => chains.wrong("one filter chain", notes),
        };
        let Chain { tls, proxy, handshake } = chain?;
        Some(Listener {
            name: called?.to_owned(),
            address: address?,
            stat_prefix: proxy.stat_prefix,
            cluster: proxy.cluster,
            cluster_at: proxy.cluster_at,
            identity: tls.identity,
            mode: tls.mode,
            offer: tls.offer,
            idle: proxy.idle,
            handshake,
            access_log: proxy.access_log,
        })
    })
}

struct Chain {
    tls: Tls,
    proxy: Proxy,
    handshake: Option<Duration>,
}

fn filter_chain(node: &Node<'_>, place: Place<'_>, listener: &str, notes: &mut Notes) -> Option<Chain> {
    node.fields(notes, |fields, notes| {
        fields.pass_over(&["name", "metadata"]);
        let filters = fields.take("filters");
        let proxy = match filters.list(notes).as_slice() {
            [filter] => tcp_proxy(filter, notes),
            _ => filters.wrong("one filter, tcp_proxy", notes),
        };
        let (socket, context) = (fields.take("transport_socket"), fields.take("tls_context"));
        let tls = match (socket.is_empty(), context.is_empty()) {
            (false, true) => transport_socket(&socket, place, listener, notes),
            (true, false) => tls::downstream(&context, place, listener, notes),
            (true, true) => socket.missing("a listener without TLS is not served", notes),
            (false, false) => socket.wrong("one transport socket", notes),
        };
        let handshake = fields.take("transport_socket_connect_timeout").duration(notes);
        Some(Chain { tls: tls?, proxy: proxy?, handshake: handshake.filter(|limit| !limit.is_zero()) })
    })
}

/// The socket is told by its type: Diego gives it the listener's name.
fn transport_socket(node: &Node<'_>, place: Place<'_>, listener: &str, notes: &mut Notes) -> Option<Tls> {
    node.fields(notes, |fields, notes| {
        fields.pass_over(&["name"]);
        let config = fields.take("typed_config");
        let kind = kind_of(&config, notes);
        if kind.ends_with(".DownstreamTlsContext") {
            tls::downstream(&config, place, listener, notes)
        } else {
            config.unsupported(notes)
        }
    })
}

pub(super) fn kind_of(config: &Node<'_>, notes: &mut Notes) -> String {
    let mut other = Notes::default();
    // Read again, and in full, by whoever knows the type.
    let kind = config.fields(&mut other, |fields, _| fields.take("@type").one_text().map(str::to_owned));
    kind.or_else(|| config.missing("its @type says what it is", notes)).unwrap_or_default()
}

struct Proxy {
    stat_prefix: String,
    cluster: String,
    cluster_at: String,
    idle: Option<Option<Duration>>,
    access_log: Option<AccessLog>,
}

fn tcp_proxy(node: &Node<'_>, notes: &mut Notes) -> Option<Proxy> {
    node.fields(notes, |fields, notes| {
        let name = fields.take("name");
        let (typed, untyped) = (fields.take("typed_config"), fields.take("config"));
        match (typed.is_empty(), untyped.is_empty()) {
            (false, true) if kind_of(&typed, notes).ends_with(".TcpProxy") => {
                typed.fields(notes, |fields, notes| proxy(fields, notes))
            }
            // Without a type the name has to tell.
            (true, false) if matches!(name.one_text(), Some("envoy.tcp_proxy" | "envoy.filters.network.tcp_proxy")) => {
                untyped.fields(notes, |fields, notes| proxy(fields, notes))
            }
            (false, true) => typed.unsupported(notes),
            (true, false) => name.unsupported(notes),
            _ => typed.missing("it names the cluster", notes),
        }
    })
}

fn proxy(fields: &mut Fields<'_>, notes: &mut Notes) -> Option<Proxy> {
    fields.pass_over(&["@type", "access_log_flush_interval"]);
    let cluster = fields.take("cluster");
    let named = cluster.text(notes).or_else(|| cluster.missing("connections go there", notes));
    let idle = fields.take("idle_timeout").duration(notes);
    let attempts = fields.take("max_connect_attempts");
    if attempts.number(notes).is_some_and(|attempts| attempts > 1) {
        attempts.unsupported::<()>(notes);
    }
    let logs = fields.take("access_log");
    let access_log = match logs.list(notes).as_slice() {
        [] => None,
        [log] => access_log(log, notes),
        _ => logs.wrong("one access log", notes),
    };
    let stat_prefix = fields.take("stat_prefix").text(notes).unwrap_or_default().to_owned();
    Some(Proxy {
        stat_prefix,
        cluster: named?.to_owned(),
        cluster_at: cluster.at,
        access_log,
        idle: idle.map(|idle| Some(idle).filter(|idle| !idle.is_zero())),
    })
}

/// Reads an `AccessLog`: to a file or a standard stream, in the format that is Envoy's own.
fn access_log(node: &Node<'_>, notes: &mut Notes) -> Option<AccessLog> {
    node.fields(notes, |fields, notes| {
        fields.pass_over(&["name"]);
        let (typed, untyped) = (fields.take("typed_config"), fields.take("config"));
        let config = if typed.is_empty() { untyped } else { typed.clone() };
        let kind = if typed.is_empty() { ".FileAccessLog".to_owned() } else { kind_of(&typed, notes) };
        match kind.rsplit('.').next() {
            Some("StdoutAccessLog") => config.fields(notes, |fields, _| {
                fields.pass_over(&["@type"]);
                Some(AccessLog::Stdout)
            }),
            Some("StderrAccessLog") => config.fields(notes, |fields, _| {
                fields.pass_over(&["@type"]);
                Some(AccessLog::Stderr)
            }),
            Some("FileAccessLog") => config.fields(notes, |fields, notes| {
                fields.pass_over(&["@type"]);
                let path = fields.take("path");
                match path.text(notes) {
                    Some("/dev/null") => None,
                    Some("/dev/stdout") => Some(AccessLog::Stdout),
                    Some("/dev/stderr") => Some(AccessLog::Stderr),
                    Some(file) => Some(AccessLog::File(file.into())),
                    None => path.missing("lines go there", notes),
                }
            }),
            _ => config.unsupported(notes),
        }
    })
}
