//! `trueroute why`: what a running router would do with a request now, and what has happened to those it cannot ask.

use std::io::{self, Read, Write};

use super::{
    admin::{AskError, Asker, escaped},
    routes::{count, mode, state},
    text::{app, clean, span},
    words,
};
use crate::admin::shapes::{Balancing, Departed, Endpoint, Kind, Outcome, Step, VERSION, Why};

/// Endpoints and departures that one screen has room for.
const SHOWN: usize = 8;
/// Largest answer that is read, in bytes.
const LARGEST: u64 = 64 * 1024 * 1024;

/// Prints what becomes of a request for `url`; returns whether an endpoint would be asked.
///
/// # Errors
/// No answer, or what writing to `out` says.
pub fn run(asker: &Asker, url: &str, as_json: bool, out: &mut impl Write) -> Result<bool, AskError> {
    // What follows a `?` decides nothing and may be nobody's business.
    let asked = url.split(['?', '#']).next().unwrap_or_default();
    let mut text = String::new();
    let answer = asker.get(&format!("/why?url={}", escaped(asked)))?;
    answer.take(LARGEST).read_to_string(&mut text).map_err(|error| asker.broken(error))?;
    let why: Why = serde_json::from_str(&text).map_err(|error| asker.broken(io::Error::other(error)))?;
    if why.version != VERSION {
        let error = format!("it is of version {}, and this program reads version {VERSION}", why.version);
        return Err(asker.broken(io::Error::other(error)));
    }
    if as_json {
        out.write_all(text.as_bytes())?;
    } else {
        out.write_all(tell(&why).as_bytes())?;
    }
    Ok(why.outcome == Outcome::Served)
}

/// The story of a request, in lines.
fn tell(why: &Why) -> String {
    let mut story = Story::default();
    story.line(format!("{}{} is looked up.", why.host, why.path));
    story.line("");
    for step in &why.steps {
        story.step(step);
    }
    if !why.steps.is_empty() {
        story.line("");
    }
    story.outcome(why);
    if let Some(route) = &why.route {
        for endpoint in route.endpoints.iter().take(SHOWN) {
            story.line("");
            story.endpoint(endpoint, why.max_conns);
        }
        if let Some(more @ 1..) = route.endpoints.len().checked_sub(SHOWN) {
            story.line("");
            story.line(format!("and {}: --json shows all", count(more, "more endpoint")));
        }
    }
    if !why.departed.is_empty() {
        story.line("");
        story.line("Who left within the last hour:");
        for departed in why.departed.iter().take(SHOWN) {
            story.departed(departed, why.route.as_ref().is_none_or(|route| route.route != departed.route));
        }
    }
    if !why.near.is_empty() {
        story.line("");
        story.line("Routes that may have been meant:");
        why.near.iter().for_each(|near| story.line(format!("  {near}")));
    }
    story.0
}

#[derive(Default)]
struct Story(String);

impl Story {
    fn line(&mut self, text: impl AsRef<str>) {
        self.0.push_str(clean(text.as_ref()).trim_end());
        self.0.push('\n');
    }

    fn step(&mut self, step: &Step) {
        let kind = match step.kind {
            Kind::Exact => "this host and path",
            Kind::Path => "a path above it",
            Kind::Wildcard => "a wildcard",
        };
        let has = match step.endpoints {
            0 => "no endpoints".to_owned(),
            some => count(some, "endpoint"),
        };
        let (sign, fate) = match (step.taken, step.endpoints) {
            (true, _) => ("->", ""),
            (false, 0) => ("  ", ": passed over"),
            (false, _) => ("  ", ": not needed"),
        };
        self.line(format!("  {sign} {}  ({kind}), {has}{fate}", step.route));
    }

