//! `trueroute routes` and `trueroute why`: what a running router tells whoever asks.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use trueroute_testkit::{Bus, Nats, ReservedPort, Tempdir};

use super::support::{RouterProcess, Scene};

async fn router() -> RouterProcess {
    Scene::over(Bus::Small(Nats::start())).router().one_attempt().spawn().await
}

/// Runs a command to its end, on a thread of its own: the apps of the story go on.
async fn run(arguments: &[&str], password: Option<&'static str>) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trueroute"));
    command.args(arguments).env_remove("TRUEROUTE_PASSWORD").stdin(Stdio::null());
    command.envs(password.map(|password| ("TRUEROUTE_PASSWORD", password)));
    let output: Output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Asks the router that has this file.
async fn ask(router: &RouterProcess, words: &[&str]) -> (i32, String) {
    let (code, out, err) = run(&[words, &["-c", router.configuration().to_str().unwrap()]].concat(), None).await;
    (code, out + &err)
}

fn columns(line: &str) -> Vec<&str> {
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

#[tokio::test]
async fn routes_prints_what_is_there_and_how_it_is() {
    let router = router().await;
    let one = router.instance("shop").uri("app.example").index(3).register().await;
    let two = router.instance("old").plain().uri("app.example/old").uri("*.other.example").register().await;
    assert_eq!(router.get("app.example", "/").await.status, 200);

    let (code, said) = ask(&router, &["routes"]).await;
    assert_eq!(code, 0, "{said}");
    let lines: Vec<&str> = said.lines().collect();
    let heads = ["ROUTE", "ENDPOINT", "APP", "MODE", "PROVEN NAME", "AGE", "IN FLIGHT", "STATE"];
    assert_eq!(columns(lines[0]), heads);
    let address = |instance: &super::support::Instance| instance.addr().to_string();
    let (first, second) = (address(&one), address(&two));
    assert_eq!(columns(lines[1])[..5], ["*.other.example", &*second, &*format!("{}/0", two.id.app), "plain", "-"]);
    let shown = columns(lines[2]);
    assert_eq!(shown[..5], ["app.example", &*first, &*format!("{}/3", one.id.app), "mutual", &*one.id.instance]);
    assert_eq!(shown[6..], ["0", "ok"]);
    assert_eq!(columns(lines[3])[0], "app.example/old");
    assert_eq!(lines[4..], ["3 routes, 3 endpoints"]);

    let (code, said) = ask(&router, &["routes", "app.example/old"]).await;
    assert_eq!((code, said.lines().count()), (0, 3), "{said}");
    let (code, said) = ask(&router, &["routes", "*.example"]).await;
    assert_eq!((code, said.lines().count()), (0, 5), "what the wildcard covers: {said}");
    let (code, said) = ask(&router, &["routes", "nobody.example"]).await;
    assert_eq!((code, said.lines().count()), (1, 1), "{said}");

    let (code, said) = ask(&router, &["routes", "app.example", "--json"]).await;
    let page: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &page["version"], &page["count"]), (0, &1.into(), &2.into()));
    let endpoint = &page["routes"][0]["endpoints"][0];
    assert_eq!((&endpoint["mode"], &endpoint["proof"]["name"]), (&"mutual".into(), &(*one.id.instance).into()));
}

#[tokio::test]
async fn watch_adds_one_table_after_the_other_where_there_is_no_terminal() {
    let router = router().await;
    let _app = router.instance("shop").uri("app.example").register().await;
    let file: PathBuf = router.configuration();
    let heads = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trueroute"));
        command.args(["routes", "--watch", "-c"]).arg(file).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let heads: Vec<String> = lines.map(Result::unwrap).filter(|line| line.starts_with("ROUTE")).take(2).collect();
        child.kill().unwrap();
        child.wait().unwrap();
        heads
    });
    let heads = heads.await.unwrap();
    assert!(heads.len() == 2 && heads.iter().all(|head| !head.contains('\u{1b}')), "{heads:?}");
}

#[tokio::test]
async fn why_says_who_was_pruned_when_two_instances_have_swapped_their_ports() {
    let router = router().await;
    let a = router.instance("a").uri("a.example").register().await;
    let b = router.instance("b").uri("b.example").register().await;
    assert_eq!((router.get("a.example", "/").await.status, router.get("b.example", "/").await.status), (200, 200));
    let (id_a, id_b, at_a, at_b) = (a.id.clone(), b.id.clone(), a.addr(), b.addr());
    let (code, said) = ask(&router, &["why", "https://a.example/x?token=secret"]).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.starts_with("a.example/x is looked up.\n") && !said.contains("secret"), "{said}");
    assert!(said.contains(&format!("must prove to be {}; did so ", id_a.instance)), "{said}");
    assert!(said.contains("with the certificate of SHA-256 ") && said.contains("..., good until 20"), "{said}");

    drop((a, b));
    let a = router.instance("a").id(&id_a).port(at_b.port()).uri("a.example").start().await;
    let _b = router.instance("b").id(&id_b).port(at_a.port()).uri("b.example").start().await;
    assert_eq!(router.get("a.example", "/").await.status, 503);
    let (code, said) = ask(&router, &["why", "a.example"]).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(&format!("\n  {at_a}  app ")), "{said}");
    assert!(
        said.contains(&format!(
            "had to prove to be {}\n    pruned, wrong_identity: somebody else is there",
            id_a.instance
        )),
        "{said}"
    );
    assert!(said.contains(&format!("is valid for {}, not {}", id_b.instance, id_a.instance)), "{said}");

    a.register().await;
    assert_eq!(router.get("a.example", "/").await.status, 200);
    let (code, said) = ask(&router, &["why", "a.example"]).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(&format!("A request now goes to {at_b}, the only one")), "{said}");
    assert!(said.contains("Who left within the last hour:"), "{said}");

    a.unregister().await;
    let (code, said) = ask(&router, &["why", "a.example", "--json"]).await;
    let why: Value = serde_json::from_str(&said).unwrap();
    let causes: Vec<&Value> = why["departed"].as_array().unwrap().iter().map(|left| &left["cause"]).collect();
    assert_eq!((code, causes), (1, vec![&Value::from("unregistered"), &"failed".into()]), "{said}");
}

