//! The debug server: what it shows, what it sets, and that the router does without it.

use std::net::{SocketAddr, TcpListener};

use serde_json::Value;
use trueroute_testkit::{
    Bus, Client, Nats,
    client::{Request, Response},
    eventually,
};

use super::support::{PATIENCE, RouterBuilder, RouterProcess, Scene};

fn settings() -> RouterBuilder {
    Scene::over(Bus::Small(Nats::start())).router()
}

async fn debug_server(router: &RouterProcess) -> SocketAddr {
    router.line("debug-server-started").await.field("address").as_str().unwrap().parse().unwrap()
}

async fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> Response {
    let mut client = Client::connect(address).await.unwrap();
    client.request(Request::new(method, path).host("debug").body(body)).await.unwrap()
}

/// Whether something that is logged at level info is logged now.
async fn tells_of_registrations(router: &RouterProcess, app: &str) -> bool {
    let host = format!("{app}.example.com");
    let _app = router.instance(app).plain().uri(&host).register().await;
    // Lines come in the order in which they were logged, so this one comes after it.
    let lines = router.lines().len();
    ask(debug_server(router).await, "PUT", "/log-level", "info").await;
    eventually(PATIENCE, async || router.lines().len() > lines).await;
    router.lines().iter().any(|line| line.message() == "endpoint-registered" && line.mentions(&host))
}

#[tokio::test]
async fn the_level_of_the_log_is_changed_at_once() {
    let router = settings().set("debug_addr", "127.0.0.1:0").set("logging", serde_json::json!({"level": "info"}));
    let router = router.spawn().await;
    let server = debug_server(&router).await;
    assert_eq!(ask(server, "GET", "/log-level", "").await.text(), "info\n");
    let mut host = 0;
    for (method, level, told) in [("PUT", "error", false), ("POST", "DEBUG", true), ("PUT", "warn\n", false)] {
        let answer = ask(server, method, "/log-level", level).await;
        let level = level.trim().to_lowercase();
        assert_eq!((answer.status, answer.text()), (200, &*format!("{level}\n")));
        assert_eq!(ask(server, "GET", "/log-level", "").await.text(), format!("{level}\n"));
        host += 1;
        assert_eq!(tells_of_registrations(&router, &format!("app-{host}")).await, told, "{level}");
    }
    for bad in ["", "loud", "Info", "4", &"x".repeat(60)] {
        assert_eq!(ask(server, "PUT", "/log-level", bad).await.status, 400, "{bad:?}");
    }
    assert_eq!(ask(server, "PUT", "/log-level", &"x".repeat(65)).await.status, 413);
    assert_eq!(ask(server, "DELETE", "/log-level", "").await.status, 405);
    assert_eq!(ask(server, "GET", "/log-level", "").await.text(), "info\n");
}

#[tokio::test]
async fn it_shows_how_busy_the_process_is_and_says_what_it_does_not_have() {
    let router = settings().set("debug_addr", "localhost:0").spawn().await;
    let server = debug_server(&router).await;
    let index = ask(server, "GET", "/", "").await;
    for page in ["/log-level", "/debug/runtime"] {
        assert!(index.text().contains(page), "{}", index.text());
    }
    let _held = router.client().await;
    let named = |figures: &Value, name: &str| {
        let mut runtimes = figures["runtimes"].as_array().unwrap().iter();
        runtimes.find(|runtime| runtime["name"] == name).unwrap_or_else(|| panic!("{name} in {figures}")).clone()
    };
    let figures = ask(server, "GET", "/debug/runtime", "").await.json();
    for name in ["control", "worker-0", "worker-1"] {
        let runtime = named(&figures, name);
        assert!(runtime["busy_seconds"].as_f64().unwrap() > 0.0, "{runtime}");
        assert!(runtime["alive_tasks"].is_u64() && runtime["queued_tasks"].is_u64(), "{runtime}");
    }
    eventually(PATIENCE, async || {
        let figures = ask(server, "GET", "/debug/runtime", "").await.json();
        ["worker-0", "worker-1"].iter().any(|name| named(&figures, name)["alive_tasks"] == 1)
    })
    .await;
    for figure in ["allocated", "active", "resident", "mapped"] {
        assert!(figures["heap"][figure].as_u64().unwrap() > 100_000, "{figure} in {figures}");
    }
    assert_eq!(figures["process"]["id"], router.id());
    assert!(figures["process"]["threads"].as_u64().unwrap() >= 4, "{figures}");
    assert!(figures["process"]["file_descriptors"].as_u64().unwrap() > 5, "{figures}");
    for of_go in ["/debug/pprof/", "/debug/pprof/heap?debug=1", "/block-profile-rate", "/mutex-profile-fraction"] {
        let answer = ask(server, "GET", of_go, "").await;
        assert!(answer.status == 404 && answer.text().contains("Go's"), "{of_go}: {}", answer.text());
    }
    assert_eq!(ask(server, "GET", "/nothing", "").await.status, 404);
}

#[tokio::test]
async fn whoever_opens_it_to_others_is_warned() {
    let warned = |router: &RouterProcess| {
        router.lines().iter().any(|line| line.0["log_level"] == 2 && line.message().contains("asks for no password"))
    };
    assert!(warned(&settings().set("debug_addr", ":0").spawn().await));
    assert!(!warned(&settings().set("debug_addr", "127.0.0.1:0").spawn().await));
}

#[tokio::test]
async fn the_router_does_without_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    for address in [taken.local_addr().unwrap().to_string(), "nonsense".into()] {
        let router = settings().set("debug_addr", address.as_str()).spawn().await;
        let said = router.line("debug-server-not-started").await;
        assert_eq!((&said.0["log_level"], said.field("address")), (&serde_json::json!(3), &address.into()));
        assert_eq!(router.health().await, 200);
    }
}
