//! The rules, each by what it promises whoever labels a pod.

use crik_api::report::OWN_ANNOTATIONS;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use std::sync::Arc;

use super::{Claim, Entrypoint, Facts, Injected, Labels, Settings, inject};
use crate::registry::Image;

fn settings() -> Settings {
    let defaults = json!({"nodeStateServerURL": "http://crik-controller.crik:9376"});
    let settings = json!({"agentImage": "crik-agent:1", "volumeClaim": "checkpoints", "defaults": defaults});
    serde_json::from_value(settings).unwrap()
}

/// A pod of a StatefulSet, as the API server hands it over, with these changes (RFC 7396).
fn pod(change: &Value) -> Pod {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "job-0", "labels": {"crik.dev/inject": "true"}},
        "spec": {
            "terminationGracePeriodSeconds": 30,
            "containers": [{"name": "app", "image": "python:3", "command": ["python3"], "args": ["job.py"]}],
        },
    });
    json_patch::merge(&mut pod, change);
    serde_json::from_value(pod).unwrap()
}

fn container(change: &Value) -> Pod {
    let mut container =
        json!({"name": "app", "image": "python:3", "command": ["python3"], "args": ["job.py"]});
    json_patch::merge(&mut container, change);
    pod(&json!({"spec": {"containers": [container]}}))
}

fn annotated(annotations: &Value) -> Pod {
    pod(&json!({"metadata": {"annotations": annotations}}))
}

fn injected(pod: &Pod) -> Injected {
    inject(pod, &Facts::default(), &settings())
}

fn value(of: &Injected) -> Value {
    serde_json::to_value(&of.pod).unwrap()
}

/// The configuration of the container at `at`.
fn configuration(of: &Injected, at: usize) -> Value {
    let pod = value(of);
    let variables = pod["spec"]["containers"][at]["env"].as_array().unwrap().clone();
    let text = variables.iter().find(|one| one["name"] == "CRIK_CONFIG").unwrap()["value"].clone();
    serde_yaml::from_str(text.as_str().unwrap()).unwrap()
}

/// What is said of a pod that stays as it is.
fn left(pod: &Pod, facts: &Facts, settings: &Settings) -> String {
    let injected = inject(pod, facts, settings);
    assert_eq!(injected.pod, *pod);
    assert_eq!(injected.warnings.len(), 1, "{:?}", injected.warnings);
    injected.warnings[0].clone()
}

/// A namespace that enforces a level.
fn enforcing(level: &str) -> Facts {
    let labels = Labels::from([("pod-security.kubernetes.io/enforce".to_owned(), level.to_owned())]);
    Facts { namespace: Arc::new(labels), ..Facts::default() }
}

/// That the image starts this.
fn starting(entrypoint: &[&str], cmd: &[&str]) -> Facts {
    let words = |all: &[&str]| all.iter().map(|word| (*word).to_owned()).collect();
    let image = Image { entrypoint: words(entrypoint), cmd: words(cmd) };
    Facts { entrypoint: Entrypoint::Known(Arc::new(image)), ..Facts::default() }
}

/// Pods of many kinds.
fn kinds() -> Vec<Pod> {
    vec![
        pod(&json!({})),
        pod(&json!({"metadata": {"name": null, "generateName": "job-"}})),
        pod(&json!({"spec": {"containers": [{"name": "a", "command": ["crik", "run", "--", "a"]}]}})),
        pod(&json!({"spec": {"containers": [{"name": "a"}]}})),
        annotated(&json!({"crik.dev/volume-claim": "other", "crik.dev/interval": "10m"})),
        annotated(&json!({"crik.dev/image-dir": "s3://bucket/${POD_NAME}", "crik.dev/nonsense": "1"})),
        container(
            &json!({"env": [{"name": "POD_NAME", "value": "mine"}], "securityContext": {"privileged": true}}),
        ),
        container(
            &json!({"securityContext": {"capabilities": {"add": ["CAP_SYS_PTRACE"], "drop": ["ALL"]}}}),
        ),
        container(&json!({"volumeMounts": [{"name": "x", "mountPath": "/etc/crik"}]})),
    ]
}

#[test]
fn what_is_injected_twice_is_what_is_injected_once() {
    let mut asks = settings();
    asks.token_audience = Some("crik".to_owned());
    for settings in [settings(), asks] {
        for pod in kinds() {
            let once = inject(&pod, &Facts::default(), &settings);
            let twice = inject(&once.pod, &Facts::default(), &settings);
            assert_eq!(twice.pod, once.pod, "{pod:?}");
        }
    }
}

