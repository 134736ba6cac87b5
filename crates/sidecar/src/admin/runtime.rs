//! `/runtime`: what the static layers of the bootstrap say. Nothing here goes by it; it is shown because Envoy shows it.

use serde_json::{Map, Value, json};

use super::{
    house::House,
    http::{Answer, Request},
};

/// The page.
pub(super) fn page(house: &House, _: &Request) -> Answer {
    let documents = house.subject.documents.as_ref();
    // Written by ourselves, so it can be read.
    let bootstrap = documents.map(|documents| serde_json::from_str(&documents.bootstrap).unwrap_or_default());
    Answer::json(&of(&bootstrap.unwrap_or(Value::Null)))
}

fn of(bootstrap: &Value) -> Value {
    let layers = bootstrap.pointer("/layered_runtime/layers").and_then(Value::as_array);
    let layers = layers.map(Vec::as_slice).unwrap_or_default();
    let mut entries: Map<String, Value> = Map::new();
    for (position, layer) in layers.iter().enumerate() {
        let mut found = Vec::new();
        flatten("", &layer["static_layer"], &mut found);
        for (key, value) in found {
            let unset = || json!({"layer_values": vec![""; layers.len()], "final_value": ""});
            let entry = entries.entry(key).or_insert_with(unset);
            entry["layer_values"][position] = value.clone().into();
            entry["final_value"] = value.into();
        }
    }
    let names: Vec<&Value> = layers.iter().map(|layer| &layer["name"]).collect();
    json!({"layers": names, "entries": entries})
}

/// Keys within keys are joined by dots, as Envoy has it.
fn flatten(above: &str, value: &Value, into: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let key = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
                flatten(&key, value, into);
            }
        }
        Value::Null => {}
        Value::String(text) => into.push((above.to_owned(), text.clone())),
        value => into.push((above.to_owned(), value.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_layer_that_has_a_value_wins() {
        let layers = json!([{"name": "a", "static_layer": {"x": false, "y": {"z": 1}}},
                            {"name": "b", "static_layer": {"x": "two"}}]);
        assert_eq!(
            of(&json!({"layered_runtime": {"layers": layers}})),
            json!({"layers": ["a", "b"], "entries": {
                "x": {"layer_values": ["false", "two"], "final_value": "two"},
                "y.z": {"layer_values": ["1", ""], "final_value": "1"}}})
        );
        assert_eq!(of(&Value::Null), json!({"layers": [], "entries": {}}));
    }
}
