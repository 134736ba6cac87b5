//! Routes from the Routing API, with tokens from UAA.

use std::path::PathBuf;

use serde_json::{Value, json};
use trueroute_testkit::{
    App, Bus, Nats, Tempdir, eventually,
    pki::Authority,
    routing_api::{CLIENT, RoutingApi},
};

use crate::support::{PATIENCE, RouterBuilder, RouterProcess, Scene};

/// The API, and what a router has to know about it.
struct Api {
    api: RoutingApi,
    servers: Authority,
    clients: Authority,
    dir: Tempdir,
}

impl Api {
    fn new() -> Self {
        let (servers, clients) = (Authority::new("api"), Authority::new("api-clients"));
        let leaf = servers.server(&["localhost"]).ip([127, 0, 0, 1]).issue();
        let (api, dir) = (RoutingApi::start(&leaf, &clients), Tempdir::new().unwrap());
        std::fs::write(dir.path().join("uaa.pem"), servers.pem()).unwrap();
        Self { api, servers, clients, dir }
    }

    fn uaa_authorities(&self) -> PathBuf {
        self.dir.path().join("uaa.pem")
    }

    fn router(&self) -> RouterBuilder {
        let own = self.clients.router_client("router").issue();
        Scene::over(Bus::Small(Nats::start()))
            .router()
            .set("routing_api.uri", "https://127.0.0.1")
            .set("routing_api.port", self.api.addr().port())
            .set("routing_api.ca_certs", self.servers.pem())
            .set("routing_api.cert_chain", own.chain_pem)
            .set("routing_api.private_key", own.key_pem)
            .set("oauth.token_endpoint", "127.0.0.1")
            .set("oauth.port", self.api.uaa_addr().port())
            .set("oauth.client_name", CLIENT.0)
            .set("oauth.client_secret", CLIENT.1)
            .set("oauth.ca_certs", self.uaa_authorities().to_str().unwrap())
            .set("token_fetcher_retry_interval", "50ms")
            .set("prune_stale_droplets_interval", "400ms")
    }
}

/// The route `host` to `app`, in the state `index` of its life `guid`.
fn route(host: &str, app: &App, (guid, index): (&str, u32)) -> Value {
    json!({ "route": host, "ip": "127.0.0.1", "port": app.addr().port(), "ttl": 60, "log_guid": format!("{host}-app"),
        "modification_tag": { "guid": guid, "index": index } })
}

macro_rules! serves {
    ($router:expr, $host:expr, $status:expr) => {
        eventually(PATIENCE, async || $router.get($host, "/").await.status == $status).await
    };
}

macro_rules! counted {
    ($router:expr, $what:expr) => {
        eventually(PATIENCE, async || {
            let line = concat!("trueroute_routing_api_errors_total{what=\"", $what, "\"}");
            $router.metrics().await.lines().any(|found| found.starts_with(line))
        })
        .await
    };
}

#[tokio::test]
async fn routes_are_there_at_the_start_and_change_with_events() {
    let (api, app) = (Api::new(), App::start("app"));
    api.api.list(&[route("listed.example", &app, ("a", 1))]);
    let router = api.router().start().await;
    let answer = router.get("listed.example", "/").await;
    assert_eq!(answer.status, 200, "before the first event and the second list");
    assert_eq!(app.last().unwrap().header("x-cf-applicationid"), Some("listed.example-app"));
    eventually(PATIENCE, async || api.api.listeners() == 1).await;
    api.api.event("Upsert", &route("told.example", &app, ("b", 1)));
    serves!(router, "told.example", 200);
    api.api.event("Delete", &route("told.example", &app, ("b", 1)));
    serves!(router, "told.example", 404);
}

#[tokio::test]
async fn an_older_state_of_a_route_changes_nothing() {
    let (api, app) = (Api::new(), App::start("app"));
    let router = api.router().start().await;
    eventually(PATIENCE, async || api.api.listeners() == 1).await;
    let told = |log_guid: &str, tag| {
        let mut route = route("a.example", &app, tag);
        route["log_guid"] = log_guid.into();
        route
    };
    let app_id = || {
        let pool = router.table().lookup("a.example", "/")?;
        pool.leases().first().map(|lease| lease.endpoint().app_id().to_owned())
    };
    let becomes = async |expected: &str| eventually(PATIENCE, async || app_id().as_deref() == Some(expected)).await;
    // Events come in order, so that the one after has come when the next host is known.
    let after = async |mark: &str| {
        api.api.event("Upsert", &route(mark, &app, ("mark", 1)));
        serves!(router, mark, 200);
    };
    api.api.event("Upsert", &told("second", ("life-1", 2)));
    becomes("second").await;
    api.api.event("Upsert", &told("first", ("life-1", 1)));
    api.api.event("Delete", &told("first", ("life-1", 1)));
    after("mark-1.example").await;
    assert_eq!(app_id().as_deref(), Some("second"));
    api.api.event("Upsert", &told("third", ("life-1", 3)));
    becomes("third").await;
    api.api.event("Upsert", &told("another", ("life-2", 0)));
    becomes("another").await;
    api.api.event("Delete", &told("another", ("life-2", 0)));
    serves!(router, "a.example", 404);
}

#[tokio::test]
async fn a_route_that_is_listed_no_more_goes_when_its_time_is_over() {
    let (api, app) = (Api::new(), App::start("app"));
    let mut brief = route("brief.example", &app, ("a", 1));
    brief["ttl"] = 1.into();
    let stays = route("stays.example", &app, ("b", 1));
    api.api.list(&[brief.clone(), stays.clone()]);
    let router = api.router().start().await;
    // Listed again and again it stays longer than its second.
    let lists = api.api.lists();
    eventually(PATIENCE, async || api.api.lists() >= lists + 8).await;
    assert_eq!(router.get("brief.example", "/").await.status, 200);
    api.api.list(&[stays]);
    serves!(router, "brief.example", 404);
    assert_eq!(router.get("stays.example", "/").await.status, 200);
}

