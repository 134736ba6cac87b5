//! Stories about the main promise: a request reaches an instance that proved itself, or the client is told why not.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a story whose scene cannot be set must stop there")]

mod support;

#[path = "identity_stories/ageing.rs"]
mod ageing;
#[path = "identity_stories/answers.rs"]
mod answers;
#[path = "identity_stories/basics.rs"]
mod basics;
#[path = "identity_stories/delivery.rs"]
mod delivery;
#[path = "identity_stories/late_refusal.rs"]
mod late_refusal;
#[path = "identity_stories/leaving.rs"]
mod leaving;
#[path = "identity_stories/limits.rs"]
mod limits;
#[path = "identity_stories/misrouting.rs"]
mod misrouting;
#[path = "identity_stories/modes.rs"]
mod modes;
#[path = "identity_stories/pooled.rs"]
mod pooled;
#[path = "identity_stories/refusing.rs"]
mod refusing;
#[path = "identity_stories/rotating.rs"]
mod rotating;
#[path = "identity_stories/stale.rs"]
mod stale;
#[path = "identity_stories/tenant.rs"]
mod tenant;
#[path = "identity_stories/verdicts.rs"]
mod verdicts;