#[test]
fn a_pod_that_does_not_ask_for_it_is_not_touched() {
    for change in [
        json!({"metadata": {"labels": null}}),
        json!({"metadata": {"labels": {"crik.dev/inject": "false"}}}),
        json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "5c1e"}}}),
    ] {
        let pod = pod(&change);
        let injected = injected(&pod);
        assert_eq!((&injected.pod, injected.warnings.len()), (&pod, 0));
    }
}

#[test]
fn one_label_gives_a_pod_all_that_the_readme_asks_for() {
    let injected = injected(&pod(&json!({})));
    assert!(injected.warnings.is_empty(), "{:?}", injected.warnings);
    let spec = value(&injected)["spec"].clone();
    let container = &spec["containers"][0];
    assert_eq!(container["command"], json!(["/usr/local/lib/crik/bin/crik", "run", "--", "python3"]));
    assert_eq!(container["args"], json!(["job.py"]));
    let context = json!({"capabilities": {"add": ["CHECKPOINT_RESTORE", "SYS_PTRACE"]},
                         "seccompProfile": {"type": "Unconfined"}});
    assert_eq!(container["securityContext"], context);
    let names: Vec<&Value> = container["env"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["CRIK_CONFIG", "POD_NAME", "POD_NAMESPACE", "KUBERNETES_NODE_NAME"]);
    assert_eq!(
        container["volumeMounts"],
        json!([{"name": "crik-checkpoints", "mountPath": "/checkpoints"},
               {"name": "crik-programs", "mountPath": "/usr/local/lib/crik", "readOnly": true}])
    );
    assert_eq!(
        spec["volumes"],
        json!([{"name": "crik-checkpoints", "persistentVolumeClaim": {"claimName": "checkpoints"}},
               {"name": "crik-programs", "emptyDir": {}}])
    );
    let install = &spec["initContainers"][0];
    assert_eq!(install["image"], "crik-agent:1");
    assert_eq!(install["command"], json!(["/usr/local/bin/crik", "install", "/crik-programs"]));
    assert_eq!(
        configuration(&injected, 0),
        json!({"imageDir": "/checkpoints/${POD_NAME}", "gracePeriod": "30s",
               "nodeStateServerURL": "http://crik-controller.crik:9376"})
    );
}

#[test]
fn what_the_controller_alone_says_of_a_pod_nobody_else_says_of_a_labelled_one() {
    let said: serde_json::Map<String, Value> =
        OWN_ANNOTATIONS.iter().map(|name| ((*name).to_owned(), json!("{}"))).collect();
    let mut annotations = Value::Object(said);
    annotations["crik.dev/eviction-deadline"] = json!("5m");
    let copied = annotated(&annotations);
    let whole = annotated(&json!({"crik.dev/eviction-deadline": "5m"}));
    assert_eq!(injected(&copied), injected(&whole));
    assert!(injected(&copied).is_put_under_crik(&copied));
    // Also where there is no more to do, such as for a pod that runs under crik already, or that cannot.
    let under = injected(&whole).pod;
    let mut again = under.clone();
    again.metadata.annotations.get_or_insert_default().extend(copied.metadata.annotations.clone().unwrap());
    assert_eq!(injected(&again).pod, under);
    let refused = inject(&copied, &enforcing("restricted"), &settings());
    assert_eq!((&refused.pod, refused.is_put_under_crik(&copied)), (&whole, false));
    assert_eq!(Injected::unchanged(&copied, "its namespace is not known").pod, whole);
    let mut unlabelled = copied;
    unlabelled.metadata.labels = None;
    assert_eq!(injected(&unlabelled).pod, unlabelled);
}

#[test]
fn the_cluster_autoscaler_is_told_that_the_programs_may_go() {
    let name = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";
    for (before, after) in [
        (Value::Null, "crik-programs"),
        (json!(""), "crik-programs"),
        (json!("cache,tmp"), "cache,tmp,crik-programs"),
        (json!("crik-programs,tmp"), "crik-programs,tmp"),
    ] {
        let given = injected(&annotated(&json!({name: before})));
        assert_eq!(value(&given)["metadata"]["annotations"][name], after, "{before}");
    }
    let brought =
        pod(&json!({"spec": {"containers": [{"name": "a", "command": ["crik", "run", "--", "a"]}]}}));
    assert_eq!(value(&injected(&brought))["metadata"]["annotations"], Value::Null);
}

