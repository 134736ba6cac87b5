//! The vocabulary of routing: hosts, endpoints, leases, pools, and how one is picked. Pure.

pub mod balancing;
pub mod component;
pub mod endpoint;
pub mod intern;
pub mod lease;
pub mod moment;
pub mod mtls;
mod packed;
pub mod peer;
pub mod pick;
pub mod pool;
pub mod proof;
pub mod source;
mod tags;
mod terms;
pub mod uri;
