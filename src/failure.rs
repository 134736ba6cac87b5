//! Stub: written by the owner of the request path.

/// What a failed attempt means for the endpoint's place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It says nothing about the endpoint.
    Keep,
    /// The endpoint rests for a while.
    Mark,
    /// The endpoint leaves the table (TLS endpoints only; a plain one is marked).
    Prune,
}
