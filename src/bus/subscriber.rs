//! Registrations heard.
