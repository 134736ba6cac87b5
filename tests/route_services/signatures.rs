//! What a signature is worth.

use std::time::Duration;

use trueroute_testkit::{Registration, client::Request};

use crate::scene::{BOUND, FIELDS, SECRET, Scene, bearing, signed, with_services};

const URL: &str = "http://bound.example.com/path";

#[tokio::test]
async fn only_a_signature_of_ours_in_time_and_for_the_route_lets_a_request_pass() {
    let scene = Scene::new().await;
    let elsewhere = Registration::plain(scene.app.addr()).uri("other.example.com").uri("bound.example.com/deeper");
    scene.router.register(&elsewhere).await;
    let minute = Duration::from_secs(60);
    let invalid = |why: &str| (502, format!("502 Bad Gateway: Failed to validate Route Service Signature: {why}\n"));
    let expired = (
        504,
        "504 Gateway Timeout: Failed to validate Route Service Signature: route service request expired\n".to_owned(),
    );
    for (secret, url, age, refused) in [
        (SECRET, URL, Duration::ZERO, None),
        (SECRET, "https://bound.example.com:443/another/path?q", Duration::from_secs(50), None),
        (SECRET, URL, minute + minute, Some(expired)),
        ("another secret", URL, Duration::ZERO, Some(invalid("proxy signature cannot be opened"))),
        (
            SECRET,
            "http://other.example.com/path",
            Duration::ZERO,
            Some(invalid("proxy signature is for another route")),
        ),
        (SECRET, "http://nowhere.example.com/", Duration::ZERO, Some(invalid("proxy signature is for another route"))),
        (
            SECRET,
            "http://bound.example.com/deeper/x",
            Duration::ZERO,
            Some(invalid("proxy signature is for another route")),
        ),
        (SECRET, "", Duration::ZERO, Some(invalid("proxy signature is for another route"))),
    ] {
        let before = scene.app.requests();
        let answer = scene.router.ask(bearing(&signed(secret, url, age), url)).await;
        match refused {
            None => assert_eq!((answer.status, scene.app.requests()), (200, before + 1), "{url}"),
            Some(refused) => {
                assert_eq!((answer.status, answer.text().to_owned()), refused, "{url}");
                assert_eq!((answer.header("X-Cf-RouterError"), scene.app.requests()), (None, before), "{url}");
            }
        }
    }
    assert_eq!(scene.service.requests(), 0);
}

#[tokio::test]
async fn what_is_no_signature_is_refused_and_never_passes() {
    let scene = Scene::new().await;
    let good = signed(SECRET, URL, Duration::ZERO);
    for (signature, metadata) in [
        ("", good.metadata.as_str()),
        ("x", "y"),
        (&good.signature, ""),
        (&good.signature, "e30="),
        (&good.metadata, &good.metadata),
    ] {
        let request = Request::new("GET", "/path").host(BOUND).header(FIELDS[1], signature).header(FIELDS[2], metadata);
        let answer = scene.router.ask(request).await;
        // An empty field is none: the request goes to the service.
        let expected = if signature.is_empty() { 200 } else { 502 };
        assert_eq!(answer.status, expected, "{signature:?} {metadata:?}");
    }
    assert_eq!((scene.app.requests(), scene.service.requests()), (0, 1));
}

#[tokio::test]
async fn the_plain_url_beside_the_signature_decides_nothing() {
    let scene = Scene::new().await;
    let good = signed(SECRET, URL, Duration::ZERO);
    let answer = scene.router.ask(bearing(&good, "http://elsewhere.example/")).await;
    assert_eq!((answer.status, scene.app.requests()), (200, 1));
}

#[tokio::test]
async fn a_secret_can_be_replaced_without_losing_who_is_on_the_way() {
    let router = with_services().set("route_services_secret", "new").set("route_services_secret_decrypt_only", SECRET);
    let scene = Scene::with(router).await;
    for secret in ["new", SECRET] {
        assert_eq!(scene.router.ask(bearing(&signed(secret, URL, Duration::ZERO), URL)).await.status, 200, "{secret}");
    }
    let (at_service, _) = scene.first_leg(Request::new("GET", "/")).await;
    let onward = Scene::onward(&at_service);
    let old = Scene::with(with_services()).await;
    assert_eq!(old.router.ask(onward).await.status, 502, "what is signed now is signed with the new secret");
}

#[tokio::test]
async fn the_lifetime_is_the_operators() {
    let scene = Scene::with(with_services().set("route_services_timeout", "10s")).await;
    for (age, status) in [(5, 200), (15, 504)] {
        let signed = signed(SECRET, URL, Duration::from_secs(age));
        assert_eq!(scene.router.ask(bearing(&signed, URL)).await.status, status);
    }
}

#[tokio::test]
async fn a_signature_on_a_route_without_a_service_is_checked_where_that_is_on() {
    let free = "http://free.example.com/path";
    for (strict, old, foreign) in [
        (false, (200, None), (200, None)),
        (true, (504, Some("expired_route_service_signature")), (400, Some("invalid_route_service_signature"))),
    ] {
        let scene = Scene::with(with_services().set("route_services.strict_signature_validation", strict)).await;
        scene.router.register(&Registration::plain(scene.app.addr()).uri("free.example.com")).await;
        for (secret, age, expected) in [
            (SECRET, Duration::ZERO, (200, None)),
            (SECRET, Duration::from_secs(100), old),
            ("foreign", Duration::ZERO, foreign),
        ] {
            let request = bearing(&signed(secret, free, age), free).bytes();
            let request = String::from_utf8(request).unwrap().replace(BOUND, "free.example.com");
            let mut client = scene.router.client().await;
            client.send_raw(&request).await.unwrap();
            let answer = client.reader.response("GET").await.unwrap();
            assert_eq!((answer.status, answer.header("X-Cf-RouterError")), expected, "{strict} {secret} {age:?}");
        }
    }
}

#[tokio::test]
async fn without_a_secret_no_signature_opens_a_bound_route() {
    let scene = Scene::with(with_services().without("route_services_secret")).await;
    for request in [Request::new("GET", "/").host(BOUND), bearing(&signed("", URL, Duration::ZERO), URL)] {
        let answer = scene.router.ask(request).await;
        assert_eq!((answer.status, answer.header("X-Cf-RouterError")), (502, Some("route_service_unsupported")));
    }
    assert_eq!((scene.app.requests(), scene.service.requests()), (0, 0));
}

#[tokio::test]
async fn a_url_that_leads_nowhere_is_a_500() {
    let scene = Scene::new().await;
    for url in ["https://", "https://user@host/", "https:///path"] {
        scene.bind(url).await;
        let answer = scene.router.get(BOUND, "/").await;
        assert_eq!((answer.status, answer.text()), (500, "500 Internal Server Error: Route service request failed.\n"));
    }
    assert_eq!(scene.app.requests(), 0);
}