#[tokio::test]
async fn a_bad_entry_costs_itself() {
    let (api, app) = (Api::new(), App::start("app"));
    let good = route("good.example", &app, ("a", 1));
    api.api.list_text(&format!(r#"[{{"port":"x"}}, 7, {{"route":"x","ip":"10.0.0.1","ttl":"a"}}, {good}, {{}}]"#));
    let router = api.router().start().await;
    assert_eq!(router.get("good.example", "/").await.status, 200);
    counted!(router, "entry");
    eventually(PATIENCE, async || api.api.listeners() == 1).await;
    for text in ["event: Upsert\ndata: {\"route\":5}\n\n", "event: What\ndata: {}\n\n", "data\n\n", ": hello\n\n\n"] {
        api.api.event_text(text);
    }
    api.api.event("Upsert", &route("later.example", &app, ("b", 1)));
    serves!(router, "later.example", 200);
    assert_eq!(api.api.listeners(), 1);
}

#[tokio::test]
async fn a_token_that_is_refused_or_over_is_fetched_anew() {
    let (api, app) = (Api::new(), App::start("app"));
    let router = api.router().start().await;
    eventually(PATIENCE, async || api.api.listeners() == 1 && api.api.lists() >= 3).await;
    assert_eq!(api.api.tokens(), 1, "kept as long as it is good");
    api.api.revoke();
    api.api.list(&[route("revoked.example", &app, ("a", 1))]);
    serves!(router, "revoked.example", 200);
    assert_eq!(api.api.tokens(), 2);
    // Over at once, counting the time that is kept in reserve.
    api.api.expires_in(30);
    api.api.revoke();
    eventually(PATIENCE, async || api.api.tokens() >= 5).await;
}

#[tokio::test]
async fn an_api_that_fails_later_takes_no_route_and_is_followed_again() {
    let (api, app) = (Api::new(), App::start("app"));
    api.api.list(&[route("before.example", &app, ("a", 1))]);
    let router = api.router().start().await;
    eventually(PATIENCE, async || api.api.listeners() == 1).await;
    api.api.api_answers(503);
    api.api.end_streams();
    counted!(router, "routes_fetch");
    counted!(router, "subscribe_events");
    api.api.die();
    api.api.revoke();
    api.api.uaa_answers(500);
    api.api.revive();
    api.api.api_answers(200);
    counted!(router, "token_fetch");
    assert_eq!(router.get("before.example", "/").await.status, 200);
    api.api.uaa_answers(200);
    eventually(PATIENCE, async || api.api.listeners() == 1).await;
    api.api.event("Upsert", &route("after.example", &app, ("b", 1)));
    serves!(router, "after.example", 200);
}

#[tokio::test]
async fn events_that_were_missed_are_made_up_for_at_once() {
    let (api, app) = (Api::new(), App::start("app"));
    let router = api.router().set("prune_stale_droplets_interval", "1h").start().await;
    eventually(PATIENCE, async || api.api.listeners() == 1).await;
    let lists = api.api.lists();
    api.api.list(&[route("missed.example", &app, ("a", 1))]);
    api.api.end_streams();
    serves!(router, "missed.example", 200);
    assert_eq!(api.api.lists(), lists + 1);
}

#[tokio::test]
async fn without_an_api_at_the_start_there_is_no_router() {
    let api = Api::new();
    let fatal = async |builder: RouterBuilder, message: &str, words: &str| {
        let (code, lines) = RouterProcess::run_to_end(&builder.yml()).await;
        let last = lines.last().unwrap();
        assert_eq!((code, last.message()), (1, message), "{last:?}");
        let error = last.field("error").as_str().unwrap().to_owned();
        assert!(error.contains(words), "{error:?} without {words:?}");
        assert!(lines.iter().any(|line| line.message() == "setting-up-routing-api"));
        for secret in ["s3cret", "czNjcmV0", "token-"] {
            assert!(!lines.iter().any(|line| line.mentions(secret)), "{secret} in {lines:?}");
        }
    };
    let strangers = Authority::new("strangers");
    let connection = "routing-api-connection-failed";
    fatal(api.router().set("routing_api.ca_certs", strangers.pem()), connection, "UnknownIssuer").await;
    fatal(api.router().set("routing_api.uri", "http://127.0.0.1"), connection, "routing_api.uri").await;
    fatal(api.router().set("oauth.client_secret", "wrong"), "unable-to-fetch-token", "401").await;
    fatal(api.router().set("oauth.port", 0), "unable-to-fetch-token", "UAA client requires TLS enabled").await;
    fatal(api.router().set("oauth.ca_certs", ""), "unable-to-fetch-token", "UnknownIssuer").await;
    api.api.list_text("{}");
    fatal(api.router(), connection, "no list").await;
    api.api.api_answers(500);
    fatal(api.router(), connection, "500").await;
    api.api.die();
    fatal(api.router(), "unable-to-fetch-token", "refused").await;
}

#[tokio::test]
async fn who_answers_as_uaa_is_not_asked_for_proof_where_that_is_wanted() {
    let api = Api::new();
    let strangers = Authority::new("strangers");
    std::fs::write(api.uaa_authorities(), strangers.pem()).unwrap();
    let router = api.router().set("oauth.skip_ssl_validation", true).spawn().await;
    let told = router.lines().into_iter().any(|line| line.mentions("oauth.skip_ssl_validation"));
    assert!(told && api.api.tokens() == 1);
}
