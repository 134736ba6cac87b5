//! The doors for traffic: listeners, the workers behind them, and a client's connection.

pub mod connection;
pub mod deadlines;
pub mod gather;
pub mod h1;
pub mod h2;
pub mod listener;
pub mod stream_body;
pub mod tls;
pub mod watched;
pub mod worker;
