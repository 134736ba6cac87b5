//! Where operators look in, and what they are shown beside the figures.

use std::{fmt, net::SocketAddr, path::PathBuf};

/// Where operators look in.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The address.
    pub address: AdminAddress,
    /// Whether requests that change something are refused. The app shares the address with us.
    pub read_only: bool,
    /// A file to write the bound address to, for whoever let the system choose the port.
    pub address_path: Option<PathBuf>,
    /// What is shown.
    pub subject: Subject,
}

impl Admin {
    /// Pages at `address` about settings that stand in no document.
    #[must_use]
    pub fn new(address: AdminAddress) -> Self {
        Self { address, read_only: false, address_path: None, subject: Subject::default() }
    }
}

/// An address of the admin pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// A TCP port.
    Tcp(SocketAddr),
    /// A Unix socket.
    Socket(PathBuf),
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Socket(path) => path.display().fmt(f),
        }
    }
}

/// What the pages show of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// The id of this node.
    pub node_id: String,
    /// The cluster of this node.
    pub node_cluster: String,
    /// The documents; without them, pages are made of the settings.
    pub documents: Option<Documents>,
    /// The limits of clusters by their names, as the documents state them.
    pub limits: Vec<(String, Breakers)>,
    /// Whether `/stats` is to be empty, as Diego asks for.
    pub stats_rejected: bool,
    /// The command line, as option and value.
    pub options: Vec<(&'static str, serde_json::Value)>,
}

/// Documents without defaults and secrets, each as JSON text: smaller than a tree, and rarely looked at.
#[derive(Clone, Debug, Default)]
pub struct Documents {
    /// The bootstrap.
    pub bootstrap: Box<str>,
    /// Listeners from a file of listeners.
    pub dynamic_listeners: Vec<Box<str>>,
    /// Clusters from a file of clusters.
    pub dynamic_clusters: Vec<Box<str>>,
}

/// What Envoy allows of a cluster where a document says nothing.
const LIMIT: u64 = 1024;

/// What Envoy allows of retries where a document says nothing.
const RETRIES: u64 = 3;

/// Circuit breakers of a cluster, as `/clusters` shows them. What a listener passes on has the default priority, so only
/// that one is enforced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breakers {
    /// Of the default priority.
    pub default: Limits,
    /// Of the high priority.
    pub high: Limits,
}

/// Circuit breakers of one priority. Only the number of connections is enforced, and only where the document limits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time.
    pub connections: u64,
    /// Requests that wait for a connection.
    pub pending: u64,
    /// Requests at a time.
    pub requests: u64,
    /// Retries at a time.
    pub retries: u64,
    /// Whether the number of connections was set, and to something that limits.
    pub limits_connections: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: LIMIT, pending: LIMIT, requests: LIMIT, retries: RETRIES, limits_connections: false }
    }
}
