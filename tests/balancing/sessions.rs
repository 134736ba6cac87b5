//! Sessions that stick to an instance. The tables hold what a real Gorouter did, recorded; what it did not do yet in
//! October 2024 (`Max-Age` above zero, `__VCAP_ID_META__`, `__Host-` names) stands where the specification has it.

use serde_json::json;
use trueroute_testkit::{app::Reply, client::Request, pki::InstanceId};

use super::{
    crew::{Crew, HOST, instance, router},
    message::{answered, ask, bad_gateway, hello},
    scene::{After, INSTANCE_ID, Scene, raw, recorded},
    support::RouterUnderTest,
};

const ID: &str = "__VCAP_ID__=0a1b2c3d-0000-4000-8000-000000000005";

/// The two cookies with these attributes, the second with this value.
fn both(meta: &str, attributes: &str) -> Vec<String> {
    vec![format!("{ID}; {attributes}"), format!("__VCAP_ID_META__={meta}; {attributes}")]
}

fn one(attributes: &str) -> Vec<String> {
    vec![format!("{ID}; {attributes}")]
}

/// What the client gets when the app sets `cookie`.
async fn answers_with(scene: &Scene, request: &str, cookie: &str, wanted: &[String]) {
    scene.app_says(raw(&format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: {cookie}\r\n\r\nok")));
    let set: Vec<String> =
        [cookie].into_iter().chain(wanted.iter().map(String::as_str)).map(|c| format!("Set-Cookie: {c}")).collect();
    let mut expected = answered("HTTP/1.1 200 OK", &["Content-Length: 2"], "ok");
    expected.fields.extend(set);
    expected.fields.sort();
    assert_eq!(scene.exchange(request).await, (expected, After::Open), "{cookie}");
}

#[tokio::test]
async fn the_instance_is_named_beside_the_session_with_its_attributes() {
    let scene = Scene::new().await;
    let request = ask("GET / HTTP/1.1", &[], "");
    let secure = "Path=/; HttpOnly; Secure; SameSite=None; Partitioned";
    let until = "Path=/; Expires=Wed, 21 Oct 2037 07:28:00 GMT; HttpOnly";
    for (cookie, wanted) in [
        ("JSESSIONID=a", one("Path=/; HttpOnly")),
        ("JSESSIONID=a; Path=/x; HttpOnly", one("Path=/; HttpOnly")),
        ("JSESSIONID=a; Secure; SameSite=None; Partitioned", both("secure&partitioned&samesite=none", secure)),
        ("JSESSIONID=a; Max-Age=50", both("maxage=50", "Path=/; Max-Age=50; HttpOnly")),
        ("JSESSIONID=a; Max-Age=0", both("maxage=0", "Path=/; Max-Age=0; HttpOnly")),
        ("JSESSIONID=a; Expires=Wed, 21 Oct 2037 07:28:00 GMT", both("expires=2139722880", until)),
        ("other=a", vec![]),
        ("__VCAP_ID__=own", vec![]),
        ("__Host-JSESSIONID=a; Secure; Path=/", both("secure", "Path=/; HttpOnly; Secure")),
    ] {
        answers_with(&scene, &request, cookie, &wanted).await;
    }
    let under = ask("GET /ctx/a HTTP/1.1", &["Host: path.example.com"], "");
    answers_with(&scene, &under, "JSESSIONID=a", &one("Path=/ctx; HttpOnly")).await;
    // A request that a route service has sent back: the client got its cookie on the way there.
    let fields = ["X-CF-Proxy-Signature: s", "X-CF-Forwarded-Url: https://app.example.com"];
    answers_with(&scene, &ask("GET / HTTP/1.1", &fields, ""), "JSESSIONID=a", &[]).await;
}

#[tokio::test]
async fn names_and_secure_cookies_are_configured() {
    let names = json!(["sid", "token"]);
    let scene = Scene::with(recorded().set("secure_cookies", true).set("sticky_session_cookie_names", names)).await;
    let request = ask("GET / HTTP/1.1", &[], "");
    for (cookie, wanted) in [
        ("sid=a", one("Path=/; HttpOnly; Secure")),
        ("token=a; SameSite=Lax", both("samesite=lax", "Path=/; HttpOnly; Secure; SameSite=Lax")),
        ("JSESSIONID=a", vec![]),
    ] {
        answers_with(&scene, &request, cookie, &wanted).await;
    }
}

#[tokio::test]
async fn a_client_whose_instance_is_gone_is_given_another() {
    let scene = Scene::new().await;
    let request = |cookies: &str| ask("GET / HTTP/1.1", &[&format!("Cookie: {cookies}")], "");
    let named = |cookies: &[String]| {
        let mut message = hello();
        message.fields.extend(cookies.iter().map(|cookie| format!("Set-Cookie: {cookie}")));
        message.fields.sort();
        message
    };
    for (cookies, wanted) in [
        ("JSESSIONID=a; __VCAP_ID__=gone".to_owned(), one("Path=/; HttpOnly")),
        (
            "JSESSIONID=a; __VCAP_ID__=gone; __VCAP_ID_META__=secure&maxage=50".to_owned(),
            both("secure&maxage=50", "Path=/; Max-Age=50; HttpOnly; Secure"),
        ),
        (format!("JSESSIONID=a; {ID}"), vec![]),
        ("__VCAP_ID__=gone".to_owned(), vec![]),
        // Its address reaches it too, and is replaced by its name.
        (format!("JSESSIONID=a; __VCAP_ID__={}", scene.app.addr()), one("Path=/; HttpOnly")),
    ] {
        assert_eq!(scene.exchange(&request(&cookies)).await, (named(&wanted), After::Open), "{cookies}");
        assert_eq!(scene.app.last().unwrap().header("cookie"), Some(&*cookies), "the app gets them as they came");
    }
}

fn cookies(number: usize) -> String {
    format!("JSESSIONID=a; __VCAP_ID__={}", instance(number))
}

#[tokio::test]
async fn a_session_stays_with_its_instance_whatever_the_algorithm() {
    for algorithm in ["round-robin", "least-connection", "hash"] {
        let options = json!({ "loadbalancing": algorithm, "hash_header": "X-Tenant" });
        let crew = Crew::of(3, router(), options).await;
        for number in [0, 1, 2] {
            let answers = crew.answers(4, &[("Cookie", &cookies(number)), ("X-Tenant", "a")]).await;
            assert_eq!(answers, [number; 4], "{algorithm}");
        }
        let busy = crew.occupy(1).await;
        assert_eq!(crew.answers(2, &[("Cookie", &cookies(1))]).await, [1, 1], "{algorithm}");
        crew.apps[1].release();
        assert_eq!(busy.await.unwrap(), 200);
    }
}

#[tokio::test]
async fn a_session_stays_with_an_instance_that_rests_and_leaves_one_that_is_full() {
    let crew = Crew::of(2, router().set("backends.max_conns", 1).set("endpoint_timeout", "20s"), json!({})).await;
    let request = |path: &str| Request::new("GET", path).host(HOST).header("Cookie", &cookies(0));
    assert_eq!(crew.router.ask(request("/reset")).await.status, 502);
    assert_eq!(crew.shares(4).await, [0, 4], "it rests");
    let response = crew.router.ask(request("/")).await;
    assert_eq!((response.text(), response.header("set-cookie")), ("0", None), "but not for its own");

    let busy = crew.occupy(0).await;
    let response = crew.router.ask(request("/")).await;
    let named = format!("__VCAP_ID__={}; Path=/; HttpOnly", instance(1));
    assert_eq!((response.text(), response.header("set-cookie")), ("1", Some(&*named)));
    crew.apps[0].release();
    assert_eq!(busy.await.unwrap(), 200);
}

#[tokio::test]
async fn a_session_whose_instance_cannot_prove_itself_moves_on() {
    let router = RouterUnderTest::start().await;
    let app = router.instance("app").uri("session.example.com").register().await;
    let gone = InstanceId::of_app("app").instance;
    // The address of the one that is gone belongs to the other now.
    let stranger = router.instance("stranger").start().await;
    router.register_stale("session.example.com", stranger.addr(), &gone).await;
    let cookies = format!("JSESSIONID=a; __VCAP_ID__={gone}");
    let post = Request::new("POST", "/").host("session.example.com").header("Cookie", &cookies).body("x");
    let response = router.ask(post).await;
    assert_eq!((response.status, response.header("x-app")), (200, Some("app")));
    assert_eq!(response.header("set-cookie"), Some(&*format!("__VCAP_ID__={}; Path=/; HttpOnly", app.id.instance)));
    assert_eq!(stranger.requests(), 0);
}

#[tokio::test]
async fn a_negotiation_goes_on_where_it_began_or_not_at_all() {
    let router = router().set("sticky_sessions_for_auth_negotiate", true).set("backends.max_conns", 1);
    let crew = Crew::of(3, router.set("endpoint_timeout", "20s"), json!({})).await;
    let cookie = |number| format!("__VCAP_ID__={}", instance(number));
    for number in [2, 0, 1] {
        let fields = [("Cookie", &*cookie(number)), ("Authorization", "Negotiate YII")];
        assert_eq!(crew.answers(3, &fields).await, [number; 3]);
    }
    let busy = crew.occupy(2).await;
    for id in [cookie(2), "__VCAP_ID__=gone".to_owned()] {
        let fields = [&format!("Host: {HOST}"), &format!("Cookie: {id}"), "Authorization: negotiate YII"];
        let mut client = crew.router.client().await;
        client.send_raw(ask("GET / HTTP/1.1", &fields, "")).await.unwrap();
        let response = client.reader.response("GET").await.unwrap();
        assert_eq!(super::scene::whole(&response), bad_gateway("No endpoints available"), "{id}");
    }
    assert_eq!(crew.apps[2].requests(), 4);
    let line = crew.router.log_line("select-endpoint-failed", HOST).await;
    assert_eq!(line.field("error"), "No endpoints available");
    crew.apps[2].release();
    assert_eq!(busy.await.unwrap(), 200);
}

#[tokio::test]
async fn the_beginning_of_a_negotiation_names_the_instance_for_a_minute() {
    const BEGINS: &str = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nWWW-Authenticate: Negotiate\r\n\r\n";
    for (wanted, secure) in [(true, false), (true, true), (false, false)] {
        let router = recorded().set("sticky_sessions_for_auth_negotiate", wanted).set("secure_cookies", secure);
        let scene = Scene::with(router).await;
        scene.app_says(raw(BEGINS));
        let (got, _) = scene.exchange(&ask("GET / HTTP/1.1", &[], "")).await;
        let secured = if secure { "; Secure" } else { "" };
        let cookie = format!("Set-Cookie: {ID}; Path=/; Max-Age=60; HttpOnly{secured}; SameSite=Strict");
        let set = got.fields.iter().find(|field| field.starts_with("Set-Cookie"));
        assert_eq!(set, wanted.then_some(&cookie), "{wanted} {secure}");
    }
}

#[tokio::test]
async fn a_web_socket_finds_its_session_and_can_begin_one() {
    let scene = Scene::new().await;
    scene.app_says(Reply::Raw(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSet-Cookie: JSESSIONID=a\r\n\r\n".to_vec(),
    ));
    let fields = ["Connection: Upgrade", "Upgrade: websocket"];
    let mut client = scene.client().await;
    client.send_raw(ask("GET / HTTP/1.1", &fields, "")).await.unwrap();
    let head = client.reader.head().await.unwrap();
    let head = String::from_utf8_lossy(&head.raw_head).into_owned();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    for cookie in ["JSESSIONID=a", &format!("{ID}; Path=/; HttpOnly")] {
        assert!(head.to_lowercase().contains(&format!("set-cookie: {cookie}\r\n").to_lowercase()), "{head}");
    }

    let crew = Crew::of(3, router(), json!({})).await;
    for number in [2, 2, 0, 0, 1, 1] {
        let request = Request::new("GET", "/").host(HOST).header("Cookie", &cookies(number));
        let request = request.header("Connection", "Upgrade").header("Upgrade", "websocket");
        assert_eq!(crew.router.ask(request).await.text(), number.to_string());
    }
}

#[tokio::test]
async fn an_endpoint_without_an_id_is_never_named() {
    let scene = Scene::new().await;
    scene.unregister(&super::scene::plain(scene.app.addr()).uri("app.example.com")).await;
    scene.register(&super::scene::plain(scene.app.addr()).instance("").uri("app.example.com")).await;
    answers_with(&scene, &ask("GET / HTTP/1.1", &[], ""), "JSESSIONID=a", &[]).await;
    let sticky = ask("GET / HTTP/1.1", &[&format!("Cookie: JSESSIONID=a; __VCAP_ID__={INSTANCE_ID}")], "");
    answers_with(&scene, &sticky, "other=a", &[]).await;
}
