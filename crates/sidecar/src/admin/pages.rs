//! Which path leads to which page.

use std::sync::atomic::Ordering::Relaxed;

use serde_json::{Map, Value, json};

use super::{
    certs, clusters, dump, figures,
    house::{Command, Doors, House},
    http::{Answer, Request},
    logging, runtime,
};
use crate::envoy;

/// How a page may be asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It shows.
    Shows,
    /// It changes something: by POST only.
    Changes,
}

struct Page {
    path: &'static str,
    kind: Kind,
    about: &'static str,
    answer: fn(&House, &Request) -> Answer,
}

const fn shows(path: &'static str, about: &'static str, answer: fn(&House, &Request) -> Answer) -> Page {
    Page { path, kind: Kind::Shows, about, answer }
}

const fn changes(path: &'static str, about: &'static str, answer: fn(&House, &Request) -> Answer) -> Page {
    Page { path, kind: Kind::Changes, about, answer }
}

/// All pages in the order of `/help`. Sorted, as with Envoy.
const PAGES: [Page; 27] = [
    shows("/", "Admin home page", home),
    shows("/certs", "print certs on machine", |house, _| certs::page(house)),
    shows("/clusters", "upstream cluster status (?format=text|json)", clusters::page),
    shows("/config_dump", "dump current Envoy configs (?resource= ?mask= ?name_regex= ?include_eds)", dump::page),
    shows("/contention", "dump current Envoy mutex contention stats", |_, _| {
        Answer::text(200, "Mutex contention tracing is not enabled: there is one thread.\n")
    }),
    changes("/cpuprofiler", "enable/disable the CPU profiler", unsupported),
    changes("/drain_listeners", "drain listeners (?graceful ?skip_exit ?inboundonly)", drain_listeners),
    changes("/healthcheck/fail", "cause the server to fail health checks", |house, _| health(house, true)),
    changes("/healthcheck/ok", "cause the server to pass health checks", |house, _| health(house, false)),
    shows("/heap_dump", "dump current Envoy heap", unsupported),
    changes("/heapprofiler", "enable/disable the heap profiler", unsupported),
    shows("/help", "print out list of admin commands", |_, _| Answer::text(200, help())),
    shows("/hot_restart_version", "print the hot restart compatibility version", |_, _| {
        Answer::text(200, "disabled\n")
    }),
    shows("/init_dump", "dump current Envoy init manager information", |_, _| Answer::json(&json!({}))),
    shows("/listeners", "print listener info (?format=text|json)", listeners),
    changes("/logging", "query/change logging levels (?level= ?<name>= ?paths=)", |_, request| logging::page(request)),
    shows("/memory", "print current allocation/heap usage", |_, _| Answer::json(&figures::memory())),
    changes("/quitquitquit", "exit the server", |_, _| Answer::text(200, "OK\n").then(Command::Quit)),
    shows("/ready", "print server state, return 200 if LIVE, otherwise return 503", ready),
    changes("/reopen_logs", "reopen access logs", |house, _| reopen_logs(house)),
    changes("/reset_counters", "reset all counters to zero", reset_counters),
    shows("/runtime", "print runtime values", runtime::page),
    changes("/runtime_modify", "modify runtime values", unsupported),
    shows("/server_info", "print server version/status information", server_info),
    shows("/stats", "print server stats (?filter= ?usedonly ?format=text|json|prometheus)", figures::page),
    shows("/stats/prometheus", "print server stats in prometheus format (?filter= ?usedonly)", figures::prometheus),
    shows("/stats/recentlookups", "Show recent stat-name lookups", unsupported),
];

/// The answer to `request`.
pub(super) fn answer(house: &House, request: &Request) -> Answer {
    let Some(page) = PAGES.iter().find(|page| page.path == request.path) else {
        return Answer::text(404, format!("invalid path. {}", help()));
    };
    let by_post = request.method == "POST";
    match page.kind {
        _ if !by_post && !matches!(request.method.as_str(), "GET" | "HEAD") => not_allowed(&request.method, page),
        Kind::Changes if !by_post => not_allowed(&request.method, page),
        Kind::Changes if house.read_only => Answer::text(403, "these pages are read only\n"),
        _ => (page.answer)(house, request),
    }
}

