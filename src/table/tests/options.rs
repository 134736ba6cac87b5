//! What registrations ask for beside an address: how it shows, and what it changes.

use super::*;

#[test]
fn the_last_registered_endpoint_decides_how_a_route_is_balanced() {
    let table = table();
    let route = key("app.example.com");
    let balancing = || {
        let pool = table.lookup("app.example.com", "/").unwrap();
        (pool.balancing().algorithm, pool.balancing().hash.as_ref().map(|hash| hash.header.to_string()))
    };
    let with = |port, asked: &str| {
        let options = (!asked.is_empty()).then(|| options(asked, "x-tenant", 0.0));
        plain_with(port, Facts { options, ..Facts::default() })
    };
    let (usual, turns) = ((Algorithm::LeastConnection, None), (Algorithm::RoundRobin, None));
    let hash = (Algorithm::LeastConnection, Some("x-tenant".to_owned()));
    for (port, asked, wanted) in [
        (1, "", &usual),
        (2, "round-robin", &turns),
        // A heartbeat registers nothing.
        (1, "", &turns),
        (3, "", &usual),
        (1, "hash", &hash),
        (2, "coin-toss", &hash),
        (1, "round-robin", &turns),
        // The option is taken back.
        (1, "", &usual),
        (3, "round-robin", &turns),
    ] {
        table.register(&route, &with(port, asked), at(0), 0);
        assert_eq!(&balancing(), wanted, "{port} {asked}");
    }
    // What the route was told stays when the endpoint leaves that told it.
    table.unregister(&route, &plain(3), at(0));
    assert_eq!(balancing(), turns);
    table.register(&route, &with(1, "hash"), at(0), 0);
    table.prune(at(121), Source::Live);
    table.register(&route, &with(9, "coin-toss"), at(121), 0);
    assert_eq!(balancing(), usual, "a new route knows nothing of the one before");
}

#[test]
fn the_listing_is_the_json_of_routes() {
    let table = table_with(Duration::from_secs(1), Sharding::All);
    assert_eq!(serde_json::to_string(&table.listing()).unwrap(), "{}");
    table.register(&key("b.example.com/path"), &plain(1), at(0), 0);
    let tags = [("app_id".into(), "x".into()), ("component".into(), "route-emitter".into())];
    let facts = Facts {
        app_id: "app".into(),
        instance_id: "instance".into(),
        instance_index: "0".into(),
        protocol: crate::route::endpoint::Protocol::Http2,
        server_cert_domain_san: "name".into(),
        tags: Some(tags.into()),
        route_service_url: "https://rs".into(),
        isolation_segment: "segment".into(),
        availability_zone: "z1".into(),
        stale_threshold: Duration::from_secs(20),
        updated_at_ns: 1,
        options: Some(options("hash", "x-tenant", 1.5)),
        modification_tag: None,
    };
    let peer = Peer::new("10.0.0.2", 443, Identity::Tls(ExpectedName::new("name")));
    table.register(&key("a.example.com"), &Arc::new(Endpoint::new(peer, facts)), at(0), 0);
    table.register(
        &key("a.example.com"),
        &plain_with(2, Facts { tags: Some([].into()), ..Facts::default() }),
        at(0),
        0,
    );
    table.register(&key("c.example.com"), &plain(3), at(0), 0);
    table.unregister(&key("c.example.com"), &plain(3), at(0));
    let wanted = concat!(
        r#"{"a.example.com":["#,
        r#"{"address":"10.0.0.2:443","availability_zone":"z1","protocol":"http2","tls":true,"ttl":20,"#,
        r#""route_service_url":"https://rs","tags":{"app_id":"x","component":"route-emitter"},"#,
        r#""isolation_segment":"segment","private_instance_id":"instance","server_cert_domain_san":"name","#,
        r#""load_balancing_algorithm":"hash","hash_header":"x-tenant","hash_balance":1.5},"#,
        r#"{"address":"10.0.0.1:2","availability_zone":"","protocol":"http1","tls":false,"ttl":120,"tags":{}}],"#,
        r#""b.example.com/path":["#,
        r#"{"address":"10.0.0.1:1","availability_zone":"","protocol":"http1","tls":false,"ttl":120,"tags":null}],"#,
        r#""c.example.com":[]}"#,
    );
    assert_eq!(serde_json::to_string(&table.listing()).unwrap(), wanted);
}
