//! YAML text into a tree, with limits.

use serde_json::Value;

use super::fields::is_default_word;

/// More than any document of a container: trusted authorities alone are limited to 512 KiB by the platform.
const MOST: usize = 4 * 1024 * 1024;

/// Reads a YAML document; JSON is YAML. An empty text is an empty document.
///
/// # Errors
/// What is wrong and where, on one line.
pub(crate) fn parse(text: &str) -> Result<Value, String> {
    if text.len() > MOST {
        return Err(format!("longer than {MOST} bytes"));
    }
    if text.trim().is_empty() {
        return Ok(Value::Null);
    }
    // `y`, `no` and `on` are names like any other, as the executor's writer has it.
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let told = error.to_string();
        let first = told.lines().next().unwrap_or_default();
        first.split_whitespace().collect::<Vec<_>>().join(" ")
    })
}

/// Keys whose values are proto wrappers, which tell a false or a 0 from nothing: where one is written, it was set.
const WRAPPERS: [&str; 11] = [
    "bind_to_port",
    "enable_reuse_port",
    "max_connect_attempts",
    "max_connections",
    "max_pending_requests",
    "max_requests",
    "max_retries",
    "per_connection_buffer_limit_bytes",
    "require_client_certificate",
    "require_sni",
    "use_original_dst",
];

/// Takes out what is as good as absent, so that the tree is as small as Envoy shows it.
pub(crate) fn strip(value: &mut Value) {
    match value {
        Value::Object(map) => {
            // A layer of the runtime is any tree, in which nothing has a default.
            map.iter_mut().filter(|(key, _)| *key != "static_layer").for_each(|(_, value)| strip(value));
            map.retain(|key, value| {
                let is_set = WRAPPERS.contains(&key.as_str()) && (value.is_boolean() || value.is_number());
                is_set || (!is_bare(value) && !is_default_word(key, value))
            });
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

fn is_bare(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Number(number) => number.as_u64() == Some(0),
        Value::Bool(true) => false,
    }
}

/// Puts `[redacted]` in the place of whatever is or could be secret: private keys, passwords, and their like.
pub(crate) fn redact(value: &mut Value) {
    const SECRET: [&str; 5] = ["private_key", "password", "session_ticket_keys", "generic_secret", "pkcs12"];
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if SECRET.contains(&key.as_str()) { black_out(value) } else { redact(value) }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        _ => {}
    }
}

fn black_out(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match (key.as_str(), &value) {
                    // Where a key lies is no secret.
                    ("filename" | "environment_variable", Value::String(_)) => {}
                    // Base64 of the same word, as Envoy shows it.
                    ("inline_bytes", Value::String(_)) => *value = "W3JlZGFjdGVkXQ==".into(),
                    _ => black_out(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(black_out),
        Value::Null => {}
        value => *value = "[redacted]".into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_and_json_make_the_same_tree() {
        let yaml = "a: 0.25s\ny: no\nb: [1, '2', 4294967295]\nc: null\nd: |\n  two\n  lines\n'@type': x\n";
        let json = r#"{"a":"0.25s","y":"no","b":[1,"2",4294967295],"c":null,"d":"two\nlines\n","@type":"x"}"#;
        assert_eq!(parse(yaml).unwrap(), parse(json).unwrap());
        assert_eq!(parse(" \n").unwrap(), Value::Null);
    }

    #[test]
    fn what_is_no_yaml_is_told_on_one_line() {
        for text in ["a: [", "a: b: c", "a: 1\na: 2"] {
            let error = parse(text).expect_err(text);
            assert!(!error.is_empty() && !error.contains('\n'), "{error:?}");
        }
        assert!(parse(&" ".repeat(MOST + 1)).is_err());
    }

    #[test]
    fn keys_are_blacked_out_wherever_they_stand() {
        let mut value = json!({"x": [{"private_key": {"inline_string": "K", "filename": "/k", "inline_bytes": "Sw=="}}],
                               "password": "K", "certificate_chain": {"inline_string": "C"}, "pkcs12": {"a": ["K", 7]}});
        redact(&mut value);
        assert_eq!(
            value,
            json!({"x": [{"private_key": {"inline_string": "[redacted]", "filename": "/k", "inline_bytes": "W3JlZGFjdGVkXQ=="}}],
                   "password": "[redacted]", "certificate_chain": {"inline_string": "C"},
                   "pkcs12": {"a": ["[redacted]", "[redacted]"]}})
        );
    }

    #[test]
    fn what_was_set_to_false_stays() {
        let text = r#"{"a": {"require_client_certificate": false, "max_connections": 0, "require_sni": null},
                       "layers": [{"static_layer": {"x": false, "y": {"z": 0}}, "disk_layer": {}}]}"#;
        let mut value = parse(text).unwrap();
        strip(&mut value);
        assert_eq!(
            value,
            json!({"a": {"require_client_certificate": false, "max_connections": 0},
                   "layers": [{"static_layer": {"x": false, "y": {"z": 0}}}]})
        );
    }

    #[test]
    fn defaults_are_left_out() {
        let mut value = json!({"a": 0, "b": "", "c": {"d": {"e": null}}, "f": [{}], "lb_policy": "ROUND_ROBIN", "g": false, "h": true, "i": 1});
        strip(&mut value);
        assert_eq!(value, json!({"f": [{}], "h": true, "i": 1}));
    }
}