fn not_allowed(method: &str, page: &Page) -> Answer {
    Answer::text(405, format!("{method} is not allowed on {}\n", page.path))
}

fn unsupported(_: &House, request: &Request) -> Answer {
    Answer::text(501, format!("{} is not supported\n", request.path))
}

fn help() -> String {
    let lines = PAGES.iter().map(|page| {
        let by = if page.kind == Kind::Changes { " (POST)" } else { "" };
        format!("  {}{by}: {}\n", page.path, page.about)
    });
    format!("admin commands are:\n{}", lines.collect::<String>())
}

fn home(_: &House, _: &Request) -> Answer {
    let rows = PAGES.iter().map(|Page { path, kind, about, .. }| match kind {
        Kind::Shows => format!("<tr><td><a href=\"{path}\">{path}</a></td><td>{about}</td></tr>\n"),
        Kind::Changes => format!("<tr><td>POST {path}</td><td>{about}</td></tr>\n"),
    });
    let rows: String = rows.map(|row| row.replace("|<", "|&lt;").replace("?<name>", "?&lt;name&gt;")).collect();
    Answer::html(format!("<!doctype html>\n<title>Envoy Admin</title>\n<table>\n{rows}</table>\n"))
}

fn drain_listeners(_: &House, request: &Request) -> Answer {
    // Every listener leads inward, so there is nothing that `inboundonly` would leave open.
    let doors = match (request.asks("graceful"), request.asks("skip_exit")) {
        (_, Some(_)) => Doors::Leave,
        (None, None) => Doors::Close,
        (Some(_), None) => Doors::CloseLater,
    };
    Answer::text(200, "OK\n").then(Command::Drain(doors))
}

fn health(house: &House, failing: bool) -> Answer {
    house.controls.failing.store(failing, Relaxed);
    Answer::text(200, "OK\n")
}

fn listeners(house: &House, request: &Request) -> Answer {
    if request.wants_json() {
        let statuses = house.flats.iter().map(|flat| {
            let (address, port) = (flat.address.ip().to_string(), flat.address.port());
            json!({"name": flat.name, "local_address": {"socket_address": {"address": address, "port_value": port}}})
        });
        return Answer::json(&json!({"listener_statuses": statuses.collect::<Vec<_>>()}));
    }
    let lines = house.flats.iter().map(|flat| format!("{}::{}\n", flat.name, flat.address));
    Answer::text(200, lines.collect::<String>())
}

fn ready(house: &House, _: &Request) -> Answer {
    let state = house.state();
    Answer::text(if state == "LIVE" { 200 } else { 503 }, format!("{state}\n"))
}

fn reopen_logs(house: &House) -> Answer {
    match house.logs.reopen() {
        Ok(()) => Answer::text(200, "OK\n"),
        Err(error) => Answer::text(503, format!("an access log can not be opened: {error}\n")),
    }
}

fn reset_counters(house: &House, _: &Request) -> Answer {
    house.flats.iter().for_each(|flat| flat.stats.reset());
    house.stats.reset();
    Answer::text(200, "OK\n")
}

fn server_info(house: &House, _: &Request) -> Answer {
    let uptime = format!("{}s", house.started.since.elapsed().as_secs());
    let options: Map<String, Value> =
        house.subject.options.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Answer::json(&json!({
        "version": envoy::VERSION,
        "state": house.state(),
        "hot_restart_version": "disabled",
        "command_line_options": options,
        "node": {"id": house.subject.node_id, "cluster": house.subject.node_cluster},
        "uptime_current_epoch": uptime,
        "uptime_all_epochs": uptime,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_sorted_and_each_is_in_the_help() {
        assert!(PAGES.is_sorted_by_key(|page| page.path));
        let help = help();
        assert!(PAGES.iter().all(|page| help.contains(&format!("\n  {}", page.path)) && help.contains(page.about)));
        assert!(help.starts_with("admin commands are:\n  /: Admin home page\n"));
    }
}
