//! The doors for traffic: listeners, the workers behind them, and a client's connection.

pub mod connection;
pub mod gather;
pub mod listener;
pub mod tls;
pub mod worker;
