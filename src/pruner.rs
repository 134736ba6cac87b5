//! Pruner.
