//! What Diego's executor writes for Envoy, read into typed values.
//!
//! Three generations are understood: the bootstrap of version 3 with every default written out, the one of 2019 with
//! settings of version 2, and the layout of 2018 with certificates inline in a file of listeners (sidecar.md §1.2-1.4).
//! Pure: files are read by a function that the caller hands in. Promises: what would change Envoy's behaviour and is
//! not implemented is refused by the path it stands at; what is empty is not there; nothing here panics on any text.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use serde_json::Value;

mod cluster;
pub(crate) mod document;
mod fields;
mod listener;
mod problem;
pub mod secret;
mod tls;
mod upstream;

pub use cluster::Cluster;
use fields::{Fields, Node, Notes};
pub use listener::Listener;
pub use problem::{BootstrapError, Problem, Problems};
use tls::Place;

use crate::settings::AdminAddress;

/// A document that can be served.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    /// Who this proxy says it is.
    pub node: NodeName,
    /// Where the admin pages are, if anywhere.
    pub admin: Option<AdminAddress>,
    /// The doors, at least one.
    pub listeners: Vec<Listener>,
    /// The targets; every listener's is among them, with one endpoint.
    pub clusters: Vec<Cluster>,
    /// Whether figures are to be kept out of `/stats`, as Diego asks for.
    pub stats_rejected: bool,
    /// What is passed over without harm, in words for an operator.
    pub warnings: Vec<String>,
    /// The document as `/config_dump` shows it.
    pub shown: Shown,
}

/// `node` of a bootstrap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeName {
    /// Its id: `sidecar~<ip>~<guid>~x` with Diego.
    pub id: String,
    /// Its cluster: `proxy-cluster` with Diego.
    pub cluster: String,
}

/// The documents without defaults and without secrets.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// The bootstrap.
    pub bootstrap: Value,
    /// Listeners from a file of listeners.
    pub dynamic_listeners: Vec<Value>,
    /// Clusters from a file of clusters.
    pub dynamic_clusters: Vec<Value>,
}

/// Reads the bootstrap at `path`, and the files of listeners and clusters that it names.
///
/// # Errors
/// What keeps it from being served: all of it, each by its place.
pub fn read(path: &Path, file: &dyn Fn(&Path) -> io::Result<String>) -> Result<Bootstrap, BootstrapError> {
    parse(path, &text(path, file)?, file)
}

/// Reads the bootstrap `text`, which errors call `path`.
///
/// # Errors
/// As [`read`].
pub fn parse(path: &Path, text: &str, file: &dyn Fn(&Path) -> io::Result<String>) -> Result<Bootstrap, BootstrapError> {
    let mut document = yaml(path, text)?;
    let mut notes = Notes::default();
    let parts = Node::root("", &document).fields(&mut notes, |fields, notes| parts(fields, notes));
    let (listeners_file, clusters_file) = (parts.listeners_file.clone(), parts.clusters_file.clone());
    let mut draft = Draft { listeners: parts.listeners, clusters: parts.clusters };
    let mut shown = Shown::default();
    if let Some(path) = &clusters_file {
        shown.dynamic_clusters = draft.add_clusters(path, file, &mut notes)?;
    }
    if let Some(path) = &listeners_file {
        shown.dynamic_listeners = draft.add_listeners(path, file, &mut notes)?;
    }
    draft.check(&mut notes);
    if !notes.problems.is_empty() {
        return Err(BootstrapError::Refused { path: path.to_owned(), problems: notes.problems.into() });
    }
    for value in [&mut document].into_iter().chain(&mut shown.dynamic_listeners).chain(&mut shown.dynamic_clusters) {
        document::strip(value);
        document::redact(value);
    }
    shown.bootstrap = document;
    Ok(Bootstrap {
        node: parts.node,
        admin: parts.admin,
        listeners: draft.listeners,
        clusters: draft.clusters,
        stats_rejected: parts.stats_rejected,
        warnings: notes.warnings,
        shown,
    })
}