#[test]
fn nothing_else_of_a_pod_is_touched() {
    let before = pod(&json!({
        "metadata": {"annotations": {"a": "b"}},
        "spec": {
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}, "runAsUser": 1000},
            "initContainers": [{"name": "own"}],
            "containers": [{"name": "app", "command": ["a"], "env": [{"name": "A", "value": "B"}]}, {"name": "sidecar"}],
            "volumes": [{"name": "own", "emptyDir": {}}],
        },
    }));
    let after = injected(&before).pod;
    let (before, after) = (serde_json::to_value(before).unwrap(), serde_json::to_value(after).unwrap());
    let patch = serde_json::to_value(json_patch::diff(&before, &after)).unwrap();
    let all = patch.as_array().unwrap();
    let autoscalers = "/metadata/annotations/cluster-autoscaler.kubernetes.io~1safe-to-evict-local-volumes";
    let ours =
        ["/spec/containers/0/", "/spec/initContainers/1", "/spec/volumes/1", "/spec/volumes/2", autoscalers];
    for operation in all {
        let path = operation["path"].as_str().unwrap();
        assert!(ours.iter().any(|ours| path.starts_with(ours)), "{operation}");
        assert!(operation["op"] != "remove", "{operation}");
    }
    assert_eq!(after["spec"]["containers"][0]["env"][0]["name"], "A");
}

#[test]
fn each_key_of_the_configuration_can_be_set_by_an_annotation_over_the_default() {
    let mut settings = settings();
    settings.defaults.insert("carry".into(), json!({"layer": false, "memory": false}));
    settings.defaults.insert("release".into(), json!("${TAG}"));
    let pod = annotated(&json!({
        "crik.dev/release": "1.10", "crik.dev/keep-generations": "3", "crik.dev/grace-period": "20s",
        "crik.dev/carry.memory": "true", "crik.dev/checkpoint-on": "[draining, gone]",
        "crik.dev/image-dir": "/checkpoints/work",
    }));
    let injected = inject(&pod, &Facts::default(), &settings);
    assert!(injected.warnings.is_empty(), "{:?}", injected.warnings);
    assert_eq!(
        configuration(&injected, 0),
        json!({"release": "1.10", "keepGenerations": 3, "gracePeriod": "20s", "imageDir": "/checkpoints/work",
               "carry": {"layer": false, "memory": true}, "checkpointOn": ["draining", "gone"],
               "nodeStateServerURL": "http://crik-controller.crik:9376"})
    );
}

#[test]
fn an_annotation_that_is_no_key_is_named_and_the_pod_runs_under_crik_without_it() {
    let injected =
        injected(&annotated(&json!({"crik.dev/grace-perod": "20s", "crik.dev/hooks.pre-checkpoint": "{"})));
    assert_eq!(injected.warnings.len(), 2, "{:?}", injected.warnings);
    assert!(
        injected.warnings[0].contains("crik.dev/grace-perod is left out: it is no key"),
        "{:?}",
        injected.warnings
    );
    assert!(injected.warnings[1].contains("crik.dev/hooks.pre-checkpoint is left out: it is no YAML"));
    assert_eq!(configuration(&injected, 0)["gracePeriod"], "30s");
}

#[test]
fn the_grace_period_is_the_pods_or_what_the_platform_gives_if_that_is_less() {
    for (seconds, default, expected) in [
        (Some(60), None, "60s"),
        (None, None, "30s"),
        (Some(60), Some("15s"), "15s"),
        (Some(10), Some("15s"), "10s"),
    ] {
        let mut settings = settings();
        default.map(|default: &str| settings.defaults.insert("gracePeriod".into(), json!(default)));
        let pod = pod(&json!({"spec": {"terminationGracePeriodSeconds": seconds}}));
        let injected = inject(&pod, &Facts::default(), &settings);
        assert_eq!(configuration(&injected, 0)["gracePeriod"], expected);
    }
}

#[test]
fn a_pod_without_time_for_a_checkpoint_stays_as_it_is() {
    let short = |reserve: &Value| {
        pod(&json!({"metadata": {"annotations": reserve}, "spec": {"terminationGracePeriodSeconds": 7}}))
    };
    let said = left(&short(&Value::Null), &Facts::default(), &settings());
    assert!(said.contains("gracePeriod of 7s leaves no time") && said.contains("are 7s"), "{said}");
    let enough = injected(&short(&json!({"crik.dev/reserve": "1s"})));
    assert_eq!((configuration(&enough, 0)["gracePeriod"].as_str(), enough.warnings.len()), (Some("7s"), 0));
}

