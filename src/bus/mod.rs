//! The message bus: one NATS connection, what is heard on it, and what the router says about itself.
//!
//! [`link`] owns the connection and knows whether it stands, [`subscriber`] turns messages into changes
//! of the table, [`greeting`] tells components how often to register. Nothing here owns routing state:
//! the table does, and a log of messages replayed into a table gives the same routes.

pub mod greeting;
pub mod link;
pub mod subscriber;

use std::sync::Arc;

use crate::route::moment::Moment;

/// Where the edges read the time, so that tests can hand in their own.
pub type Clock = Arc<dyn Fn() -> Moment + Send + Sync>;
