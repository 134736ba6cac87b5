use proptest::{prelude::*, sample::select};

use super::*;

fn endpoint(peer: Peer, facts: &Facts<'_>) -> Endpoint {
    Endpoint::new(peer, facts.clone())
}

#[test]
fn an_endpoint_of_a_platform_is_small() {
    assert!(size_of::<Endpoint>() + 2 * size_of::<usize>() <= 96, "{}", size_of::<Endpoint>());
    let id = "6f3a8a1c-1b2c-4e5d-5f6a-7b8c";
    let app = "0b1d9a52-6a2e-4f5e-9c7f-0b0f4e5c5c1d";
    let tags = [
        ("app_id", app),
        ("app_name", "dora"),
        ("component", "route-emitter"),
        ("instance_id", "0"),
        ("organization_id", "1e7b3c60-8a8f-4a8e-8b6f-4c2f7d1f2d11"),
        ("organization_name", "system"),
        ("process_id", app),
        ("process_instance_id", id),
        ("process_type", "web"),
        ("source_id", app),
        ("space_id", "77a0c5c7-8f5d-4a43-93f6-9a2d4fb9a2f7"),
        ("space_name", "apps"),
    ];
    let facts = Facts {
        app_id: app.into(),
        instance_id: id.into(),
        instance_index: "0".into(),
        server_cert_domain_san: id.into(),
        tags: Some(tags.map(|(name, value)| (name.into(), value.into())).into()),
        ..Facts::default()
    };
    let kept = endpoint(Peer::of("10.0.0.1", 61001, Some(id)), &facts);
    assert_eq!(kept.facts(), facts);
    assert_eq!(&*kept.texts, format!("{app}0\u{4}dora"), "what it shares with none, and nothing twice");
}

#[test]
fn texts_that_are_the_same_are_told_apart_by_their_names() {
    let of = |facts: Facts<'static>| endpoint(Peer::of("h", 1, None), &facts);
    let tagged = |name: &'static str, value: &'static str| Facts {
        app_id: "x".into(),
        tags: Some(vec![(name.into(), value.into())]),
        ..Facts::default()
    };
    assert!(!of(tagged("a", "x")).same_as(&of(tagged("b", "x"))));
    assert!(!of(tagged("a", "x")).same_as(&of(tagged("a", "y"))));
    assert!(!of(tagged("a", "y")).same_as(&of(tagged("a", "z"))));
    assert!(!of(tagged("component", "y")).same_as(&of(tagged("component", "z"))));
    assert!(of(tagged("a", "x")).same_as(&of(tagged("a", "x"))));
    assert_eq!(of(tagged("a", "x")).tag("a"), Some("x"));
    assert_eq!(of(tagged("a", "x")).tag("b"), None);
}

const ODD: [&str; 7] =
    ["", "0", "1", "a", "ä", "0B1D9A52-6A2E-4F5E-9C7F-0B0F4E5C5C1D", "0b1d9a52-6a2e-4f5e-9c7f-0b0f4e5c5c1d"];
const NAMES: [&str; 8] =
    ["component", "process_type", "space_id", "instance_id", "instance_index", "app_id", "", "näme"];

/// Texts that meet often, so that every way of keeping one is taken.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![8 => select(&ODD[..]).prop_map(str::to_owned), 1 => ".{0,80}", 1 => "x{60,70}"]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![4 => select(&NAMES[..]).prop_map(str::to_owned), 1 => "[a-z\"_]{0,70}"]
}

/// The number of components is bounded for the whole process, so that they are none of the random texts.
fn tag((name, value): (String, String)) -> Tag<'static> {
    let value = if name == "component" && !ODD.contains(&value.as_str()) { "1".to_owned() } else { value };
    (name.into(), value.into())
}

fn facts() -> impl Strategy<Value = Facts<'static>> {
    let texts = prop::collection::vec(text(), 8);
    let tags = prop::option::of(prop::collection::btree_map(name(), text(), 0..6));
    (texts, tags, 0..3_u64, 0..3_i64).prop_map(|(texts, tags, stale, updated_at_ns)| {
        let mut texts = texts.into_iter().map(Cow::Owned);
        let mut next = || texts.next().unwrap_or_default();
        Facts {
            app_id: next(),
            instance_id: next(),
            instance_index: next(),
            protocol: Protocol::Other(next().as_ref().into()),
            server_cert_domain_san: next(),
            tags: tags.map(|tags| tags.into_iter().map(tag).collect()),
            route_service_url: next(),
            isolation_segment: next(),
            availability_zone: next(),
            stale_threshold: Duration::from_secs(stale),
            updated_at_ns,
            options: (stale == 1).then(|| Arc::new(Options { hash_balance: 1.5, ..Options::default() })),
            modification_tag: None,
        }
    })
}

fn peer() -> impl Strategy<Value = Peer> {
    (select(&["10.0.0.1", "h"][..]), 1..3_u16, prop::option::of(text()))
        .prop_map(|(host, port, name)| Peer::of(host, port, name.as_deref()))
}

proptest! {
    #[test]
    fn an_endpoint_keeps_every_fact_as_it_came(peer in peer(), facts in facts()) {
        let endpoint = endpoint(peer.clone(), &facts);
        prop_assert_eq!(&endpoint.peer, &peer);
        prop_assert_eq!(endpoint.facts(), facts.clone());
        for (name, value) in facts.tags.iter().flatten() {
            prop_assert_eq!(endpoint.tag(name), Some(&**value));
        }
        prop_assert_eq!(endpoint.component, Component::named(endpoint.tag("component").unwrap_or_default()));
    }

    #[test]
    fn endpoints_are_the_same_if_all_facts_but_the_zone_are(
        (peer, facts) in (peer(), facts()),
        (other_peer, other) in (peer(), facts()),
        swapped in prop::collection::vec(prop::bool::weighted(0.1), 12),
    ) {
        let pick = |at: usize| if swapped[at] { &other } else { &facts };
        let mixed = Facts {
            app_id: pick(0).app_id.clone(),
            instance_id: pick(1).instance_id.clone(),
            instance_index: pick(2).instance_index.clone(),
            protocol: pick(3).protocol.clone(),
            server_cert_domain_san: pick(4).server_cert_domain_san.clone(),
            tags: pick(5).tags.clone(),
            route_service_url: pick(6).route_service_url.clone(),
            isolation_segment: pick(7).isolation_segment.clone(),
            availability_zone: other.availability_zone.clone(),
            stale_threshold: pick(8).stale_threshold,
            updated_at_ns: pick(9).updated_at_ns,
            options: pick(10).options.clone(),
            modification_tag: None,
        };
        let mixed_peer = if swapped[11] { &other_peer } else { &peer };
        let equal = Facts { availability_zone: Cow::default(), ..mixed.clone() }
            == Facts { availability_zone: Cow::default(), ..facts.clone() };
        let same = endpoint(peer.clone(), &facts).same_as(&endpoint(mixed_peer.clone(), &mixed));
        prop_assert_eq!(same, equal && *mixed_peer == peer);
    }
}
