//! The app is told who calls, where a document or a flag asks for it, and hears nothing of it otherwise.

use std::fs;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use trueroute_sidecar::settings::{Admin, AdminAddress, ProxyProtocol};

use super::{
    diego::{Container, Door},
    envoy::settings,
    scene::{PATIENCE, Running, World, accept, app, rest},
};

const KIND: &str = "type.googleapis.com/envoy.extensions.transport_sockets";

/// What Envoy is told to put the header of `version` before the bytes for an app.
fn transport_socket(version: &str) -> Value {
    json!({"name": "envoy.transport_sockets.upstream_proxy_protocol", "typed_config": {
        "@type": format!("{KIND}.proxy_protocol.v3.ProxyProtocolUpstreamTransport"),
        "config": {"version": version},
        "transport_socket": {"name": "envoy.transport_sockets.raw_buffer", "typed_config": {
            "@type": format!("{KIND}.raw_buffer.v3.RawBuffer")}}}})
}

#[tokio::test]
async fn by_a_cluster_of_the_bootstrap_the_app_is_told_who_calls() {
    for version in ["V1", "V2"] {
        let (container, (listener, addr)) = (Container::new(), app().await);
        let config = container.write(&[Door::app(addr)], None);
        let mut document: Value = serde_json::from_str(&fs::read_to_string(&config).unwrap()).unwrap();
        document["static_resources"]["clusters"][0]["transport_socket"] = transport_socket(version);
        fs::write(&config, document.to_string()).unwrap();
        let sidecar = Running::start(settings(&config)).await;
        let mut router = sidecar.call(&container.router()).await.unwrap();
        router.write_all(b"hello").await.unwrap();
        router.shutdown().await.unwrap();

        let heard = rest(&mut accept(&listener).await).await.unwrap();
        let (from, to) = (router.get_ref().0.local_addr().unwrap(), sidecar.addr);
        let expected = match version {
            "V1" => format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\nhello", from.port(), to.port()).into_bytes(),
            _ => {
                let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01".to_vec();
                bytes.extend(from.port().to_be_bytes());
                bytes.extend(to.port().to_be_bytes());
                bytes.extend(b"hello");
                bytes
            }
        };
        assert_eq!(heard, expected, "{version}");
    }
}

#[tokio::test]
async fn of_a_router_that_is_refused_the_app_hears_nothing() {
    let (world, (listener, addr)) = (World::new(), app().await);
    let mut settings = world.settings(addr, world.strict());
    settings.listeners[0].proxy_protocol = Some(ProxyProtocol::V1);
    let sidecar = Running::start(settings).await;
    let (refused, heard) = tokio::join!(
        async {
            let mut stream = sidecar.call(&world.caller()).await?;
            stream.read(&mut [0; 1]).await
        },
        async { rest(&mut accept(&listener).await).await.unwrap() }
    );
    assert!(refused.is_err());
    assert_eq!(heard, b"");
}

#[tokio::test]
async fn without_asking_the_app_gets_what_the_router_sent_and_no_more() {
    let (world, (listener, addr)) = (World::new(), app().await);
    let sidecar = Running::start(world.settings(addr, world.strict())).await;
    let mut router = sidecar.call(&world.router()).await.unwrap();
    router.write_all(b"hello").await.unwrap();
    router.shutdown().await.unwrap();
    assert_eq!(rest(&mut accept(&listener).await).await.unwrap(), b"hello");
}

#[tokio::test]
async fn settings_that_tell_who_calls_are_dumped_so() {
    let (world, (_listener, addr)) = (World::new(), app().await);
    let mut settings = world.settings(addr, world.strict());
    settings.listeners[0].proxy_protocol = Some(ProxyProtocol::V2);
    settings.admin = Some(Admin::new(AdminAddress::Tcp(([127, 0, 0, 1], 0).into())));
    let sidecar = Running::start(settings).await;
    let mut stream = tokio::net::TcpStream::connect(sidecar.admin.unwrap()).await.unwrap();
    stream.write_all(b"GET /config_dump HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    let dump: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let cluster = &dump["configs"][0]["bootstrap"]["static_resources"]["clusters"][0];
    assert_eq!(cluster["transport_socket"]["typed_config"]["config"]["version"], "V2");
}
