//! What the router itself says: its routes, its metrics, its log. Nothing here looks inside it.

use std::{fs, net::SocketAddr, path::Path};

use serde_json::Value;
use trueroute_testkit::{Client, client::Request};

use crate::{Failed, ensure};

/// User and password of `/routes`.
pub(crate) const LOGIN: &str = "demo:demo";
/// The same for a header.
const AUTHORIZATION: &str = "Basic ZGVtbzpkZW1v";

/// One endpoint of one route, as `/routes` shows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    pub(crate) host: String,
    pub(crate) address: String,
    pub(crate) instance: String,
}

/// An endpoint that the router removed after a failed attempt, as its log tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prune {
    pub(crate) route: String,
    pub(crate) backend: String,
    pub(crate) instance: String,
    pub(crate) reason: String,
    pub(crate) error: String,
}

/// The whole table, sorted.
pub(crate) async fn routes(port: SocketAddr) -> Result<Vec<Row>, Failed> {
    let table: Value = serde_json::from_str(&page(port, "/routes").await?).map_err(Failed::scene("read /routes"))?;
    let mut rows = Vec::new();
    for (host, endpoints) in table.as_object().into_iter().flatten() {
        for endpoint in endpoints.as_array().into_iter().flatten() {
            let (address, instance) = (text(endpoint, "address"), text(endpoint, "private_instance_id"));
            rows.push(Row { host: host.clone(), address, instance });
        }
    }
    rows.sort();
    Ok(rows)
}

/// The value of one metric, labels included in the name as the page shows it; 0 where the page has none.
pub(crate) async fn metric(port: SocketAddr, name: &str) -> Result<u64, Failed> {
    Ok(value(&page(port, "/metrics").await?, name))
}

/// Whether `/health` says that the router is healthy.
pub(crate) async fn is_healthy(port: SocketAddr) -> bool {
    page(port, "/health").await.is_ok()
}

/// The prunes in a log file, in order.
pub(crate) fn prunes(log: &Path) -> Result<Vec<Prune>, Failed> {
    Ok(lines(log, "prune-failed-endpoint")?.iter().map(Prune::of).collect())
}

/// The `data` of every line of a log file that has this message.
pub(crate) fn lines(log: &Path, message: &str) -> Result<Vec<Value>, Failed> {
    let written = fs::read_to_string(log).map_err(Failed::scene(format!("read {}", log.display())))?;
    let all = written.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(all.filter(|line| line["message"] == message).map(|mut line| line["data"].take()).collect())
}

impl Prune {
    fn of(line: &Value) -> Self {
        Self {
            route: text(line, "route"),
            backend: text(line, "backend"),
            instance: text(line, "instance_id"),
            reason: text(line, "reason"),
            error: text(line, "error"),
        }
    }
}

async fn page(port: SocketAddr, path: &str) -> Result<String, Failed> {
    let asking = || Failed::scene(format!("ask the router for {path} at {port}"));
    let mut client = Client::connect(port).await.map_err(asking())?;
    let request = Request::new("GET", path).host("127.0.0.1").header("Authorization", AUTHORIZATION);
    let response = client.request(request).await.map_err(asking())?;
    ensure(response.status == 200, || format!("the router answers {path} with {}", response.status))?;
    Ok(String::from_utf8_lossy(&response.body).into_owned())
}

fn value(page: &str, name: &str) -> u64 {
    let found = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found.and_then(|number| number.parse().ok()).unwrap_or_default()
}

fn text(json: &Value, key: &str) -> String {
    json[key].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_found_by_its_whole_name() {
        let page = "# HELP n_total x\nn_total{reason=\"a\"} 3\nn_total_more 9\nn_total 5\n";
        for (name, expected) in [("n_total", 5), ("n_total{reason=\"a\"}", 3), ("n_total{reason=\"b\"}", 0), ("n", 0)] {
            assert_eq!(value(page, name), expected, "{name}");
        }
    }

    #[test]
    fn prunes_are_read_from_the_log_and_nothing_else() {
        let dir = trueroute_testkit::Tempdir::new().unwrap();
        let log = dir.path().join("log");
        let line = r#"{"message":"prune-failed-endpoint","data":{"route":"a.demo","backend":"127.0.0.1:1",
            "instance_id":"i","reason":"hostname-mismatch","error":"not i"}}"#;
        fs::write(&log, format!("not json\n{{\"message\":\"other\"}}\n{}\n", line.replace('\n', ""))).unwrap();
        let expected = Prune {
            route: "a.demo".into(),
            backend: "127.0.0.1:1".into(),
            instance: "i".into(),
            reason: "hostname-mismatch".into(),
            error: "not i".into(),
        };
        assert_eq!(prunes(&log).unwrap(), [expected]);
    }
}
