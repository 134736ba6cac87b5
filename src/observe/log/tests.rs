use std::sync::{Arc, Mutex};
use std::time::UNIX_EPOCH;

use tracing_subscriber::layer::SubscriberExt;

use super::*;

/// Keeps the lines of events as they were logged at one fixed moment.
struct Fixed {
    lines: Lines,
    written: Arc<Mutex<String>>,
}

const AT: Duration = Duration::from_nanos(1_732_100_000_250_000_001);

impl<S: Subscriber> Layer<S> for Fixed {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut buffers = line::Buffers::default();
        let line = self.lines.event(event, UNIX_EPOCH + AT, &mut buffers);
        self.written.lock().unwrap().push_str(std::str::from_utf8(line).unwrap());
    }
}

fn logged(source: &str, timestamps: Timestamps, log: impl FnOnce()) -> String {
    let written = Arc::<Mutex<String>>::default();
    let layer = Fixed { lines: Lines::new(source.into(), timestamps), written: Arc::clone(&written) };
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
    std::mem::take(&mut *written.lock().unwrap())
}

fn member(log: impl FnOnce()) -> String {
    let line = logged("s", Timestamps::UnixEpoch, log);
    let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert!(line.ends_with("}\n") && line.matches('\n').count() == 1, "{line}");
    assert_eq!(parsed["message"], "m");
    line.split_once("\"source\":\"s\"").unwrap().1.trim_end().strip_suffix('}').unwrap().to_owned()
}

#[test]
fn a_line_with_seconds_since_the_epoch() {
    let line = logged(DEFAULT_SOURCE, Timestamps::UnixEpoch, || {
        tracing::info!(target: "nats", host = "localhost:4222", addr = "10.0.0.1:4222", "Successfully-connected-to-nats");
    });
    assert_eq!(
        line,
        concat!(
            r#"{"log_level":1,"timestamp":1732100000.25,"message":"Successfully-connected-to-nats","#,
            r#""source":"gorouter.stdout.nats","data":{"host":"localhost:4222","addr":"10.0.0.1:4222"}}"#,
            "\n"
        )
    );
}

#[test]
fn a_line_with_the_local_wall_clock() {
    let line = logged("router-1", Timestamps::Rfc3339, || tracing::warn!(target: "registry", "pruned-route"));
    let local = chrono::DateTime::<chrono::Local>::from(UNIX_EPOCH + AT).format("%Y-%m-%dT%H:%M:%S");
    assert_eq!(
        line,
        format!(
            "{{\"log_level\":2,\"timestamp\":\"{local}.250000001Z\",\"message\":\"pruned-route\",\"source\":\"router-1.registry\"}}\n"
        )
    );
}

#[test]
fn the_line_before_any_log_has_no_source() {
    assert_eq!(
        startup_failure("Error loading config:", "yaml: \"x\"\nline 2", UNIX_EPOCH + AT),
        r#"{"log_level":3,"timestamp":1732100000.25,"message":"Error loading config:","data":{"error":"yaml: \"x\"\nline 2"}}"#
    );
}

