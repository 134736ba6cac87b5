//! The vocabulary of routing: hosts, endpoints, leases, pools, and how one is picked. Pure.

pub mod balancing;
pub mod component;
pub mod endpoint;
pub mod intern;
pub mod lease;
pub mod moment;
pub mod mtls;
pub mod peer;
pub mod pick;
pub mod pool;
pub mod source;
pub mod uri;
