//! The doors for traffic: listeners, the workers behind them, and a client's connection.

pub mod connection;
pub mod deadlines;
pub mod entry;
pub mod gather;
pub mod h1;
pub mod h2;
mod handshakes;
mod linger;
pub mod listener;
pub mod proxy_protocol;
pub mod stream_body;
pub mod tls;
pub mod watched;
pub mod worker;
