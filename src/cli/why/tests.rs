use super::*;
use crate::admin::shapes::{Failure, Mode, Proof, Route, State};

fn endpoint(address: &str) -> Endpoint {
    Endpoint {
        address: address.into(),
        app: "shop".into(),
        index: "0".into(),
        mode: Mode::Mutual,
        expected_name: Some("8f0b0f4e".into()),
        age_s: Some(5),
        ..Endpoint::default()
    }
}

fn step(route: &str, kind: Kind, endpoints: usize, taken: bool) -> Step {
    Step { route: route.into(), kind, endpoints, taken }
}

#[test]
fn a_request_that_is_served_is_told_to_its_end() {
    let proven = Endpoint {
        in_flight: 3,
        proof: Some(Proof {
            ago_s: 12,
            at: "2026-11-20T19:00:00Z".into(),
            name: "8f0b0f4e".into(),
            not_after: "2026-11-21T19:00:00Z".into(),
            sha256: "ab01cd02ef03ab04".into(),
        }),
        ..endpoint("10.0.0.1:61001")
    };
    let resting = Endpoint {
        state: State::Resting,
        resting_s: Some(12),
        failure: Some(Failure {
            ago_s: 18,
            at: "2026-11-20T18:59:54Z".into(),
            reason: "reset".into(),
            error: "read tcp: connection reset by peer".into(),
        }),
        ..endpoint("10.0.0.2:61001")
    };
    let why = Why {
        version: VERSION,
        host: "app.example.com".into(),
        path: "/api/v1".into(),
        outcome: Outcome::Served,
        steps: vec![
            step("app.example.com/api/v1", Kind::Exact, 0, false),
            step("app.example.com/api", Kind::Path, 2, true),
            step("*.example.com", Kind::Wildcard, 1, false),
        ],
        route: Some(Route {
            route: "app.example.com/api".into(),
            balancing: Balancing { algorithm: "round-robin".into(), ..Balancing::default() },
            endpoints: vec![proven, resting],
            ..Route::default()
        }),
        order: vec!["10.0.0.1:61001".into(), "10.0.0.2:61001".into()],
        max_conns: 500,
        departed: vec![Departed {
            route: "app.example.com/api".into(),
            address: "10.0.0.3:61001".into(),
            app: "shop".into(),
            index: "2".into(),
            expected_name: Some("77aa".into()),
            ago_s: 130,
            at: "2026-11-20T18:58:02Z".into(),
            cause: "failed".into(),
            reason: Some("wrong_identity".into()),
            error: Some("tls: certificate is valid for 9999, not 77aa".into()),
            ..Departed::default()
        }],
        ..Why::default()
    };
    assert_eq!(
        tell(&why),
        "\
app.example.com/api/v1 is looked up.

     app.example.com/api/v1  (this host and path), no endpoints: passed over
  -> app.example.com/api  (a path above it), 2 endpoints
     *.example.com  (a wildcard), 1 endpoint: not needed

A request now goes to 10.0.0.1:61001; should that fail, to 10.0.0.2:61001 (round-robin).

10.0.0.1:61001  app shop/0  mutual  ok
  must prove to be 8f0b0f4e; did so 12s ago
  with the certificate of SHA-256 ab01cd02ef03ab04..., good until 2026-11-21T19:00:00Z
  last registered 5s ago; in flight: 3 of 500

10.0.0.2:61001  app shop/0  mutual  failed, rests for 12s
  must prove to be 8f0b0f4e; has not had to yet
  last registered 5s ago; in flight: 0 of 500
  last failed 18s ago (2026-11-20T18:59:54Z)
    reset: it reset the connection after the request was sent (read tcp: connection reset by peer)

Who left within the last hour:
  10.0.0.3:61001  app shop/2  2m ago (2026-11-20T18:58:02Z)
    had to prove to be 77aa
    pruned, wrong_identity: somebody else is there: the certificate does not carry the name (tls: certificate is valid for 9999, not 77aa)
"
    );
}

#[test]
fn a_request_without_a_route_is_told_what_was_there_and_what_is_near() {
    let departed = |address: &str, cause: &str| Departed {
        route: "shop.example.com".into(),
        address: address.into(),
        ago_s: 61,
        at: "2026-11-20T18:58:02Z".into(),
        cause: cause.into(),
        silent_s: Some(121),
        ..Departed::default()
    };
    let why = Why {
        version: VERSION,
        host: "shop.example.com".into(),
        outcome: Outcome::NoRoute,
        status: Some(404),
        departed: ["stale", "unregistered", "unconfirmed"].map(|cause| departed("10.0.0.1:80", cause)).into(),
        near: vec!["shop.example.com/cart".into(), "shep.example.com".into()],
        ..Why::default()
    };
    assert_eq!(
        tell(&why),
        "\
shop.example.com is looked up.

There is no route for it: the router answers 404.

Who left within the last hour:
  10.0.0.1:80  app -  of shop.example.com  1m ago (2026-11-20T18:58:02Z)
    pruned, stale: nothing was heard of it for 2m
  10.0.0.1:80  app -  of shop.example.com  1m ago (2026-11-20T18:58:02Z)
    it was unregistered
  10.0.0.1:80  app -  of shop.example.com  1m ago (2026-11-20T18:58:02Z)
    pruned: it came from the snapshot, and no registration confirmed it

Routes that may have been meant:
  shop.example.com/cart
  shep.example.com
"
    );
}

#[test]
fn what_else_can_become_of_it_fits_one_line() {
    let why = |outcome, status, order: &[&str]| Why {
        host: "a.example".into(),
        outcome,
        status,
        max_conns: 5,
        order: order.iter().map(|address| (*address).to_owned()).collect(),
        ..Why::default()
    };
    for (why, wanted) in [
        (why(Outcome::NoEndpoints, Some(503), &[]), "The route has no endpoints left: the router answers 503."),
        (
            why(Outcome::Overloaded, Some(503), &[]),
            "Every endpoint works on 5 requests (backends.max_conns): the router answers 503.",
        ),
        (
            why(Outcome::Served, None, &["10.0.0.1:80"]),
            "A request now goes to 10.0.0.1:80, the only one that can be tried.",
        ),
    ] {
        assert_eq!(tell(&why).lines().nth(2), Some(wanted));
    }
}

#[test]
fn many_endpoints_leave_room_on_the_screen() {
    let endpoints = (0..SHOWN + 3).map(|number| endpoint(&format!("10.0.0.{number}:80"))).collect();
    let why = Why { route: Some(Route { endpoints, ..Route::default() }), ..Why::default() };
    let told = tell(&why);
    assert!(told.ends_with("\nand 3 more endpoints: --json shows all\n"), "{told}");
    assert!(!told.contains("10.0.0.8:80"));
}
