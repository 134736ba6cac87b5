//! The doors for traffic: listeners, the workers behind them, and a client's connection.

pub mod connection;
pub mod entry;
pub mod gather;
mod linger;
pub mod listener;
pub mod proxy_protocol;
pub mod tls;
pub mod worker;
