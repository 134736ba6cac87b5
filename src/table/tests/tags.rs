//! Modification tags: of two states of one life of a route the later one counts, whichever comes last.

use super::*;
use crate::route::endpoint::ModificationTag;

fn tagged(app: &str, tag: Option<(&str, u32)>) -> Arc<Endpoint> {
    let tag = tag.map(|(guid, index)| Arc::new(ModificationTag { guid: guid.into(), index }));
    plain_with(1, Facts { app_id: app.to_owned().into(), modification_tag: tag, ..Facts::default() })
}

#[test]
fn an_older_state_neither_replaces_nor_refreshes_nor_removes() {
    type Tag = Option<(&'static str, u32)>;
    let cases: [(Tag, Tag, Change, Departure); 7] = [
        (None, None, Change::Replaced, Departure::Removed),
        (None, Some(("a", 1)), Change::Replaced, Departure::Removed),
        (Some(("a", 1)), None, Change::Replaced, Departure::Removed),
        (Some(("a", 1)), Some(("a", 2)), Change::Replaced, Departure::Removed),
        (Some(("a", 2)), Some(("a", 2)), Change::Outdated, Departure::Removed),
        (Some(("a", 2)), Some(("a", 1)), Change::Outdated, Departure::NotThere),
        (Some(("a", 2)), Some(("b", 1)), Change::Replaced, Departure::Removed),
    ];
    let route = key("app.example.com");
    for (known, next, change, departure) in cases {
        let table = table();
        table.register(&route, &tagged("first", known), at(0), 0);
        assert_eq!(table.register(&route, &tagged("second", next), at(1), 0), change, "{known:?} {next:?}");
        let lease = Arc::clone(&table.lookup("app.example.com", "/").unwrap().leases()[0]);
        let is_kept = change == Change::Outdated;
        let expected = if is_kept { ("first", at(0)) } else { ("second", at(1)) };
        assert_eq!((lease.endpoint().app_id(), lease.seen()), expected, "{known:?} {next:?}");

        let table = self::table();
        table.register(&route, &tagged("first", known), at(0), 0);
        assert_eq!(table.unregister(&route, &tagged("second", next), at(1)), departure, "{known:?} {next:?}");
    }
}

#[test]
fn the_same_state_told_again_is_fresh() {
    let (table, route) = (table(), key("app.example.com"));
    table.register(&route, &tagged("app", Some(("a", 1))), at(0), 0);
    assert_eq!(table.register(&route, &tagged("app", Some(("a", 1))), at(1), 0), Change::Renewed);
    assert_eq!(table.register(&route, &tagged("app", Some(("a", 2))), at(2), 0), Change::Replaced);
}