#[test]
fn the_container_that_is_named_runs_under_crik_and_no_other() {
    let two = |name: &str| {
        pod(&json!({
            "metadata": {"annotations": {"crik.dev/container": name}},
            "spec": {"containers": [{"name": "proxy", "command": ["envoy"]}, {"name": "app", "command": ["a"]}]},
        }))
    };
    let injected = injected(&two("app"));
    let containers = value(&injected)["spec"]["containers"].clone();
    assert_eq!(containers[0], json!({"name": "proxy", "command": ["envoy"]}));
    assert_eq!(containers[1]["command"], json!(["/usr/local/lib/crik/bin/crik", "run", "--", "a"]));
    let said = left(&two("ap"), &Facts::default(), &settings());
    assert!(said.contains("no container \"ap\"") && said.contains("proxy, app"), "{said}");
}

/// The command and the arguments of a container that says this of them, of an image that starts `facts`.
fn line(change: &Value, facts: &Facts) -> Value {
    let injected = inject(&container(change), facts, &settings());
    let container = value(&injected)["spec"]["containers"][0].clone();
    assert!(injected.warnings.is_empty() && injected.asks.is_none(), "{:?}", injected.warnings);
    json!([container["command"], container["args"]])
}

#[test]
fn what_the_image_starts_is_asked_for_where_the_container_has_no_command_and_its_namespace_lets_it_in() {
    let bare = container(&json!({"command": null}));
    let asks = injected(&bare).asks.unwrap();
    assert_eq!((asks.image.as_str(), asks.architectures.len()), ("python:3", 0));
    assert_eq!(injected(&container(&json!({"command": []}))).asks.unwrap().image, "python:3");
    assert_eq!(inject(&bare, &enforcing("baseline"), &settings()).asks, None);
    assert_eq!(injected(&pod(&json!({}))).asks, None);
}

#[test]
fn the_pod_says_for_which_nodes_it_is_asked() {
    let architectures = |spec: Value| {
        let mut bare = container(&json!({"command": null}));
        let mut whole = serde_json::to_value(bare.spec.take()).unwrap();
        json_patch::merge(&mut whole, &spec);
        bare.spec = serde_json::from_value(whole).unwrap();
        injected(&bare).asks.unwrap().architectures
    };
    let term = |key: &str, values: Value| json!({"matchExpressions": [{"key": key, "operator": "In", "values": values}]});
    let required = |terms: Value| json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}});
    assert_eq!(architectures(json!({"nodeSelector": {"kubernetes.io/arch": "arm64"}})), ["arm64"]);
    let both = term("kubernetes.io/arch", json!(["arm64", "amd64"]));
    assert_eq!(architectures(required(json!([both]))), ["amd64", "arm64"]);
    // Nobody has an image looked up again and again by names that are none, or that crik is not for.
    let strange: Vec<String> = (0..1000).map(|number| format!("strange-{number}")).collect();
    let with_ours: Vec<&str> = strange.iter().map(String::as_str).chain(["arm64"]).collect();
    assert_eq!(architectures(required(json!([term("kubernetes.io/arch", json!(with_ours))]))), ["arm64"]);
    assert_eq!(architectures(required(json!([term("kubernetes.io/arch", json!(strange))]))).len(), 2);
    let long = json!([term("kubernetes.io/arch", json!(["s".repeat(64), "s390x"]))]);
    assert_eq!(architectures(required(long)), ["s390x"]);
    assert!(architectures(required(json!([both, term("zone", json!(["a"]))]))).is_empty());
    assert!(architectures(json!({})).is_empty());
}

#[test]
fn command_and_arguments_of_pod_and_image_go_together_as_kubernetes_has_it() {
    const CRIK: &str = "/usr/local/lib/crik/bin/crik";
    let image = starting(&["/entry", "-v"], &["serve"]);
    for (change, expected) in [
        (json!({"command": null, "args": null}), json!([[CRIK, "run", "--", "/entry", "-v"], ["serve"]])),
        (json!({"command": null}), json!([[CRIK, "run", "--", "/entry", "-v"], ["job.py"]])),
        (json!({"args": null}), json!([[CRIK, "run", "--", "python3"], null])),
        (json!({}), json!([[CRIK, "run", "--", "python3"], ["job.py"]])),
    ] {
        assert_eq!(line(&change, &image), expected, "{change}");
    }
    let bare = json!({"command": null, "args": null});
    let shell = starting(&["/bin/sh", "-c", "exec $HOME/$(which job) $$"], &[]);
    let spared = "exec $$HOME/$$(which job) $$$$";
    assert_eq!(line(&bare, &shell), json!([[CRIK, "run", "--", "/bin/sh", "-c", spared], null]));
    let only_cmd = starting(&[], &["python3", "-u"]);
    assert_eq!(line(&bare, &only_cmd), json!([[CRIK, "run", "--"], ["python3", "-u"]]));
    assert_eq!(line(&json!({"command": null}), &only_cmd), json!([[CRIK, "run", "--"], ["job.py"]]));
}

