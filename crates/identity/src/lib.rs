//! Who is at the other end: certificates, names, and verified TLS in both directions.

pub mod name;
pub use name::ExpectedName;
