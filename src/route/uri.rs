//! Route keys and request targets.
