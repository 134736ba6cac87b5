//! Peers that would answer gladly, but aren't who the table says. They are whole apps: what reaches one is on record,
//! and a response of one is a misroute, told by its `x-app` header.

use crate::app::App;
use crate::pki::{Authority, InstanceId};

/// The value of `x-app` in a response of any of these.
pub const STRANGER: &str = "stranger";

/// A healthy instance of another app, with its own valid certificate from the same authority.
pub fn certificate_of_another_instance(authority: &Authority) -> App {
    serving(&authority.instance(&InstanceId::random()).issue())
}

/// Has the right name in a certificate that ended yesterday.
pub fn expired(authority: &Authority, id: &InstanceId) -> App {
    serving(&authority.instance(id).expired().issue())
}

/// Has the right name in a certificate that begins tomorrow.
pub fn not_yet_valid(authority: &Authority, id: &InstanceId) -> App {
    serving(&authority.instance(id).not_yet_valid().issue())
}

/// Has the right name in a certificate of an authority nobody knows.
pub fn unknown_ca(id: &InstanceId) -> App {
    serving(&Authority::new("nobody's").instance(id).issue())
}

/// Shows what Diego puts in force while an instance drains: no common name, an empty DNS name.
pub fn drained(authority: &Authority) -> App {
    serving(&authority.drain().issue())
}

fn serving(leaf: &crate::pki::Leaf) -> App {
    App::builder(STRANGER).door(leaf).start()
}
