//! B8: endpoints of HTTP/2 whose first words make no sense. They cost the request that met them, in time; more of what
//! endpoints can do is told in `http2_behind` (`hostile`, `failures`).

use trueroute_testkit::{
    App, Registration,
    client::Request,
    peers::http2::{Frame, Http2, LAST, OK, WHOLE, kind, speaks_http2},
    pki::InstanceId,
};

use super::{canary::settings, support::PATIENCE};

/// `SETTINGS` with one of them (RFC 9113 section 6.5.2).
fn setting(id: u16, value: u32) -> Vec<u8> {
    Frame::new(kind::SETTINGS, 0, 0, [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).bytes()
}

#[tokio::test]
async fn first_words_without_sense_cost_one_request() {
    let router = settings().set("endpoint_timeout", "2s").one_attempt().start().await;
    let good = App::start("good");
    router.register(&Registration::plain(good.addr()).uri("good.example").app("good")).await;
    let usual = || Frame::new(kind::SETTINGS, 0, 0, []).bytes();
    let after = |frame: Frame| [usual(), frame.bytes()].concat();
    for (name, words, served) in [
        ("nothing odd", usual(), true),
        ("frames of no size (CVE-2026-33814)", setting(5, 0), false),
        ("frames of one byte", setting(5, 1), false),
        ("frames larger than there are", setting(5, 1 << 24), false),
        ("a window larger than there is", setting(4, 1 << 31), false),
        ("no window", setting(4, 0), false),
        ("pushes of another kind", setting(2, 2), false),
        ("a table of 4 GiB", setting(1, u32::MAX), true),
        ("no streams", setting(3, 0), false),
        ("no header lists", setting(6, 0), true),
        ("a setting that nobody knows", setting(0xfefe, 7), true),
        ("settings cut short", Frame::new(kind::SETTINGS, 0, 0, [0; 5]).bytes(), false),
        ("settings of a stream", Frame::new(kind::SETTINGS, 0, 1, []).bytes(), false),
        ("data of no stream", after(Frame::new(kind::DATA, 0, 0, *b"x")), false),
        ("an answer before a request", after(Frame::new(kind::HEADERS, WHOLE | LAST, 1, OK)), false),
        ("a push", after(Frame::new(5, WHOLE, 1, [0, 0, 0, 2, 0x82, 0x87, 0x84])), false),
        ("a window that opens by nothing", after(Frame::new(kind::WINDOW_UPDATE, 0, 0, [0; 4])), false),
        ("a window beyond its largest", after(Frame::new(kind::WINDOW_UPDATE, 0, 0, [127, 255, 255, 255])), false),
        ("a frame of 16 MiB", [usual(), vec![255, 255, 255, kind::DATA, 0, 0, 0, 0, 1]].concat(), false),
        ("another protocol", b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(), false),
    ] {
        let id = InstanceId::of_app("odd");
        let door = router.scene.pki.door(&id).alpn(&["h2", "http/1.1"]);
        let peer = speaks_http2(door, move |mut talk: Http2| {
            let words = words.clone();
            async move {
                talk.raw(&words).await;
                let Some(stream) = talk.request().await else { return };
                // The body's end, if it comes.
                while let Some(frame) = talk.frame().await {
                    if (frame.kind, frame.stream, frame.flags & LAST) == (kind::DATA, stream, LAST) {
                        talk.ok(stream).await;
                    }
                }
            }
        });
        let registration = Registration::tls(peer.addr(), &id.instance).uri("odd.example").protocol("http2").app("odd");
        router.register(&registration).await;
        let odd = router.ask(Request::new("POST", "/").host("odd.example").body(vec![b'x'; 1000]));
        let odd = tokio::time::timeout(PATIENCE, odd);
        let others = async {
            for _ in 0..10 {
                assert_eq!(router.get("good.example", "/").await.status, 200, "{name}");
            }
        };
        let (odd, ()) = tokio::join!(odd, others);
        let odd = odd.unwrap_or_else(|_| panic!("{name}: no answer")).status;
        assert_eq!(odd, if served { 200 } else { 502 }, "{name}");
        router.unregister(&registration).await;
    }
    assert_eq!(router.metric("trueroute_panics_total").await, 0.0);
}
