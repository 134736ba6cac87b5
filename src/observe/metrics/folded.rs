//! The sums under the names by which dropsonde knows them (gorouter.md §11, left column).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{Metrics, RoutingApiError, Tally, layout::STATUS_GROUPS};
use crate::route::component::Component;

impl Metrics {
    /// Calls `each` with the name and the sum of every counter. Those of a component begin with its first count, the
    /// others are there from the start.
    pub fn each_counter(&self, mut each: impl FnMut(&str, u64)) {
        let components = Component::all();
        let named = |at: usize| components.get(at).map_or("", |name| &**name);
        self.each_attempt(named, &mut each);
        let responses: Vec<u64> = (0..STATUS_GROUPS.len()).map(|at| self.sum(self.layout.responses + at)).collect();
        each("responses", responses.iter().sum());
        for (group, count) in STATUS_GROUPS.iter().zip(responses) {
            each(&format!("responses.{group}"), count);
        }
        // Gorouter has them and never counts them.
        each("responses.route_services", 0);
        for group in STATUS_GROUPS {
            each(&format!("responses.route_services.{group}"), 0);
        }
        let counts = |counts: &[AtomicU64]| counts.iter().map(|count| count.load(Relaxed)).sum::<u64>();
        let registered = self.control.registered.iter().map(|actions| counts(actions));
        by_component("registry_message", registered, named, &mut each);
        let unregistered = self.control.unregistered.iter().map(|count| count.load(Relaxed));
        by_component("unregistry_message", unregistered, named, &mut each);
        each("routes_pruned", self.pruned_for_age());
        each("token_fetch_errors", self.routing_api_failures(RoutingApiError::Token));
        each("subscribe_events_errors", self.routing_api_failures(RoutingApiError::Events));
        for &tally in Tally::ALL.iter().filter(|tally| !tally.name().starts_with("trueroute_")) {
            each(tally.name(), self.sum(self.layout.tallies + tally as usize));
        }
    }

    fn each_attempt<'n>(&self, named: impl Fn(usize) -> &'n str, each: &mut impl FnMut(&str, u64)) {
        let counts: Vec<u64> =
            (0..crate::route::component::MAX_COMPONENTS).map(|at| self.sum(self.layout.total_requests + at)).collect();
        let routed = counts.iter().enumerate().filter(|(at, _)| named(*at).starts_with("dea-"));
        each("routed_app_requests", routed.map(|(_, count)| count).sum());
        each("total_requests", counts.iter().sum());
        for (at, count) in counts.into_iter().enumerate().filter(|(at, count)| *count > 0 && !named(*at).is_empty()) {
            each(&format!("requests.{}", named(at)), count);
        }
    }

    /// Calls `each` with the name, the value and the unit of what the process holds at this moment.
    pub fn each_gauge(&self, mut each: impl FnMut(&'static str, f64, &'static str)) {
        let control = &self.control;
        for (name, value, unit) in [
            ("total_routes", &control.total_routes, ""),
            ("ms_since_last_registry_update", &control.ms_since_last_registry_update, "ms"),
            ("file_descriptors", &control.file_descriptors, "file"),
            ("buffered_messages", &control.buffered_messages, "message"),
            ("total_dropped_messages", &control.total_dropped_messages, "message"),
        ] {
            each(name, value.load(Relaxed) as f64, unit);
        }
    }
}

/// The sum of `counts` as `name`, and each that is not zero as `name.component`.
fn by_component<'n>(
    name: &str,
    counts: impl Iterator<Item = u64>,
    named: impl Fn(usize) -> &'n str,
    each: &mut impl FnMut(&str, u64),
) {
    let counts: Vec<u64> = counts.collect();
    each(name, counts.iter().sum());
    for (at, count) in counts.into_iter().enumerate().filter(|(at, count)| *count > 0 && !named(*at).is_empty()) {
        each(&format!("{name}.{}", named(at)), count);
    }
}
