use super::*;

fn parse(line: &str) -> Result<CommandLine, CommandLineError> {
    CommandLine::parse(line.split_whitespace().map(OsString::from))
}

#[test]
fn the_command_line_of_every_executor_is_read() {
    for line in [
        "-c /e.yaml --drain-time-s 900 --log-level critical",
        "--config-path /e.yaml --drain-time-s=900 -l critical",
        "-c /e.yaml --service-cluster proxy-cluster --service-node sidecar~10.0.0.1~guid~x --drain-time-s 900 --log-level critical --v2-config-only",
        "-c /e.yaml --id-creds a --c2c-creds b --id-validation c --drain-time-s 900 --log-level critical",
    ] {
        let read = parse(line).unwrap();
        assert_eq!(read.config.as_deref(), Some("/e.yaml".as_ref()), "{line}");
        assert_eq!(
            (read.drain_time, Some(read.log_level)),
            (Duration::from_secs(900), LogLevel::named("critical")),
            "{line}"
        );
        assert_eq!(read.task, Task::Serve);
    }
    let read = parse("-c e --service-cluster proxy-cluster --service-node me").unwrap();
    assert_eq!((read.cluster.as_deref(), read.node.as_deref()), (Some("proxy-cluster"), Some("me")));
}

#[test]
fn other_flags_are_passed_over_with_one_warning_whatever_follows_them() {
    let read = parse(
        "--concurrency 2 --disable-hot-restart --base-id 78 --from-the-future --and=more -c e.yaml --new value --log-format [%T] --mode validate",
    )
    .unwrap();
    assert_eq!((read.config.as_deref(), read.task), (Some("e.yaml".as_ref()), Task::Validate));
    let warning = read.warning().unwrap();
    for flag in
        ["--concurrency", "--disable-hot-restart", "--base-id", "--from-the-future", "--and", "--new", "--log-format"]
    {
        assert!(warning.contains(flag), "{warning}");
    }
    assert_eq!(parse("-c e").unwrap().warning(), None);
}

#[test]
fn no_flag_that_is_passed_over_swallows_another() {
    for flag in [
        "--skip-hot-restart-on-no-parent",
        "--skip-hot-restart-parent-stats",
        "--hot-restart-version",
        "--log-stacktrace-single-entry",
        "--use-dynamic-base-id",
        "--base-id",
        "--base-id 7",
        "--base-id=7",
        "--use-libevent-buffers 1",
        "--from-the-future",
    ] {
        for line in [format!("{flag} -c e.yaml"), format!("{flag} --config-path=e.yaml")] {
            let read = parse(&line).unwrap();
            assert_eq!(read.config.as_deref(), Some("e.yaml".as_ref()), "{line}");
            assert_eq!(read.passed_over, [flag.split([' ', '=']).next().unwrap()], "{line}");
        }
    }
}

#[test]
fn what_can_not_be_followed_is_named() {
    for (line, expected) in [
        ("-c", "-c needs a value"),
        ("-c e --drain-time-s soon", "--drain-time-s soon: expected a number"),
        ("-c e --log-level loud", "--log-level loud: expected trace"),
        ("-c e --mode strict", "--mode strict: expected serve or validate"),
        ("--config-yaml {}", "--config-yaml is not supported"),
        ("-c e --on-refused maybe", "--on-refused maybe"),
        ("-c e --max-handshakes 0", "--max-handshakes 0"),
    ] {
        let error = parse(line).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{line}: {error}");
    }
    let nothing = parse("").unwrap().settings().unwrap_err();
    assert!(nothing.to_string().contains("-c is missing"), "{nothing}");
}

#[test]
fn what_envoy_does_not_have_can_be_set_beside_it() {
    let own = parse(
        "-c e --on-refused alert --admin-read-only --keep-stats --max-handshakes 9 --max-connections 8 --handshake-timeout-s 7",
    );
    let expected = Own {
        on_refused: OnRefused::Alert,
        admin_read_only: true,
        keep_stats: true,
        max_handshakes: Some(9),
        max_connections: Some(8),
        handshake_timeout: Some(Duration::from_secs(7)),
    };
    assert_eq!(own.unwrap().own, expected);
}

#[test]
fn the_name_or_a_configuration_file_makes_it_envoy() {
    for (line, meant) in [
        ("/etc/cf-assets/envoy/envoy --version", true),
        ("C:/envoy.exe --version", true),
        ("trueroute-sidecar -c e.yaml", true),
        ("trueroute-sidecar --config-path=e.yaml", true),
        ("trueroute-sidecar --listen 0.0.0.0:1", false),
        ("trueroute-sidecar --client-ca c", false),
    ] {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        assert_eq!(is_meant(&words), meant, "{line}");
    }
}