#[test]
fn an_image_that_starts_crik_itself_brings_it_and_is_told_that_its_own_file_does_not_count() {
    let image = starting(&["/usr/local/bin/crik", "run", "--"], &["serve"]);
    let injected = inject(&container(&json!({"command": null, "args": null})), &image, &settings());
    let spec = value(&injected)["spec"].clone();
    assert!(spec["initContainers"].is_null() && spec["containers"][0]["command"].is_null(), "{spec}");
    assert!(injected.warnings[0].contains("counts more than an /etc/crik/config.yaml in its image"));
}

#[test]
fn a_container_whose_command_nobody_knows_stays_as_it_is() {
    let unknown = |why: &str| Facts { entrypoint: Entrypoint::Unknown(why.to_owned()), ..Facts::default() };
    let bare = container(&json!({"command": null, "args": null}));
    let said = left(&bare, &unknown("its registry answers 404"), &settings());
    assert!(
        said.contains("app has no command") && said.contains("answers 404; give it as command"),
        "{said}"
    );
    assert!(left(&bare, &starting(&[], &[]), &settings()).contains("starts nothing by itself"));
}

#[test]
fn a_container_with_a_crik_of_its_own_keeps_it_and_its_configuration() {
    for change in [
        json!({"command": ["crik", "run", "--", "a"], "volumeMounts": [{"name": "c", "mountPath": "/etc/crik"}]}),
        json!({"command": ["/usr/local/bin/crik"], "args": ["run", "--config-path", "/c.yaml", "--", "a"]}),
        json!({"command": ["crik", "run", "--", "a"], "env": [{"name": "CRIK_CONFIG", "value": "{}"}]}),
    ] {
        let before = container(&change);
        let after = injected(&before);
        assert!(after.warnings.is_empty(), "{:?}", after.warnings);
        let (before, after) = (serde_json::to_value(before).unwrap(), value(&after));
        for kept in ["command", "args", "volumeMounts"] {
            assert_eq!(after["spec"]["containers"][0][kept], before["spec"]["containers"][0][kept]);
        }
        assert!(after["spec"]["initContainers"].is_null() && after["spec"]["volumes"].is_null());
        assert_eq!(after["spec"]["containers"][0]["securityContext"]["seccompProfile"]["type"], "Unconfined");
    }
}

