//! `/logging`: what is logged, in the words and by the rules of Envoy's page.

use super::http::{Answer, Request};
use crate::log::{self, LogLevel};

/// Names that the one log here goes by: its own, and those of Envoy's loggers whose work is done here.
const LOGGERS: [&str; 19] = [
    "trueroute_sidecar",
    "admin",
    "assert",
    "client",
    "config",
    "conn_handler",
    "connection",
    "dns",
    "envoy_bug",
    "file",
    "filter",
    "init",
    "io",
    "main",
    "misc",
    "pool",
    "secret",
    "stats",
    "upstream",
];

const USAGE: &str = "\
usage: /logging?<name>=<level> (change single level)
usage: /logging?paths=name1:level1,name2:level2,... (change multiple levels)
usage: /logging?level=<level> (change all levels)
levels: trace debug info warning error critical off
";

/// The page.
pub(super) fn page(request: &Request) -> Answer {
    match asked_for(request) {
        Ok(None) => {}
        Ok(Some(level)) => {
            if !log::set_level(level) {
                return Answer::text(503, "there is no log to change\n");
            }
        }
        Err(refusal) => return Answer::text(400, format!("error: {refusal}\n\n{USAGE}{}", active())),
    }
    Answer::text(200, active())
}

fn active() -> String {
    format!("active loggers:\n  trueroute_sidecar: {}\n", log::level().word)
}

/// The level to change to, which is that of the last name where there are several.
fn asked_for(request: &Request) -> Result<Option<LogLevel>, &'static str> {
    let mut pairs = request.pairs();
    let Some((name, value)) = pairs.next() else { return Ok(None) };
    if pairs.next().is_some() {
        return Err("invalid number of parameters");
    }
    let named = |word| LogLevel::named(word).ok_or("unknown logger level");
    match name {
        "level" => named(value).map(Some),
        "paths" => {
            let mut last = None;
            for each in value.split(',').filter(|each| !each.is_empty()) {
                let (name, word) = each.split_once(':').ok_or("expected name:level")?;
                known(name)?;
                last = Some(named(word)?);
            }
            last.map(Some).ok_or("expected name:level")
        }
        name => known(name).and_then(|()| named(value)).map(Some),
    }
}

fn known(name: &str) -> Result<(), &'static str> {
    LOGGERS.contains(&name).then_some(()).ok_or("unknown logger name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_asked_for_by_a_known_name_and_a_known_level() {
        for (query, expected) in [
            ("", Ok(None)),
            ("?level=critical", Ok(Some("critical"))),
            ("?level=warn", Ok(Some("warning"))),
            ("?main=debug", Ok(Some("debug"))),
            ("?paths=main:info,upstream:trace", Ok(Some("trace"))),
            ("?level=loud", Err("unknown logger level")),
            ("?foo=debug", Err("unknown logger name")),
            ("?paths=main:info,foo:trace", Err("unknown logger name")),
            ("?paths=main", Err("expected name:level")),
            ("?level=info&main=debug", Err("invalid number of parameters")),
        ] {
            let request = Request::of(&format!("/logging{query}"));
            assert_eq!(asked_for(&request).map(|level| level.map(|level| level.word)), expected, "{query}");
        }
    }
}
