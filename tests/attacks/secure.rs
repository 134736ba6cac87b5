//! A TLS port with HTTP/2 for the scenes of this suite.

use serde_json::json;
use trueroute_testkit::{pki::Authority, tls::ClientTls};

use super::support::RouterBuilder;

/// Adds a TLS port; gives the means to come in.
pub(crate) fn with_tls(router: RouterBuilder) -> (RouterBuilder, ClientTls) {
    let authority = Authority::new("front");
    let leaf = authority.localhost().issue();
    let router = router
        .set("enable_ssl", true)
        .set("ssl_port", 0)
        .set("cipher_suites", "ECDHE-ECDSA-AES128-GCM-SHA256")
        .set("client_cert_validation", "none")
        .set("tls_pem", json!([{"cert_chain": leaf.chain_pem, "private_key": leaf.key_pem}]));
    (router, ClientTls::new(&authority, "localhost"))
}
