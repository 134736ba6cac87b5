//! The JSON of `/pools` and `/why`, for who writes it and who reads it. docs/admin.md describes it.
//!
//! A version is for ever: fields may be added, and a reader ignores those that it does not know. Spans are in whole
//! seconds, moments in RFC 3339. What a registration was silent about is left out.

use serde::{Deserialize, Serialize};

/// The version of these shapes.
pub const VERSION: u32 = 1;

/// The first fields of `/pools`, before its routes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// [`VERSION`].
    pub version: u32,
    /// When the table was read.
    pub now: String,
}

/// A route and its endpoints, in the order in which they were last registered anew.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// Host, or host and path.
    pub route: String,
    /// How requests are shared.
    pub balancing: Balancing,
    /// Whether it is bound to a route service.
    #[serde(default, skip_serializing_if = "is_not")]
    pub route_service: bool,
    /// How long ago its list of endpoints last changed.
    pub changed_s: u64,
    /// Its endpoints; none if all have left and the route is still remembered.
    pub endpoints: Vec<Endpoint>,
}

/// How the endpoints of a route share its requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Balancing {
    /// `round-robin` or `least-connection`; of hash routing, that for requests without the header.
    pub algorithm: String,
    /// The header of hash routing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash_header: Option<String>,
    /// The bound of hash routing, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash_balance: Option<f64>,
}

/// How an endpoint is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// TCP, and nobody proves anything.
    #[default]
    Plain,
    /// TLS: the endpoint proves its name.
    Tls,
    /// TLS, and the endpoint asked for the router's certificate as well.
    Mutual,
}

/// Whether an endpoint would be tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Yes, as any other.
    #[default]
    Ok,
    /// It failed and is tried after those that did not.
    Resting,
    /// No: it works on as many requests as it may.
    Overloaded,
    /// Yes: its registrations have stopped coming, and it is kept because it has to prove who it is, or because the bus
    /// is down.
    Stale,
    /// Yes: it comes from the snapshot, and no registration has confirmed it yet.
    Restored,
    /// Yes: it has not had to prove who it is yet, or not among the last 65,536 that did.
    Unproven,
}

/// An endpoint of a route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// `host:port`.
    pub address: String,
    /// The app's id.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub app: String,
    /// The instance's id.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub instance: String,
    /// The instance's index.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub index: String,
    /// How it is spoken to.
    pub mode: Mode,
    /// `http1`, `http2` or what was registered.
    pub protocol: String,
    /// The name that its certificate must carry, if it has to show one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_name: Option<String>,
    /// How long ago its last registration came; left out while none has come to this process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_s: Option<u64>,
    /// Requests sent whose answers have not begun.
    pub in_flight: u32,
    /// Whether it would be tried.
    pub state: State,
    /// How much longer it rests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resting_s: Option<u64>,
    /// When it last proved its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
    /// The last attempt that failed here within an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// A proof of an identity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// How long ago the handshake was.
    pub ago_s: u64,
    /// When it was.
    pub at: String,
    /// The name that was proven.
    pub name: String,
    /// When the certificate ends.
    pub not_after: String,
    /// How its SHA-256 begins, in hexadecimal.
    pub sha256: String,
}

/// A failed attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// How long ago.
    pub ago_s: u64,
    /// When.
    pub at: String,
    /// The failure's name, as in the log and in metrics.
    pub reason: String,
    /// The failure in words.
    pub error: String,
}

/// The page `/why`: what would become of a request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// [`VERSION`].
    pub version: u32,
    /// When the table was read.
    pub now: String,
    /// The host as it is looked up.
    pub host: String,
    /// The path as it is looked up.
    pub path: String,
    /// What would become of the request.
    pub outcome: Outcome,
    /// The status that the router would answer by itself; left out if an endpoint or a route service would be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Every route that covers the request, the preferred one first.
    pub steps: Vec<Step>,
    /// The route that matched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<Route>,
    /// Addresses in the order in which a request without a session would try them now; the first few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub order: Vec<String>,
    /// Requests that one endpoint may work on; 0 for any number.
    pub max_conns: u32,
    /// Attempts that count (`backends.max_attempts`).
    pub max_attempts: u32,
    /// Endpoints that left a route which covers the request, within an hour; the last one first.
    pub departed: Vec<Departed>,
    /// Routes that may have been meant, where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub near: Vec<String>,
}

/// What would become of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// An endpoint would be asked.
    Served,
    /// There is no route for it.
    #[default]
    NoRoute,
    /// The route has no endpoints.
    NoEndpoints,
    /// Every endpoint works on as many requests as it may.
    Overloaded,
    /// The route is bound to a route service, which is asked first; with a status, this router sends nothing to one.
    RouteService,
}

/// A route that covers a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The route's key.
    pub route: String,
    /// Whether it is the host itself, a path of it, or a wildcard.
    pub kind: Kind,
    /// How many endpoints it has.
    pub endpoints: usize,
    /// Whether it is the one that the request gets.
    pub taken: bool,
}

/// How a route covers a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It is a route of exactly this host and path.
    #[default]
    Exact,
    /// It is a route of this host, and the request is for something below it.
    Path,
    /// It is a route of a host with a wildcard.
    Wildcard,
}

/// An endpoint that left a route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departed {
    /// The route.
    pub route: String,
    /// `host:port`.
    pub address: String,
    /// The app's id.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub app: String,
    /// The instance's id.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub instance: String,
    /// The instance's index.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub index: String,
    /// The name that it had to prove.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_name: Option<String>,
    /// How long ago it left.
    pub ago_s: u64,
    /// When it left.
    pub at: String,
    /// `failed`, `stale`, `unconfirmed` or `unregistered`.
    pub cause: String,
    /// Of `failed`: the failure's name, as in the log and in metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Of `failed`: the failure in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Of `stale`: how long nothing was heard of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_s: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_not(flag: &bool) -> bool {
    !*flag
}
