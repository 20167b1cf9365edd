//! How much of its grace period a pod has used, which is not told by the object alone. Pure.

use k8s_openapi::jiff::Timestamp;

use super::pod::{Container, Pod};

/// How many seconds ago the pod's end began, if it has a container with a preStop hook: the kubelet counts the hook's time in before it
/// sends a SIGTERM (pkg/kubelet/kuberuntime, `killContainer`). Without a hook a SIGTERM comes at once, or so late that the kubelet
/// has begun to count late, as where it was away for a while.
pub fn used_seconds(pod: &Pod, now: Timestamp) -> Option<u64> {
    let meta = &pod.metadata;
    let until: Timestamp = meta.deletion_timestamp.as_ref()?.parse().ok()?;
    let grace = meta.deletion_grace_period_seconds.and_then(|grace| i64::try_from(grace).ok())?;
    let containers = pod.spec.iter().flat_map(|spec| [&spec.containers, &spec.init_containers]).flatten();
    let hooked = containers.flatten().any(Container::has_hook);
    let ago = now.as_second().saturating_sub(until.as_second().saturating_sub(grace));
    hooked.then(|| u64::try_from(ago).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn used(spec: &Value, metadata: &Value, now: &str) -> Option<u64> {
        let pod = serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap();
        used_seconds(&pod, now.parse().unwrap())
    }

    fn hooked() -> Value {
        json!({"containers": [{"name": "sidecar"},
                              {"name": "app", "lifecycle": {"preStop": {"exec": {"command": ["sleep", "5"]}}}}]})
    }

    fn deleted() -> Value {
        json!({"deletionTimestamp": "2026-11-25T10:00:30Z", "deletionGracePeriodSeconds": 30})
    }

    #[test]
    fn a_hook_uses_the_time_since_the_deletion() {
        assert_eq!(used(&hooked(), &deleted(), "2026-11-25T10:00:05Z"), Some(5));
        assert_eq!(used(&hooked(), &deleted(), "2026-11-25T10:00:00Z"), Some(0));
        // Whole seconds, so the answer may seem to come first.
        assert_eq!(used(&hooked(), &deleted(), "2026-11-25T09:59:59Z"), Some(0));
        let sidecar = json!({"containers": [], "initContainers": [{"lifecycle": {"preStop": {"sleep": {"seconds": 5}}}}]});
        assert_eq!(used(&sidecar, &deleted(), "2026-11-25T10:00:07Z"), Some(7));
    }

    #[test]
    fn nothing_is_used_without_a_hook_or_a_deletion() {
        let later = "2026-11-25T10:00:05Z";
        for spec in [
            json!(null),
            json!({"containers": null}),
            json!({"containers": [{"lifecycle": null}]}),
            json!({"containers": [{"lifecycle": {"preStop": null, "postStart": {"exec": {}}}}]}),
        ] {
            assert_eq!(used(&spec, &deleted(), later), None, "{spec}");
        }
        for metadata in [json!({}), json!({"deletionTimestamp": "soon", "deletionGracePeriodSeconds": 30})] {
            assert_eq!(used(&hooked(), &metadata, later), None, "{metadata}");
        }
    }
}
