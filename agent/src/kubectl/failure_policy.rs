//! What a Job makes of a pod that leaves a checkpoint and ends, by its `podFailurePolicy`.

use serde_json::Value;

use crate::base::exit_codes;

/// As what it counts that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// As nothing.
    Nothing,
    /// As one failure.
    Failure,
    /// As the end of all of it, or of the pod's index.
    End,
}

/// The first rule that holds for the exit code of this container counts (k8s.io/api/batch/v1, `PodFailurePolicy`). A pod that is deleted, and not
/// evicted, has no condition for which another rule would hold.
pub fn counts(policy: &Value, container: &str) -> Counted {
    let mut rules = policy["rules"].as_array().into_iter().flatten();
    let rule = rules.find(|rule| holds(&rule["onExitCodes"], container));
    match rule.and_then(|rule| rule["action"].as_str()) {
        Some("Ignore") => Counted::Nothing,
        Some("FailJob" | "FailIndex") => Counted::End,
        _ => Counted::Failure,
    }
}

fn holds(on: &Value, container: &str) -> bool {
    let of = on["containerName"].as_str();
    let mut codes = on["values"].as_array().into_iter().flatten();
    let is_named = codes.any(|code| code.as_i64() == Some(i64::from(exit_codes::CHECKPOINTED)));
    let holds = match on["operator"].as_str() {
        Some("In") => is_named,
        Some("NotIn") => !is_named,
        _ => false,
    };
    holds && of.is_none_or(|name| name == container)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_rule_that_holds_for_a_checkpoint_counts() {
        let rule = |action: &str, on: Value| json!({"action": action, "onExitCodes": on});
        let codes = |operator: &str, code: i32| json!({"containerName": "app", "operator": operator, "values": [code]});
        let of = |rules: &[Value]| counts(&json!({"rules": rules}), "app");
        let ignored = rule("Ignore", codes("In", 143));
        assert_eq!(of(std::slice::from_ref(&ignored)), Counted::Nothing);
        assert_eq!(of(&[rule("FailJob", codes("NotIn", 42)), ignored.clone()]), Counted::End);
        assert_eq!(of(&[rule("FailJob", codes("NotIn", 143)), ignored.clone()]), Counted::Nothing);
        assert_eq!(counts(&json!({"rules": [ignored]}), "other"), Counted::Failure);
    }

    #[test]
    fn a_policy_that_says_nothing_of_exit_codes_ignores_none() {
        let disrupted = json!({"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]});
        assert_eq!(counts(&json!({"rules": [disrupted]}), "app"), Counted::Failure);
        assert_eq!(
            counts(
                &json!({"rules": [{"action": "Ignore", "onExitCodes": {"operator": "In", "values": [75]}}]}),
                "app"
            ),
            Counted::Failure
        );
        assert_eq!(counts(&Value::Null, "app"), Counted::Failure);
    }
}
