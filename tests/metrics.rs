//! Stories about the metrics page, and the files that live off it: the dashboard, the alert rules, the document.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a story whose scene cannot be set must stop there")]

#[path = "metrics/dashboards.rs"]
mod dashboards;
#[path = "metrics/exposition.rs"]
mod exposition;
#[path = "metrics/golden.rs"]
mod golden;
#[path = "metrics/promql.rs"]
mod promql;
#[path = "metrics/stories.rs"]
mod stories;
mod support;
