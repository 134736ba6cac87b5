//! The page for Prometheus, read as Prometheus reads it.

use std::{
    collections::BTreeSet,
    io::Write,
    process::{Command, Stdio},
};

use super::admin::{Scene, with_stats};

/// Reads a page as Prometheus does: names, labels and values by its grammar, and no series twice.
fn exposition(page: &str) {
    let mut seen = BTreeSet::new();
    let is_name = |name: &str| {
        !name.starts_with(|c: char| c.is_ascii_digit())
            && !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
    };
    assert!(page.ends_with('\n'));
    for line in page.lines().filter(|line| !line.starts_with("# TYPE ")) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.strip_suffix('}').and_then(|series| series.split_once('{')).unwrap();
        assert!(is_name(name) && value.parse::<f64>().is_ok(), "{line}");
        if !labels.is_empty() {
            let (label, quoted) = labels.split_once('=').unwrap();
            let text = quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap();
            let plain = text.replace("\\\\", "").replace("\\\"", "").replace("\\n", "");
            assert!(is_name(label) && !plain.contains(['"', '\\']), "{line}");
        }
        assert!(seen.insert(series), "{series} stands there twice");
    }
    assert!(seen.len() > 30, "{page}");
}

/// Prometheus' own tool, where it is installed, reads the page. It would have other names, but they are Envoy's.
fn promtool(page: &str) {
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let Ok(mut tool) = command.spawn() else { return };
    tool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = tool.wait_with_output().unwrap();
    let complaints = String::from_utf8(output.stderr).unwrap();
    let of_taste = ["no help text", "counter metrics should have \"_total\" suffix", "instead of \"days\""];
    let others = complaints.lines().filter(|line| !of_taste.iter().any(|end| line.ends_with(end)));
    assert_eq!(others.collect::<Vec<_>>(), [""; 0]);
}

#[tokio::test]
async fn the_page_for_prometheus_names_each_family_once() {
    // As documents for Envoy often have it: all listeners count under one name, here one that needs care.
    let scene = Scene::with(|mut settings| {
        settings.listeners.iter_mut().for_each(|listener| listener.stat_prefix = "in\"gress\\".to_owned());
        with_stats(settings)
    })
    .await;
    let _router = scene.request().await;
    let page = scene.curl("/stats/prometheus").await;
    exposition(&page);
    promtool(&page);
    let mut families = BTreeSet::new();
    let mut last = String::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (family, kind) = rest.split_once(' ').unwrap();
            assert!(matches!(kind, "counter" | "gauge"), "{line}");
            assert!(families.insert(family.to_owned()), "{family} stands there twice");
            family.clone_into(&mut last);
        } else {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert_eq!(name.split('{').next().unwrap(), last, "{line}");
            assert!(value.parse::<u64>().is_ok(), "{line}");
        }
    }
    let app = scene.app.port();
    let expected = format!("envoy_cluster_upstream_cx_active{{envoy_cluster_name=\"service-cluster-{app}\"}} 1");
    assert!(page.lines().any(|line| line == expected), "{page}");
    assert!(scene.curl("/stats?format=prometheus").await.contains(&expected));
}