    fn outcome(&mut self, why: &Why) {
        let status = why.status.unwrap_or_default();
        let balancing = why.route.as_ref().map(|route| balancing(&route.balancing)).unwrap_or_default();
        self.line(match why.outcome {
            Outcome::NoRoute => format!("There is no route for it: the router answers {status}."),
            Outcome::NoEndpoints => format!("The route has no endpoints left: the router answers {status}."),
            Outcome::Overloaded => format!(
                "Every endpoint works on {} requests (backends.max_conns): the router answers {status}.",
                why.max_conns
            ),
            Outcome::RouteService => match why.status {
                Some(status) => format!(
                    "The route is bound to a route service, and without route_services_secret the router asks none: it \
                     answers {status}."
                ),
                None => "A request now goes to the route's service; what comes back with its signature goes on to an \
                         endpoint."
                    .to_owned(),
            },
            Outcome::Served => match &*why.order {
                [first] => format!("A request now goes to {first}, the only one that can be tried."),
                [first, rest @ ..] => {
                    let rest = rest.join(", ");
                    format!("A request now goes to {first}; should that fail, to {rest} ({balancing}).")
                }
                [] => "A request now is tried at any of them.".to_owned(),
            },
        });
        if let Some(header) = why.route.as_ref().and_then(|route| route.balancing.hash_header.as_deref()) {
            self.line(format!("With the header {header} its value decides who is first."));
        }
    }

    fn endpoint(&mut self, endpoint: &Endpoint, max_conns: u32) {
        let Endpoint { address, index, in_flight, .. } = endpoint;
        let mode = mode(endpoint.mode);
        self.line(format!("{address}  app {}  {mode}  {}", app(&endpoint.app, index), state(endpoint)));
        match (&endpoint.expected_name, &endpoint.proof) {
            (None, _) => self.line("  has to prove nothing"),
            (Some(name), None) => self.line(format!("  must prove to be {name}; has not had to yet")),
            (Some(name), Some(proof)) => {
                self.line(format!("  must prove to be {name}; did so {} ago", span(proof.ago_s)));
                self.line(format!(
                    "  with the certificate of SHA-256 {}..., good until {}",
                    proof.sha256, proof.not_after
                ));
            }
        }
        let seen = match endpoint.age_s {
            Some(age) => format!("last registered {} ago", span(age)),
            None => "known from the snapshot, no registration yet".to_owned(),
        };
        let limit = if max_conns == 0 { String::new() } else { format!(" of {max_conns}") };
        self.line(format!("  {seen}; in flight: {in_flight}{limit}"));
        if let Some(failure) = &endpoint.failure {
            self.line(format!("  last failed {} ago ({})", span(failure.ago_s), failure.at));
            self.line(format!("    {}", failed(&failure.reason, &failure.error)));
        }
    }

    fn departed(&mut self, departed: &Departed, names_route: bool) {
        let Departed { address, at, ago_s, .. } = departed;
        let of = if names_route { format!("  of {}", departed.route) } else { String::new() };
        let app = app(&departed.app, &departed.index);
        self.line(format!("  {address}  app {app}{of}  {} ago ({at})", span(*ago_s)));
        if let Some(name) = &departed.expected_name {
            self.line(format!("    had to prove to be {name}"));
        }
        let (reason, error) =
            (departed.reason.as_deref().unwrap_or_default(), departed.error.as_deref().unwrap_or_default());
        self.line(match &*departed.cause {
            "failed" => format!("    pruned, {}", failed(reason, error)),
            "stale" => {
                format!(
                    "    pruned, stale: nothing was heard of it for {}",
                    span(departed.silent_s.unwrap_or_default())
                )
            }
            "unconfirmed" => "    pruned: it came from the snapshot, and no registration confirmed it".into(),
            "unregistered" => "    it was unregistered".into(),
            other => format!("    {other}"),
        });
    }
}

fn failed(reason: &str, error: &str) -> String {
    match words::failure(reason) {
        "" => format!("{reason} ({error})"),
        words => format!("{reason}: {words} ({error})"),
    }
}

fn balancing(balancing: &Balancing) -> String {
    match &balancing.hash_header {
        Some(header) => format!("hash of {header}, or else {}", balancing.algorithm),
        None => balancing.algorithm.clone(),
    }
}

#[cfg(test)]
mod tests;
