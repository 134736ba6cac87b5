//! Drain and readiness.