/// One listener of the file of listeners `text`, found by its name: its certificate is renewed there in the layout of
/// 2018.
///
/// # Errors
/// What keeps the file from being read, or that no listener has that name.
pub fn listener_of(path: &Path, text: &str, name: &str) -> Result<Listener, BootstrapError> {
    let document = yaml(path, text)?;
    let mut notes = Notes::default();
    // Read as if it stood in a bootstrap, so that certificates are given and not referred to.
    let listeners: Vec<Listener> = secret::resources(&document, &mut notes)
        .iter()
        .filter_map(|node| listener::listener(node, Place::Bootstrap, &mut notes))
        .collect();
    if notes.problems.is_empty() && !listeners.iter().any(|listener| listener.name == name) {
        notes
            .problems
            .push(Problem::Missing { path: format!("resources[name={name:?}]"), why: "it was served before" });
    }
    let found = listeners.into_iter().find(|listener| listener.name == name);
    found
        .filter(|_| notes.problems.is_empty())
        .ok_or_else(|| BootstrapError::Refused { path: path.to_owned(), problems: notes.problems.into() })
}

fn text(path: &Path, file: &dyn Fn(&Path) -> io::Result<String>) -> Result<String, BootstrapError> {
    file(path).map_err(|cause| BootstrapError::Read { path: path.to_owned(), cause })
}

fn yaml(path: &Path, text: &str) -> Result<Value, BootstrapError> {
    document::parse(text).map_err(|cause| BootstrapError::Yaml { path: path.to_owned(), cause })
}

/// What stands in the bootstrap itself.
struct Parts {
    node: NodeName,
    admin: Option<AdminAddress>,
    listeners: Vec<Listener>,
    clusters: Vec<Cluster>,
    listeners_file: Option<PathBuf>,
    clusters_file: Option<PathBuf>,
    stats_rejected: bool,
}

fn parts(fields: &mut Fields<'_>, notes: &mut Notes) -> Parts {
    // How often figures are flushed where nobody takes them, and runtime switches of code that is not here.
    fields.pass_over(&["stats_flush_interval", "layered_runtime", "runtime", "enable_dispatcher_stats"]);
    let node = fields.take("node").fields(notes, |fields, notes| {
        fields.pass_over(&[
            "locality",
            "metadata",
            "user_agent_name",
            "user_agent_version",
            "user_agent_build_version",
        ]);
        let mut text = |key| fields.take(key).text(notes).unwrap_or_default().to_owned();
        NodeName { id: text("id"), cluster: text("cluster") }
    });
    let admin = admin(&fields.take("admin"), notes);
    let (listeners, clusters) = fields.take("static_resources").fields(notes, |fields, notes| {
        let listeners = fields.take("listeners").list(notes);
        let clusters = fields.take("clusters").list(notes);
        let listeners = listeners.iter().filter_map(|node| listener::listener(node, Place::Bootstrap, notes)).collect();
        (listeners, clusters.iter().filter_map(|node| cluster::cluster(node, notes)).collect())
    });
    let (listeners_file, clusters_file) =
        fields.take("dynamic_resources").fields(notes, |fields, notes| dynamic_resources(fields, notes));
    let stats_rejected = fields.take("stats_config").fields(notes, |fields, notes| {
        fields.pass_over(&["use_all_default_tags"]);
        fields.take("stats_matcher").fields(notes, |fields, notes| fields.take("reject_all").flag(notes))
    });
    Parts { node, admin, listeners, clusters, listeners_file, clusters_file, stats_rejected }
}

