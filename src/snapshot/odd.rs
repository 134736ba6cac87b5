//! Whatever ids and tags a platform sends, the routes page and the snapshot say the very same.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};

use super::keeper::messages;
use crate::{
    bus::subscriber::{Policy, REGISTER, Subscriber},
    route::{balancing::Algorithm, endpoint::Endpoint, moment::Moment},
    table::{Settings, Sharding, Table},
};

const TEXTS: [&str; 9] = [
    "",
    "0",
    "a",
    "null",
    "0b1d9a52-6a2e-4f5e-9c7f-0b0f4e5c5c1d",
    "0B1D9A52-6A2E-4F5E-9C7F-0B0F4E5C5C1D",
    "0b1d9a526a2e4f5e9c7f0b0f4e5c5c1d",
    "6f3a8a1c-1b2c-4e5d-5f6a-7b8c",
    "grüße \"aus\" 東京 \\ 🚀",
];
const NAMES: [&str; 8] =
    ["app_id", "app_name", "component", "instance_id", "organization_name", "process_id", "space_id", "größe"];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![6 => select(&TEXTS[..]).prop_map(str::to_owned), 1 => "[ -~é]{0,80}"]
}

/// Few different components, since there is room for few in a process.
fn tag() -> impl Strategy<Value = (&'static str, String)> {
    (select(&NAMES[..]), text(), select(&TEXTS[..]))
        .prop_map(|(name, value, odd)| (name, if name == "component" { odd.to_owned() } else { value }))
}

fn table() -> (Arc<Table>, Subscriber) {
    let table = Arc::new(Table::new(Settings {
        stale_threshold: Duration::from_secs(120),
        empty_pool_grace: Duration::ZERO,
        sharding: Sharding::All,
        balancing: Algorithm::RoundRobin,
    }));
    (Arc::clone(&table), Subscriber::new(table, Policy { http2: true, ..Policy::default() }))
}

fn only_endpoint(table: &Table) -> Arc<Endpoint> {
    let pool = table.lookup("a.example", "/").unwrap();
    Arc::clone(pool.leases()[0].endpoint())
}

/// An object with a key for each of `tags`, also where that makes equal ones.
fn object(tags: &[(&str, String)]) -> String {
    let members: Vec<_> = tags.iter().map(|(name, value)| format!("{}:{}", json!(name), json!(value))).collect();
    format!("{{{}}}", members.join(","))
}

proptest! {
    #[test]
    fn the_routes_page_and_the_snapshot_say_what_was_registered(
        texts in prop::collection::vec(text(), 5),
        tags in prop::option::of(prop::collection::vec(tag(), 0..14)),
        null: bool,
        updated: i64,
    ) {
        let tags_text = match &tags {
            Some(tags) => format!(r#","tags":{}"#, object(tags)),
            None if null => r#","tags":null"#.to_owned(),
            None => String::new(),
        };
        let [app, instance, index, san, zone] = [0, 1, 2, 3, 4].map(|at: usize| texts[at].as_str());
        let message = format!(
            r#"{{"host":"10.0.0.1","tls_port":443,"uris":["a.example"],"app":{},"private_instance_id":{},
            "private_instance_index":{},"server_cert_domain_san":{},"availability_zone":{},
            "endpoint_updated_at_ns":{updated}{tags_text}}}"#,
            json!(app), json!(instance), json!(index), json!(san), json!(zone),
        );
        let (there, mut bus) = table();
        bus.apply(REGISTER, message.as_bytes(), Moment::default());

        let page = serde_json::to_value(there.listing()).unwrap();
        let row = &page["a.example"][0];
        let last_of_equals = tags.map(|tags| tags.into_iter().collect::<BTreeMap<_, _>>());
        prop_assert_eq!(&row["tags"], &json!(last_of_equals));
        prop_assert_eq!(&row["availability_zone"], zone);
        let unless_empty = |text: &str| if text.is_empty() { Value::Null } else { text.into() };
        prop_assert_eq!(&row["private_instance_id"], &unless_empty(instance));
        prop_assert_eq!(&row["server_cert_domain_san"], &unless_empty(san));

        let (again, mut bus) = table();
        let snapshot: Vec<String> = messages(&there.listing()).collect();
        prop_assert_eq!(snapshot.iter().map(|message| bus.restore(message.as_bytes(), Moment::default())).sum::<usize>(), 1);
        let (first, second) = (only_endpoint(&there), only_endpoint(&again));
        prop_assert_eq!((first.app_id(), first.instance_id(), first.instance_index()), (app, instance, index));
        prop_assert_eq!(&second.peer, &first.peer);
        prop_assert_eq!(second.facts(), first.facts());
        prop_assert_eq!(serde_json::to_value(again.listing()).unwrap(), page);
    }
}