#[test]
fn a_place_that_goes_with_the_pod_is_refused() {
    let mut nowhere = settings();
    nowhere.volume_claim = None;
    let said = left(&pod(&json!({})), &Facts::default(), &nowhere);
    assert!(said.contains("no place for checkpoints") && said.contains("crik.dev/volume-claim"), "{said}");
    let said = left(&annotated(&json!({"crik.dev/image-dir": "/var/work"})), &Facts::default(), &settings());
    assert!(said.contains("/var/work is in the container's own file system"), "{said}");
    let mut on_empty_dir =
        container(&json!({"volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]}));
    on_empty_dir.metadata.annotations =
        Some([("crik.dev/image-dir".to_owned(), "/scratch/a".to_owned())].into());
    let volume = json!([{"name": "scratch", "emptyDir": {}}]);
    on_empty_dir.spec.as_mut().unwrap().volumes = serde_json::from_value(volume).unwrap();
    let said = left(&on_empty_dir, &Facts::default(), &settings());
    assert!(said.contains("/scratch/a is on the emptyDir scratch"), "{said}");
}

#[test]
fn a_bucket_needs_no_volume_and_a_claim_that_the_pod_has_no_second_one() {
    let bucket = injected(&annotated(&json!({"crik.dev/image-dir": "s3://bucket/${POD_NAME}"})));
    let volumes = value(&bucket)["spec"]["volumes"].clone();
    assert_eq!(volumes, json!([{"name": "crik-programs", "emptyDir": {}}]));
    let volume = json!([{"name": "own", "persistentVolumeClaim": {"claimName": "checkpoints"}}]);
    let own = injected(&pod(&json!({"spec": {"volumes": volume}})));
    assert_eq!(value(&own)["spec"]["volumes"].as_array().unwrap().len(), 2);
    assert_eq!(value(&own)["spec"]["containers"][0]["volumeMounts"][0]["name"], "own");
}

#[test]
fn a_pod_whose_successor_has_another_name_is_told_so() {
    let nameless = json!({"name": null, "generateName": "job-"});
    let injected_pod = injected(&pod(&json!({"metadata": nameless})));
    assert!(injected_pod.warnings[0].contains("will have another name"), "{:?}", injected_pod.warnings);
    let named = injected(&pod(
        &json!({"metadata": {"name": null, "annotations": {"crik.dev/image-dir": "/checkpoints/job"}}}),
    ));
    assert!(named.warnings.is_empty(), "{:?}", named.warnings);
}

#[test]
fn a_namespace_that_would_refuse_the_pod_with_it_keeps_the_pod_without() {
    for level in ["baseline", "restricted"] {
        let said = left(&pod(&json!({})), &enforcing(level), &settings());
        assert!(said.contains(&format!("Pod Security level {level}")), "{said}");
    }
    assert!(inject(&pod(&json!({})), &enforcing("privileged"), &settings()).warnings.is_empty());
}

#[test]
fn a_level_that_the_whole_cluster_has_counts_where_the_namespace_names_none() {
    let mut strict = settings();
    strict.pod_security_default = Some("restricted".to_owned());
    let said = left(&pod(&json!({})), &Facts::default(), &strict);
    assert!(said.contains("Pod Security level restricted"), "{said}");
    assert!(inject(&pod(&json!({})), &enforcing("privileged"), &strict).warnings.is_empty());
}

#[test]
fn the_pod_asks_for_no_more_than_before_and_stays_in_its_class() {
    let resources = json!({"requests": {"cpu": "2", "memory": "4Gi", "example.com/gpu": "1"},
                           "limits": {"cpu": "2", "memory": "4Gi", "example.com/gpu": "1"}});
    let injected = injected(&container(&json!({"resources": resources})));
    let install = value(&injected)["spec"]["initContainers"][0]["resources"].clone();
    let expected = json!({"cpu": "2", "memory": "4Gi"});
    assert_eq!(install, json!({"requests": expected, "limits": expected}));
}

#[test]
fn what_is_given_already_is_not_given_twice() {
    let given = injected(&container(&json!({
        "env": [{"name": "POD_NAMESPACE", "value": "mine"}],
        "securityContext": {"capabilities": {"add": ["CAP_SYS_PTRACE"], "drop": ["NET_RAW"]}},
    })));
    let container = value(&given)["spec"]["containers"][0].clone();
    assert_eq!(container["env"][0], json!({"name": "POD_NAMESPACE", "value": "mine"}));
    assert_eq!(container["env"].as_array().unwrap().len(), 4);
    assert_eq!(
        container["securityContext"]["capabilities"],
        json!({"add": ["CAP_SYS_PTRACE", "CHECKPOINT_RESTORE"], "drop": ["NET_RAW"]})
    );
}

#[test]
fn who_drops_all_and_may_gain_something_by_a_file_gets_back_what_a_restore_takes_from_processes_with() {
    for (gains, expected) in [
        (json!(null), json!(["CHECKPOINT_RESTORE", "SYS_PTRACE", "SETPCAP"])),
        (json!(false), json!(["CHECKPOINT_RESTORE", "SYS_PTRACE"])),
    ] {
        let context = json!({"capabilities": {"drop": ["ALL"]}, "allowPrivilegeEscalation": gains});
        let given = injected(&container(&json!({"securityContext": context})));
        assert_eq!(
            value(&given)["spec"]["containers"][0]["securityContext"]["capabilities"]["add"],
            expected
        );
    }
}

#[test]
fn a_container_that_another_webhook_puts_before_it_changes_nothing() {
    let mut settings = settings();
    settings.token_audience = Some("crik".to_owned());
    let mut once = inject(&pod(&json!({})), &Facts::default(), &settings).pod;
    let proxy = json!({"name": "proxy", "image": "proxy:1", "command": ["proxy"]});
    once.spec.as_mut().unwrap().containers.insert(0, serde_json::from_value(proxy).unwrap());
    let twice = inject(&once, &Facts::default(), &settings);
    assert_eq!((twice.pod, twice.warnings.len()), (once, 0));
}

#[test]
fn the_container_that_kubectl_means_is_the_one_if_none_is_named() {
    let sidecar = json!({"name": "sidecar", "image": "s:1", "command": ["s"]});
    let app = json!({"name": "app", "image": "python:3", "command": ["python3"]});
    let pod = pod(&json!({
        "metadata": {"annotations": {"kubectl.kubernetes.io/default-container": "app"}},
        "spec": {"containers": [sidecar, app]},
    }));
    let containers = value(&injected(&pod))["spec"]["containers"].clone();
    assert_eq!(containers[0], sidecar);
    assert_eq!(containers[1]["command"][0], "/usr/local/lib/crik/bin/crik");
}

#[test]
fn a_name_that_is_not_the_pods_names_no_directory() {
    let named = container(&json!({"env": [{"name": "POD_NAME", "value": "web"}]}));
    assert!(left(&named, &Facts::default(), &settings()).contains("POD_NAME that is not its pod's name"));
}

#[test]
fn users_of_its_own_on_a_volume_are_warned_of() {
    let own =
        |change: Value| injected(&pod(&json!({"spec": {"hostUsers": false}, "metadata": change}))).warnings;
    assert!(own(json!({}))[0].contains("hostUsers is false"));
    let bucket = json!({"annotations": {"crik.dev/image-dir": "s3://bucket/${POD_NAME}"}});
    assert!(own(bucket).is_empty());
}

#[test]
fn the_agent_shows_a_token_of_its_own_where_the_controller_wants_one() {
    let mut settings = settings();
    settings.token_audience = Some("crik".to_owned());
    let injected = inject(&pod(&json!({})), &Facts::default(), &settings);
    assert_eq!(configuration(&injected, 0)["nodeStateServerTokenFile"], "/var/run/crik-token/token");
    let volumes = value(&injected)["spec"]["volumes"].clone();
    let token =
        json!([{"serviceAccountToken": {"path": "token", "audience": "crik", "expirationSeconds": 3600}}]);
    assert_eq!(volumes[1], json!({"name": "crik-token", "projected": {"sources": token}}));
}

#[test]
fn a_container_with_something_of_its_own_where_crik_is_to_be_stays_as_it_is() {
    let taken = container(&json!({"volumeMounts": [{"name": "x", "mountPath": "/usr/local/lib/crik"}]}));
    let said = left(&taken, &Facts::default(), &settings());
    assert!(said.contains("something mounted at /usr/local/lib/crik"), "{said}");
    for mount in [
        json!({"name": "x", "mountPath": "/usr/local/lib/crik/"}),
        json!({"name": "x", "mountPath": "/usr/local/lib/crik/bin"}),
        json!({"name": "x", "mountPath": "/usr/local", "readOnly": true}),
    ] {
        let taken = container(&json!({"volumeMounts": [mount]}));
        assert!(left(&taken, &Facts::default(), &settings()).contains("something mounted at"), "{mount}");
    }
    let around = container(&json!({"volumeMounts": [{"name": "x", "mountPath": "/usr/local"}]}));
    assert_ne!(injected(&around).pod, around);
    let windows = pod(&json!({"spec": {"os": {"name": "windows"}}}));
    assert!(left(&windows, &Facts::default(), &settings()).contains("Windows"));
}

#[test]
fn every_warning_is_as_short_as_the_api_server_shows() {
    let long = "x".repeat(63);
    let mut nowhere = settings();
    nowhere.volume_claim = None;
    for pod in [
        annotated(&json!({"crik.dev/container": long})),
        annotated(&json!({format!("crik.dev/{long}"): "1"})),
        container(&json!({"command": null, "name": long})),
        pod(&json!({"metadata": {"name": null}})),
        pod(&json!({"spec": {"terminationGracePeriodSeconds": 1}})),
    ] {
        for settings in [&settings(), &nowhere] {
            for warning in inject(&pod, &Facts::default(), settings).warnings {
                assert!(warning.len() <= 256, "{} {warning}", warning.len());
            }
        }
    }
}

#[test]
fn a_claim_that_the_next_pod_could_not_mount_is_warned_of() {
    assert_eq!(injected(&pod(&json!({}))).claim.as_deref(), Some("checkpoints"));
    assert_eq!(injected(&annotated(&json!({"crik.dev/volume-claim": "own"}))).claim.as_deref(), Some("own"));
    assert_eq!(injected(&annotated(&json!({"crik.dev/image-dir": "s3://b/${POD_NAME}"}))).claim, None);
    let modes = |all: &[&str]| Claim::There(all.iter().map(|mode| (*mode).to_owned()).collect());
    assert!(Claim::Missing.warning("work").unwrap().contains("no claim work"));
    for mode in ["ReadWriteOnce", "ReadWriteOncePod", "ReadOnlyMany"] {
        assert!(modes(&[mode]).warning("work").unwrap().contains(mode));
    }
    assert_eq!(modes(&["ReadWriteOnce", "ReadWriteMany"]).warning("work"), None);
}

#[test]
fn nodes_of_windows_are_not_for_crik_however_they_are_named() {
    for spec in [
        json!({"nodeSelector": {"kubernetes.io/os": "windows"}}),
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "kubernetes.io/os", "operator": "In", "values": ["windows"]}]}]}}}}),
    ] {
        assert!(
            left(&pod(&json!({"spec": spec})), &Facts::default(), &settings()).contains("Windows"),
            "{spec}"
        );
    }
    let linux = pod(&json!({"spec": {"nodeSelector": {"kubernetes.io/os": "linux"}}}));
    assert!(injected(&linux).warnings.is_empty());
}