fn dynamic_resources(fields: &mut Fields<'_>, notes: &mut Notes) -> (Option<PathBuf>, Option<PathBuf>) {
    let mut file = |key, notes: &mut Notes| {
        let node = fields.take(key);
        // What is left of an experiment with Istio; its cluster could never have been reached.
        let ads = node.fields(&mut Notes::default(), |fields, _| !fields.take("ads").is_null());
        match node.is_null() || ads {
            true => None,
            false => tls::file_source(&node, notes).map(PathBuf::from),
        }
    };
    let files = (file("lds_config", notes), file("cds_config", notes));
    if !fields.take("ads_config").is_empty() {
        notes.warnings.push("dynamic_resources.ads_config is not used: listeners and clusters come from files".into());
    }
    files
}

fn admin(node: &Node<'_>, notes: &mut Notes) -> Option<AdminAddress> {
    if node.is_empty() {
        return None;
    }
    node.fields(notes, |fields, notes| {
        fields.pass_over(&["access_log_path", "access_log", "profile_path", "ignore_global_conn_limit"]);
        let address = fields.take("address");
        let pipe = address.fields(&mut Notes::default(), |fields, notes| {
            fields.take("pipe").fields(notes, |fields, notes| fields.take("path").text(notes).map(PathBuf::from))
        });
        if let Some(path) = pipe {
            return Some(AdminAddress::Socket(path));
        }
        let (host, port) = cluster::socket_address(&address, notes)?;
        match host.parse::<IpAddr>() {
            Ok(ip) => Some(AdminAddress::Tcp(SocketAddr::new(ip, port))),
            Err(_) => address.wrong("an IP address", notes),
        }
    })
}

/// Listeners and clusters from all files, before they are known to fit.
struct Draft {
    listeners: Vec<Listener>,
    clusters: Vec<Cluster>,
}

impl Draft {
    fn add_clusters(
        &mut self,
        path: &Path,
        file: &dyn Fn(&Path) -> io::Result<String>,
        notes: &mut Notes,
    ) -> Result<Vec<Value>, BootstrapError> {
        let document = yaml(path, &text(path, file)?)?;
        let nodes = secret::resources(&document, notes);
        self.clusters.extend(nodes.iter().filter_map(|node| cluster::cluster(node, notes)));
        Ok(members(document))
    }

    fn add_listeners(
        &mut self,
        path: &Path,
        file: &dyn Fn(&Path) -> io::Result<String>,
        notes: &mut Notes,
    ) -> Result<Vec<Value>, BootstrapError> {
        let document = yaml(path, &text(path, file)?)?;
        let nodes = secret::resources(&document, notes);
        let place = Place::Listeners(path);
        self.listeners.extend(nodes.iter().filter_map(|node| listener::listener(node, place, notes)));
        Ok(members(document))
    }

    /// Notes listeners that lead nowhere, and names that stand for two.
    fn check(&self, notes: &mut Notes) {
        if self.listeners.is_empty() && notes.problems.is_empty() {
            notes
                .problems
                .push(Problem::Missing { path: "static_resources.listeners".into(), why: "there is nothing to do" });
        }
        for (index, listener) in self.listeners.iter().enumerate() {
            let path = || listener.cluster_at.clone();
            match self.clusters.iter().find(|cluster| cluster.name == listener.cluster) {
                None => notes.problems.push(Problem::Unknown { path: path(), name: listener.cluster.clone() }),
                Some(cluster) if cluster.endpoints.len() != 1 => {
                    notes.problems.push(Problem::Wrong { path: path(), expected: "a cluster of one endpoint" });
                }
                Some(_) => {}
            }
            if self.listeners[..index].iter().any(|other| other.name == listener.name) {
                notes.problems.push(Problem::Taken { path: path(), name: listener.name.clone() });
            }
        }
        for (index, cluster) in self.clusters.iter().enumerate() {
            if self.clusters[..index].iter().any(|other| other.name == cluster.name) {
                let path = format!("static_resources.clusters[{index}].name");
                notes.problems.push(Problem::Taken { path, name: cluster.name.clone() });
            }
        }
    }
}

fn members(mut document: Value) -> Vec<Value> {
    match document.get_mut("resources").map(Value::take) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