#[tokio::test]
async fn why_names_the_routes_that_may_have_been_meant() {
    let router = router().await;
    let _app = router.instance("shop").uri("shop.example/cart").uri("shep.example").register().await;
    let (code, said) = ask(&router, &["why", "shop.example/card"]).await;
    assert_eq!(code, 1);
    let wanted = "shop.example/card is looked up.\n\nThere is no route for it: the router answers 404.\n\n\
                  Routes that may have been meant:\n  shop.example/cart\n  shep.example\n";
    assert_eq!(said, wanted);
}

#[tokio::test]
async fn asking_changes_nothing() {
    let router = router().await;
    let one = router.instance("one").plain().uri("app.example").register().await;
    let two = router.instance("two").plain().uri("app.example").register().await;
    let turn = async || router.get("app.example", "/").await.header("x-app").unwrap().to_owned();
    let (mut seen, mut promised) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let (_, said) = ask(&router, &["why", "app.example", "--json"]).await;
        let why: Value = serde_json::from_str(&said).unwrap();
        let first = why["order"][0].as_str().unwrap();
        promised.push(if first == one.addr().to_string() { "one" } else { "two" }.to_owned());
        seen.push(turn().await);
    }
    assert_eq!(promised, seen, "{} {}", one.addr(), two.addr());
    assert_ne!(seen[0], seen[1], "each in turn");
}

#[tokio::test]
async fn whoever_cannot_be_asked_is_named() {
    let router = router().await;
    let dir = Tempdir::new().unwrap();
    let file = router.configuration().to_str().unwrap().to_owned();
    let admin = format!("http://{}", router.routes_port());
    let nobody = ReservedPort::new();
    let away = format!("http://{}", nobody.addr());
    let health = format!("http://{}", router.health_port());
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "secret\n").unwrap();
    let secret = secret.to_str().unwrap();
    for (words, password, code, said) in [
        (
            &["routes", "--admin", &admin, "--user", "status"][..],
            Some("wrong"),
            1,
            "does not take this user and password",
        ),
        (&["routes", "--admin", &admin, "--user", "status"], Some("secret"), 1, "the table is empty"),
        (&["routes", "--admin", &admin, "--user", "status", "--password-file", secret], None, 1, "the table is empty"),
        (&["routes", "--admin", &admin, "--user", "status"], None, 2, "--user needs a password"),
        (&["why", "x", "--admin", &away, "-c", &file], None, 1, "Is it running"),
        (&["routes", "--admin", &health, "-c", &file], None, 1, "is no router that knows this question"),
        (&["routes", "-c", "/nowhere/gorouter.yml"], None, 1, "/nowhere/gorouter.yml: No such file"),
        (&["routes", "--admin", "ftp://x", "-c", &file], None, 2, "must be http://HOST:PORT"),
        (&["why", "ftp://x", "-c", &file], None, 2, "neither http nor https"),
        (&["why", "-c", &file], None, 2, "<URL>"),
    ] {
        let (left_with, out, err) = run(words, password).await;
        assert!(left_with == code && out.is_empty() && err.contains(said), "{words:?}: {left_with} {out} {err}");
    }
}

#[tokio::test]
async fn why_says_what_failed_and_how_long_an_endpoint_rests() {
    let router = router().await;
    let dead = router.instance("one").plain().uri("app.example").register().await;
    let (at, _alive) = (dead.addr(), router.instance("two").plain().uri("app.example").register().await);
    drop(dead);
    let refusing = router.instance("three").uri("side.example").behind_sidecar().register().await;
    refusing.die();
    for host in ["app.example", "app.example", "side.example"] {
        router.get(host, "/").await;
    }

    let (code, said) = ask(&router, &["why", "app.example"]).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(&format!("{at}  app one/0  plain  failed, rests for ")), "{said}");
    assert!(said.contains("\n    dial: nobody takes connections there (dial tcp "), "{said}");
    let (_, said) = ask(&router, &["why", "side.example"]).await;
    assert!(
        said.contains("handshake_reset: it reset the connection in the handshake, as a sidecar does whose app"),
        "{said}"
    );
    let (_, said) = ask(&router, &["routes"]).await;
    assert_eq!(said.matches("failed, rests for ").count(), 2, "{said}");
}
