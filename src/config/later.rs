//! What a configuration may ask for and this version does not do yet.
//!
//! It is logged once at start. A feature that is built loses its line here.

use super::model::Config;

impl Config {
    /// The keys that are set to something other than their default and are not acted on yet, in the order of
    /// gorouter.md §2.
    pub fn not_acted_on(&self) -> Vec<&'static str> {
        let d = Config::default();
        let ours = self;
        [
            ("oauth", ours.oauth != d.oauth),
            ("routing_api", ours.routing_api.is_some()),
            ("token_fetcher", ours.token_fetcher != d.token_fetcher),
        ]
        .into_iter()
        .filter_map(|(key, set)| set.then_some(key))
        .collect()
    }
}
