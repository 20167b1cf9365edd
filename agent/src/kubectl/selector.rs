//! Selectors of labels.

use serde_json::Value;

/// A selector as kubectl takes it (k8s.io/apimachinery, `LabelSelector`).
pub fn selector(of: &Value) -> String {
    let labels = of["matchLabels"].as_object().into_iter().flatten();
    let labels = labels.map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()));
    let expressions = of["matchExpressions"].as_array().into_iter().flatten().map(expression);
    labels.chain(expressions).collect::<Vec<_>>().join(",")
}

fn expression(one: &Value) -> String {
    let values = one["values"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let (key, values) = (one["key"].as_str().unwrap_or_default(), values.collect::<Vec<_>>().join(","));
    match one["operator"].as_str().unwrap_or_default() {
        "In" => format!("{key} in ({values})"),
        "NotIn" => format!("{key} notin ({values})"),
        "DoesNotExist" => format!("!{key}"),
        _ => key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_selector_is_told_in_kubectls_words() {
        let of = json!({
            "matchLabels": {"app": "x"},
            "matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "b"]}, {"key": "old", "operator": "DoesNotExist"}],
        });
        assert_eq!(selector(&of), "app=x,tier in (a,b),!old");
    }
}
