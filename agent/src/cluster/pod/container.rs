//! Which container of a pod runs under crik, as the pod's object tells.

use std::ffi::OsStr;
use std::path::Path;

use serde_json::Value;
use thiserror::Error;

/// The annotation that names the container for the controller, which puts it under crik (docs: README, "One label").
const CONTAINER: &str = "crik.dev/container";

/// Why nobody knows which one it is.
#[derive(Debug, Error)]
#[error("the pod has the containers {0}; give --container with the one that runs under crik")]
pub struct UnknownContainer(String);

/// The container of `pod` that runs under crik: the one of this name, or of the name that the pod's annotation has; else the only one, or
/// the only one whose command is crik's.
///
/// # Errors
/// There is no such one, or nobody can tell.
pub fn under_crik<'a>(pod: &'a Value, name: Option<&str>) -> Result<&'a Value, UnknownContainer> {
    let all = || pod["spec"]["containers"].as_array().into_iter().flatten();
    let name = name.or_else(|| pod["metadata"]["annotations"][CONTAINER].as_str());
    let fits: Vec<&Value> = all().filter(|one| name.is_none_or(|name| one["name"] == name)).collect();
    let under: Vec<&Value> = fits.iter().copied().filter(|one| crik_of(one).is_some()).collect();
    match (fits.as_slice(), under.as_slice()) {
        ([one], _) | (_, [one]) => Ok(one),
        _ => {
            let names = all().filter_map(|one| one["name"].as_str());
            Err(UnknownContainer(names.collect::<Vec<_>>().join(", ")))
        }
    }
}

/// Crik as the container starts it, if its command says so; its image may.
pub fn crik_of(container: &Value) -> Option<&str> {
    let words = [&container["command"][0], &container["args"][0]];
    let mut words = words.into_iter().filter_map(Value::as_str);
    words.find(|word| Path::new(word).file_name() == Some(OsStr::new("crik")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn name<'a>(pod: &'a Value, name: Option<&str>) -> Option<&'a str> {
        under_crik(pod, name).ok().and_then(|one| one["name"].as_str())
    }

    #[test]
    fn a_name_counts_more_than_the_annotation_and_that_more_than_the_command() {
        let mut pod = json!({"spec": {"containers": [
            {"name": "proxy"}, {"name": "app", "args": ["/usr/local/lib/crik/bin/crik", "run"]}, {"name": "log"},
        ]}});
        assert_eq!(name(&pod, None), Some("app"));
        pod["metadata"]["annotations"][CONTAINER] = json!("log");
        assert_eq!(name(&pod, None), Some("log"));
        assert_eq!(name(&pod, Some("proxy")), Some("proxy"));
        assert_eq!(name(&pod, Some("other")), None);
    }
}
