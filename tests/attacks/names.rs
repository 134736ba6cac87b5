//! B3-12, end to end: certificates that carry the registered name in any way but the one that counts, a DNS name among
//! the subject alternative names of a server's certificate. The comparison itself has its table in the identity crate
//! (`names`, `chains`); here the canary shows that not a byte of a request went out.

use std::net::Ipv4Addr;

use trueroute_testkit::{
    App, Registration,
    pki::{Authority, LeafBuilder, Purpose},
    tls::ServerTls,
};

use super::canary::settings;

const GUID: &str = "8f0b0f4e-5c1d-4f3e-7a55-1b2c";

#[tokio::test]
async fn no_other_way_to_carry_a_name_lets_a_byte_out() {
    let router = settings().one_attempt().start().await;
    let (ca, stranger) = (router.scene.pki.instances.clone(), Authority::new("instances"));
    let made = |leaf: LeafBuilder| leaf.issue();
    let bare = || ca.leaf().cn("x");
    let named = || ca.leaf().cn(GUID).dns(GUID);
    for (name, leaf, status) in [
        ("as it should be", made(bare().dns(GUID)), 200),
        ("in upper case", made(bare().dns(&GUID.to_uppercase())), 200),
        ("the common name alone", made(ca.leaf().cn(GUID)), 503),
        ("the common name beside another", made(ca.leaf().cn(GUID).dns("other")), 503),
        ("the common name beside an address", made(ca.leaf().cn(GUID).ip(Ipv4Addr::LOCALHOST)), 503),
        ("the address alone", made(bare().ip(Ipv4Addr::LOCALHOST)), 503),
        ("a wildcard", made(bare().dns("*")), 503),
        ("a wildcard with a dot", made(bare().dns("*.")), 503),
        ("a wildcard in the name", made(bare().dns("8f0b*")), 503),
        ("a wildcard in the common name", made(ca.leaf().cn("*")), 503),
        ("a trailing dot", made(bare().dns(&format!("{GUID}."))), 503),
        ("a URI", made(bare().uri(GUID)), 503),
        ("a URI with the name as its host", made(bare().uri(&format!("https://{GUID}/"))), 503),
        ("an e-mail address", made(bare().email(GUID)), 503),
        ("an e-mail address at the name", made(bare().email(&format!("a@{GUID}"))), 503),
        ("a NUL and more", made(bare().dns(&format!("{GUID}\0.evil"))), 503),
        ("a NUL in the common name", made(ca.leaf().cn(&format!("{GUID}\0.evil"))), 503),
        ("a domain below it", made(bare().dns(&format!("{GUID}.apps.internal"))), 503),
        ("a domain above it", made(bare().dns(&format!("x.{GUID}"))), 503),
        ("a prefix of it", made(bare().dns(&GUID[..GUID.len() - 1])), 503),
        ("no name", made(bare().no_san()), 503),
        ("an empty name", made(bare().dns("")), 503),
        ("a client's certificate", made(named().purposes(&[Purpose::ClientAuth])), 526),
        ("a signer of code", made(named().purposes(&[Purpose::CodeSigning])), 526),
        ("an empty list of purposes", made(named().purposes(&[])), 526),
        ("expired", made(named().expired()), 526),
        ("not yet valid", made(named().not_yet_valid()), 526),
        ("a stranger's", stranger.leaf().cn(GUID).dns(GUID).issue(), 526),
    ] {
        let app = App::builder("canary").door(ServerTls::new(&leaf)).start();
        let host = format!("{}.example", name.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
        router.register(&Registration::tls(app.addr(), GUID).uri(&host).app("canary")).await;
        let answer = router.get(&host, "/").await;
        assert_eq!(answer.status, status, "{name}: {:?}", answer.header("x-cf-routererror"));
        let told = (app.requests(), app.bytes_in() > 0);
        assert_eq!(told, if status == 200 { (1, true) } else { (0, false) }, "{name}");
    }
}