#[test]
fn process_ids_that_others_may_have_are_warned_of() {
    for field in ["hostPID", "shareProcessNamespace"] {
        let shared = injected(&pod(&json!({"spec": {field: true}})));
        assert!(shared.warnings[0].contains(&format!("with {field}")), "{:?}", shared.warnings);
        assert_ne!(shared.pod.spec.unwrap().init_containers, None);
    }
}

#[test]
fn a_seccomp_profile_that_somebody_has_made_is_not_taken_away() {
    let profile = json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "profiles/app.json"}});
    let of_pod = pod(&json!({"spec": {"securityContext": profile}}));
    for made in [&of_pod, &container(&json!({"securityContext": profile}))] {
        let said = left(made, &Facts::default(), &settings());
        assert!(said.contains("seccomp profile profiles/app.json"), "{said}");
    }
    let mut said_otherwise = of_pod;
    let unconfined = json!({"seccompProfile": {"type": "Unconfined"}});
    said_otherwise.spec.as_mut().unwrap().containers[0].security_context =
        serde_json::from_value(unconfined).unwrap();
    assert!(injected(&said_otherwise).warnings.is_empty());
}

#[test]
fn pods_get_users_of_their_own_where_that_is_wanted_and_known_to_work() {
    let mut own = settings();
    own.host_users = Some(false);
    let given = |change: Value| {
        let injected = inject(&pod(&change), &Facts::default(), &own);
        (injected.pod.spec.unwrap().host_users, injected.warnings)
    };
    let bucket = json!({"annotations": {"crik.dev/image-dir": "s3://bucket/${POD_NAME}"}});
    assert_eq!(given(json!({"metadata": bucket})), (Some(false), vec![]));
    let (users, warnings) = given(json!({}));
    assert!(users.is_none() && warnings[0].contains("the volume crik-checkpoints"), "{warnings:?}");
    let (users, warnings) = given(json!({"metadata": bucket, "spec": {"hostNetwork": true}}));
    assert!(users.is_none() && warnings[0].contains("the pod has hostNetwork"), "{warnings:?}");
    assert_eq!(given(json!({"metadata": bucket, "spec": {"hostUsers": true}})), (Some(true), vec![]));
    let volume = json!([{"name": "disk", "hostPath": {"path": "/d"}}]);
    assert_eq!(given(json!({"metadata": bucket, "spec": {"volumes": volume}})).0, None);
}

#[test]
fn the_agents_image_is_pulled_by_secrets_of_its_own_beside_the_pods() {
    let mut secrets = settings();
    secrets.agent_pull_secrets = vec!["own".to_owned(), "crik".to_owned()];
    let given =
        inject(&pod(&json!({"spec": {"imagePullSecrets": [{"name": "own"}]}})), &Facts::default(), &secrets);
    assert_eq!(value(&given)["spec"]["imagePullSecrets"], json!([{"name": "own"}, {"name": "crik"}]));
}

#[test]
fn an_annotation_that_the_agent_could_not_read_is_left_out() {
    let injected = injected(&annotated(&json!({"crik.dev/interval": "soon", "crik.dev/on-unknown": "stop"})));
    assert!(
        injected.warnings[0].contains("crik.dev/interval is left out: \"soon\" is no duration"),
        "{:?}",
        injected.warnings
    );
    assert!(
        injected.warnings[1].contains("\"stop\" is none of checkpoint, terminate"),
        "{:?}",
        injected.warnings
    );
    assert_eq!(configuration(&injected, 0)["interval"], Value::Null);
}
