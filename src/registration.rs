//! Registration messages.
