//! Endpoints that attack: what they do costs their own requests, a bounded amount of everything, and nobody else.

use trueroute_testkit::{
    Registration,
    peers::{
        Peer,
        http2::{Frame, Http2, OK, WHOLE, code, http2_door, kind, speaks_http2},
    },
    pki::InstanceId,
};

use crate::support::{Instance, PATIENCE, RouterUnderTest};

/// A hostile endpoint alone under `bad.hostile`, a good one under `good.hostile`.
async fn against<S, F>(script: S) -> (RouterUnderTest, Peer, Instance)
where
    S: Fn(Http2) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let router = RouterUnderTest::builder().set("endpoint_timeout", "2s").one_attempt().start().await;
    let id = InstanceId::of_app("bad");
    let peer = speaks_http2(http2_door(&router.scene.pki.instances.instance(&id).issue()), script);
    router.register(&Registration::tls(peer.addr(), &id.instance).uri("bad.hostile").protocol("http2")).await;
    let good = router.instance("good").uri("good.hostile").http2().register().await;
    (router, peer, good)
}

/// Asks the hostile endpoint and the good one side by side.
async fn ask(router: &RouterUnderTest) {
    let bad = router.get("bad.hostile", "/");
    let good = async {
        for _ in 0..20 {
            assert_eq!(router.get("good.hostile", "/").await.status, 200);
        }
    };
    let (bad, ()) = tokio::join!(bad, good);
    assert_eq!(bad.status, 502);
}

#[tokio::test]
async fn floods_end_with_the_request_that_met_them() {
    let floods: [(&str, Vec<u8>); 4] = [
        ("ping", Frame::new(kind::PING, 0, 0, [0; 8]).bytes()),
        ("settings", Frame::new(kind::SETTINGS, 0, 0, []).bytes()),
        ("window updates", Frame::new(kind::WINDOW_UPDATE, 0, 0, 1_u32.to_be_bytes()).bytes()),
        ("empty data", Frame::new(kind::DATA, 0, 1, []).bytes()),
    ];
    for (name, frame) in floods {
        let block = frame.repeat(1000);
        let (router, peer, good) = against(move |mut talk: Http2| {
            let block = block.clone();
            async move {
                talk.send(kind::SETTINGS, 0, 0, []).await;
                talk.request().await;
                while talk.raw(&block).await {}
            }
        })
        .await;
        ask(&router).await;
        assert_eq!(good.requests(), 20, "{name}");
        assert_eq!(router.endpoints("bad.hostile").await.len(), 1, "{name}");
        drop(peer);
    }
}

#[tokio::test]
async fn heads_without_end_are_cut() {
    let (router, _peer, _good) = against(|mut talk: Http2| async move {
        talk.send(kind::SETTINGS, 0, 0, []).await;
        let Some(stream) = talk.request().await else { return };
        talk.send(kind::HEADERS, 0, stream, OK).await;
        // A literal field without indexing: `x` with an empty value, over and over.
        let fields = [0x00, 0x01, b'x', 0x00].repeat(4000);
        while talk.raw(&Frame::new(kind::CONTINUATION, 0, stream, fields.clone()).bytes()).await {}
    })
    .await;
    ask(&router).await;
}

#[tokio::test]
async fn interim_answers_without_end_are_cut() {
    let (router, _peer, _good) = against(|mut talk: Http2| async move {
        talk.send(kind::SETTINGS, 0, 0, []).await;
        let Some(stream) = talk.request().await else { return };
        // :status 103
        let interim = Frame::new(kind::HEADERS, WHOLE, stream, [0x48, 0x03, b'1', b'0', b'3']).bytes();
        while talk.raw(&interim).await {}
    })
    .await;
    ask(&router).await;
}

#[tokio::test]
async fn an_endpoint_that_resets_every_request_hurts_only_those() {
    let (router, peer, _good) = against(|mut talk: Http2| async move {
        talk.send(kind::SETTINGS, 0, 0, []).await;
        while let Some(stream) = talk.request().await {
            talk.reset(stream, code::ENHANCE_YOUR_CALM).await;
        }
    })
    .await;
    for _ in 0..20 {
        ask(&router).await;
    }
    assert!(peer.connections() <= 4, "resets are no reason to dial anew: {}", peer.connections());
}

#[tokio::test]
async fn an_endpoint_that_sends_more_than_was_asked_for_loses_that_answer() {
    let (router, _peer, _good) = against(|mut talk: Http2| async move {
        talk.send(kind::SETTINGS, 0, 0, []).await;
        let Some(stream) = talk.request().await else { return };
        talk.send(kind::HEADERS, WHOLE, stream, OK).await;
        let data = Frame::new(kind::DATA, 0, stream, vec![b'x'; 16 * 1024]).bytes();
        while talk.raw(&data).await {}
    })
    .await;
    // A client that stops after the head, so that the window closes; the endpoint does not care.
    let mut client = router.client().await;
    client.send_raw("GET / HTTP/1.1\r\nHost: bad.hostile\r\n\r\n").await.unwrap();
    client.reader.head().await.unwrap();
    for _ in 0..20 {
        assert_eq!(router.get("good.hostile", "/").await.status, 200);
    }
    let rest = tokio::time::timeout(PATIENCE, client.reader.to_end()).await.expect("the answer is cut");
    assert!(rest.is_err() || rest.is_ok_and(|rest| !rest.ends_with(b"0\r\n\r\n")));
}