#[test]
fn levels_are_numbers() {
    let lines = logged("s", Timestamps::UnixEpoch, || {
        tracing::error!("m");
        tracing::warn!("m");
        tracing::info!("m");
        tracing::debug!("m");
    });
    let numbers: Vec<_> = lines.lines().map(|line| &line[..14]).collect();
    assert_eq!(numbers, [r#"{"log_level":3"#, r#"{"log_level":2"#, r#"{"log_level":1"#, r#"{"log_level":0"#]);
}

#[test]
fn the_target_tells_the_source() {
    for &target in SOURCES {
        assert_eq!(Origin::of(target), Origin::Named(target));
    }
    assert_eq!(Origin::of("trueroute::bus"), Origin::Ours);
    assert_eq!(Origin::of("trueroute_identity::name"), Origin::Ours);
    assert_eq!(Origin::of("async_nats"), Origin::Foreign);
    let line = logged("s", Timestamps::UnixEpoch, || tracing::warn!(target: "async_nats::connector", "slow"));
    assert!(line.ends_with("\"source\":\"s\",\"data\":{\"target\":\"async_nats::connector\"}}\n"), "{line}");
    let line = logged("s", Timestamps::UnixEpoch, || tracing::warn!("own module"));
    assert!(line.ends_with("\"source\":\"s\"}\n"), "{line}");
}

#[test]
fn fields_keep_their_types() {
    assert_eq!(member(|| tracing::info!("m")), "");
    assert_eq!(
        member(|| tracing::info!(int = -1, big = u64::MAX, float = 0.5, nan = f64::NAN, yes = true, "m")),
        r#","data":{"int":-1,"big":18446744073709551615,"float":0.5,"nan":null,"yes":true}"#
    );
    assert_eq!(
        member(|| tracing::info!(shown = %"a b", debugged = ?"a b", list = ?[1], "m")),
        r#","data":{"shown":"a b","debugged":"\"a b\"","list":"[1]"}"#
    );
    assert_eq!(
        member(|| tracing::info!("trace-id" = "1", r#type = "t", "m")),
        r#","data":{"trace-id":"1","type":"t"}"#
    );
    assert_eq!(member(|| tracing::info!(absent = None::<u64>, "m")), "");
}

#[test]
fn data_of_raw_json_is_merged() {
    let nested = serde_json::json!({ "address": { "IP": "::", "Port": 80 } });
    for (text, expected) in [
        (nested.to_string(), r#","data":{"a":1,"address":{"IP":"::","Port":80},"b":2}"#),
        ("{}".into(), r#","data":{"a":1,"b":2}"#),
        (" {\n \"x\": [\n1]\r\n} ".into(), "\",\"data\":{\"a\":1,  \"x\": [ 1]  ,\"b\":2}\""),
        ("not json".into(), r#","data":{"a":1,"data":"not json","b":2}"#),
        ("{\"x\":1},{".into(), r#","data":{"a":1,"data":"{\"x\":1},{","b":2}"#),
        ("[1]".into(), r#","data":{"a":1,"data":"[1]","b":2}"#),
    ] {
        let expected = expected.trim_matches('"');
        assert_eq!(member(|| tracing::info!(a = 1, data = text.as_str(), b = 2, "m")).trim_matches('"'), expected);
        assert_eq!(member(|| tracing::info!(a = 1, data = %text, b = 2, "m")).trim_matches('"'), expected);
    }
    assert_eq!(member(|| tracing::info!(data = %Json(&nested), "m")), r#","data":{"address":{"IP":"::","Port":80}}"#);
}

#[test]
fn an_error_tells_its_causes_once() {
    #[derive(Debug, Error)]
    #[error("table is closed")]
    struct Cause;
    #[derive(Debug, Error)]
    #[error("not registered")]
    struct Silent(#[source] Cause);
    #[derive(Debug, Error)]
    #[error("message 7: {0}")]
    struct Telling(#[source] Silent);
    let error = Telling(Silent(Cause));
    assert_eq!(
        member(|| tracing::error!(error = &error as &(dyn std::error::Error + 'static), "m")),
        r#","data":{"error":"message 7: not registered: table is closed"}"#
    );
}

#[test]
fn control_characters_are_escaped() {
    assert_eq!(
        member(|| tracing::info!(text = "\u{1b}[2J\u{9b}\u{7f}\0\u{8}\u{c}/é", "m")),
        r#","data":{"text":"\u001b[2J\u009b\u007f\u0000\u0008\u000c/é"}"#
    );
}

proptest::proptest! {
    #[test]
    fn values_from_the_wire_never_break_a_line(value: String, name: String) {
        let line = logged("s\"", Timestamps::Rfc3339, || {
            tracing::info!(value = value.as_str(), shown = %name, data = %Json(&[(&name, &value)]), "{value}");
        });
        proptest::prop_assert!(line.ends_with('\n') && !line[..line.len() - 1].contains(char::is_control), "{}", line);
        let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
        proptest::prop_assert_eq!(parsed["message"].as_str(), Some(value.as_str()));
        proptest::prop_assert_eq!(parsed["data"]["value"].as_str(), Some(value.as_str()));
        proptest::prop_assert_eq!(parsed["data"]["shown"].as_str(), Some(name.as_str()));
    }
}

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn messages(settings: Settings, log: impl FnOnce()) -> Vec<String> {
    let memory = Memory::default();
    let (layer, guard) = layer(settings, memory.clone()).unwrap();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
    drop(guard);
    let written = String::from_utf8(std::mem::take(&mut *memory.0.lock().unwrap())).unwrap();
    let parsed = written.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    parsed.map(|line| line["message"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_level_decides_what_is_written() {
    let all = || {
        tracing::trace!("trace");
        tracing::debug!("debug");
        tracing::info!(target: "router", "info");
        tracing::warn!("warn");
        tracing::error!("error");
    };
    for (level, expected) in [
        (LevelFilter::DEBUG, &["debug", "info", "warn", "error"][..]),
        (LevelFilter::INFO, &["info", "warn", "error"]),
        (LevelFilter::WARN, &["warn", "error"]),
        (LevelFilter::ERROR, &["error"]),
        (LevelFilter::TRACE, &["debug", "info", "warn", "error"]),
        (LevelFilter::OFF, &[]),
    ] {
        assert_eq!(messages(Settings { level, ..Settings::default() }, all), expected, "{level}");
    }
}

#[test]
fn libraries_are_heard_from_warnings_up() {
    let heard = messages(Settings::default(), || {
        tracing::debug!(target: "hyper", "debug");
        tracing::info!(target: "async_nats", "info");
        tracing::warn!(target: "async_nats", "warn");
        tracing::error!(target: "hyper", "error");
        let _span = tracing::info_span!("spans are ignored").entered();
        tracing::info!("own");
    });
    assert_eq!(heard, ["warn", "error", "own"]);
}

#[test]
fn lines_of_a_flood_are_whole_and_the_rest_is_counted() {
    let memory = Memory::default();
    let (layer, guard) = layer(Settings::default(), memory.clone()).unwrap();
    let dropped = guard.dropped();
    let long = "x".repeat(QUEUE);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        tracing::info!(long = long.as_str(), "too long for the queue");
        for at in 0..1000 {
            tracing::info!(at, "line");
        }
    });
    assert!(guard.flush(Duration::from_secs(10)));
    drop(guard);
    assert_eq!(dropped.lines(), 1);
    let written = String::from_utf8(memory.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<serde_json::Value> = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().filter(|line| line["message"] == "line").count(), 1000);
    let report = lines.iter().find(|line| line["message"] == "log-lines-dropped").unwrap();
    assert_eq!((&report["data"]["lines"], &report["log_level"]), (&1.into(), &2.into()));
}
