//! What a router changes in the headers that pass through it. Pure.

pub mod client_cert;
pub mod cookie_date;
pub mod cookies;
pub mod forwarded;
pub mod hop_by_hop;
pub mod instance;
pub mod noted;
pub mod rewrite;
pub mod size;
pub mod sticky;
pub mod trace;
pub mod trailers;
