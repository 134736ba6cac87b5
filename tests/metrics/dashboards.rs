//! The dashboard, the alert rules and the document, held to the page: each metric, label and value that they use is
//! there.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

use serde_json::Value;

use crate::{
    exposition::Page,
    golden::GOLDEN,
    promql::{Asked, asked},
};

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The page that the golden test holds to a running router. A `*` there is some number.
fn page() -> Page {
    let numbered: String = GOLDEN
        .lines()
        .map(|line| match line.strip_suffix(" *") {
            // The parts of a histogram fit together with one number for all but its empty ones.
            Some(series) if !line.starts_with('#') => format!("{series} 0\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    Page::read(&numbered).unwrap_or_else(|wrong| panic!("{wrong}"))
}

/// What is wrong with an expression, going by the page.
fn wrong(page: &Page, expression: &str) -> Vec<String> {
    let Asked { metrics, groups, selects } = match asked(expression) {
        Ok(asked) => asked,
        Err(why) => return vec![why],
    };
    let labels: BTreeMap<&String, Option<BTreeSet<String>>> =
        metrics.iter().map(|metric| (metric, page.labels(metric))).collect();
    let missing = labels.iter().filter(|(_, labels)| labels.is_none()).map(|(metric, _)| format!("no metric {metric}"));
    let known = |label: &String| labels.values().flatten().any(|labels| labels.contains(label));
    let groups = groups.iter().filter(|label| !known(label)).map(|label| format!("no label {label} to group by"));
    let selects = selects.iter().filter_map(|(metric, label, value)| {
        let all = page.families.values().flat_map(|family| &family.series).filter(|series| series.name == *metric);
        let values: BTreeSet<&String> =
            all.flat_map(|series| &series.labels).filter(|(name, _)| name == label).map(|(_, value)| value).collect();
        let there = value.as_ref().map_or(!values.is_empty(), |value| values.contains(value));
        (!there).then(|| format!("no {metric} has {label}={value:?}"))
    });
    missing.chain(groups).chain(selects).collect()
}

fn dashboard() -> Value {
    serde_json::from_str(&read("config/grafana-dashboard.json")).unwrap()
}

fn panels(dashboard: &Value) -> &Vec<Value> {
    dashboard["panels"].as_array().unwrap()
}

/// Every expression of the dashboard, with the title above it.
fn of_the_dashboard(dashboard: &Value) -> Vec<(String, String)> {
    let queries = panels(dashboard).iter().flat_map(|panel| {
        let title = panel["title"].as_str().unwrap();
        let targets = panel["targets"].as_array().into_iter().flatten();
        targets.map(move |target| (title.to_owned(), target["expr"].as_str().unwrap().to_owned()))
    });
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
    let variables =
        variables.filter_map(|variable| Some(("variable".into(), variable["query"]["query"].as_str()?.into())));
    queries.chain(variables).collect()
}

fn rules() -> Vec<Value> {
    let rules: Value = serde_saphyr::from_str(&read("config/alerts.yml")).unwrap();
    let groups = rules["groups"].as_array().unwrap().clone();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

#[test]
fn an_expression_that_asks_for_what_is_not_there_is_found() {
    let page = page();
    for (expression, faults) in [
        ("sum by (reason) (rate(trueroute_retries_total[5m]))", 0),
        ("rate(latency_bucket{component=\"\",le=\"1\"}[5m])", 0),
        ("rate(trueroute_made_up_total[5m])", 1),
        ("rate(latency[5m])", 1),
        ("sum by (colour) (rate(trueroute_retries_total[5m]))", 1),
        ("responses{status_group=\"6xx\"} or responses{group=\"5xx\"}", 2),
        ("total_routes{instance=\"a\"} > 3 and trueroute_nats_connected == 1", 0),
    ] {
        assert_eq!(wrong(&page, expression).len(), faults, "{expression}: {:?}", wrong(&page, expression));
    }
}

#[test]
fn the_dashboard_asks_for_what_the_router_exports() {
    let (page, dashboard) = (page(), dashboard());
    let expressions = of_the_dashboard(&dashboard);
    assert!(expressions.len() > 40, "{}", expressions.len());
    for (title, expression) in expressions {
        assert_eq!(wrong(&page, &expression), Vec::<String>::new(), "{title}: {expression}");
    }
}

#[test]
fn the_dashboard_can_be_imported_and_read() {
    let dashboard = dashboard();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert_eq!((&variables[0]["type"], &variables[0]["query"]), (&"datasource".into(), &"prometheus".into()));
    assert_eq!(dashboard.get("id"), None, "Grafana gives it one");
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in panels(&dashboard) {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
        assert!(x + w <= 24, "{panel}");
        for place in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(place), "it covers another panel: {panel}");
        }
        if panel["type"] == "row" {
            continue;
        }
        assert!(panel["description"].as_str().unwrap().ends_with('.'), "{panel}");
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{panel}");
        let targets = panel["targets"].as_array().unwrap();
        for asking in targets.iter().chain([panel]) {
            assert_eq!(asking["datasource"]["uid"], "${datasource}", "{panel}");
        }
        let letters: BTreeSet<&str> = targets.iter().map(|target| target["refId"].as_str().unwrap()).collect();
        assert_eq!(letters.len(), targets.len(), "{panel}");
    }
}

#[test]
fn the_rules_ask_for_what_the_router_exports() {
    let (page, rules) = (page(), rules());
    assert!(rules.len() > 10);
    for rule in &rules {
        let expression = rule["expr"].as_str().unwrap();
        assert_eq!(wrong(&page, expression), Vec::<String>::new(), "{rule}");
    }
}

/// The part of a link that leads to a heading, as the usual renderers make it.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|one| one.is_alphanumeric() || *one == ' ' || *one == '-');
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn each_alert_is_explained_and_each_section_belongs_to_one() {
    let operations = read("docs/operations.md");
    let sections: BTreeSet<String> =
        operations.lines().filter_map(|line| line.strip_prefix("## ")).map(anchor).collect();
    let (mut names, mut used) = (BTreeSet::new(), BTreeSet::new());
    for rule in rules() {
        assert!(names.insert(rule["alert"].as_str().unwrap().to_owned()), "twice: {rule}");
        let notes = &rule["annotations"];
        for key in ["summary", "description"] {
            assert!(notes[key].as_str().is_some_and(|text| text.len() > 20), "{key} of {rule}");
        }
        assert!(notes["summary"].as_str().unwrap().contains("$labels.instance"), "which router? {rule}");
        assert!(["warning", "critical"].contains(&rule["labels"]["severity"].as_str().unwrap()), "{rule}");
        let section = notes["runbook"].as_str().unwrap().strip_prefix("docs/operations.md#").unwrap();
        assert!(sections.contains(section), "no section #{section}");
        used.insert(section.to_owned());
    }
    assert_eq!(used, sections);
}

/// Debian's package `prometheus` has it. Without it the tests above must do, and in CI it may not be missing silently.
fn promtool(arguments: &[&str], input: Option<&str>) -> Option<(bool, String)> {
    use std::{io::Write, process::Stdio};
    let started = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut started) = started else {
        println!("no promtool here");
        return None;
    };
    started.stdin.take().unwrap().write_all(input.unwrap_or_default().as_bytes()).unwrap();
    let output = started.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8(said).unwrap()))
}

#[test]
fn promtool_agrees() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/alerts.yml");
    let Some((good, said)) = promtool(&["check", "rules", rules.to_str().unwrap()], None) else { return };
    assert!(good, "{said}");
    let numbered = GOLDEN.replace(" *\n", " 0\n");
    let (_, said) = promtool(&["check", "metrics"], Some(&numbered)).unwrap();
    // Gorouter's names are not what Prometheus recommends, and stay; ours have no such excuse.
    let ours: Vec<&str> = said.lines().filter(|line| !line.ends_with("should have \"_total\" suffix")).collect();
    assert!(ours.is_empty() && !said.contains("trueroute_"), "{said}");
    assert!(said.contains("bad_gateways counter metrics"), "it has looked: {said}");
}

#[test]
fn the_document_lists_every_metric_as_it_is() {
    let document = read("docs/metrics.md");
    let cells =
        |line: &str| -> Vec<String> { line.split(" | ").map(|cell| cell.trim_matches(['|', ' ']).into()).collect() };
    let listed: BTreeSet<Vec<String>> = document.lines().filter(|line| line.starts_with("| `")).map(cells).collect();
    let told: BTreeSet<Vec<String>> = page()
        .families
        .into_iter()
        .map(|(name, family)| {
            let labels = family.series.iter().flat_map(|series| &series.labels).map(|(label, _)| label);
            let labels: BTreeSet<String> =
                labels.filter(|label| *label != "le").map(|label| format!("`{label}`")).collect();
            let labels = labels.into_iter().collect::<Vec<_>>().join(", ");
            let labels = if labels.is_empty() { "-".to_owned() } else { labels };
            vec![format!("`{name}`"), family.kind, labels, family.help]
        })
        .collect();
    let missing: Vec<_> = told.difference(&listed).collect();
    let left_over: Vec<_> = listed.difference(&told).collect();
    assert!(missing.is_empty() && left_over.is_empty(), "missing: {missing:#?}\nleft over: {left_over:#?}");
    // And in the text above the tables nothing is named that is none.
    let text = document.split("\n## Gorouter's metrics").next().unwrap();
    for word in text.split('`').skip(1).step_by(2).filter(|word| word.starts_with("trueroute_")) {
        assert!(page().labels(word).is_some(), "no metric is called {word}");
    }
}
