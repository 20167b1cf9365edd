use super::*;

fn pod() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "db-0", "namespace": "work", "uid": "1-2-3", "resourceVersion": "7",
            "labels": {"app": "db", "apps.kubernetes.io/pod-index": "0"},
            "ownerReferences": [{"kind": "StatefulSet", "name": "db", "controller": true}],
            "finalizers": ["example.com/keep"],
        },
        "spec": {
            "nodeName": "node-a",
            "hostname": "db-0",
            "subdomain": "db",
            "priorityClassName": "high",
            "serviceAccountName": "db",
            "tolerations": [{"key": "spot", "operator": "Exists"}],
            "initContainers": [{"name": "prepare", "image": "prepare:1"}],
            "containers": [
                {"name": "sidecar", "image": "sidecar:1"},
                {
                    "name": "db",
                    "image": "db:1",
                    "command": ["/usr/bin/crik", "run", "--", "db"],
                    "ports": [{"containerPort": 5432}],
                    "lifecycle": {"preStop": {"exec": {"command": ["announce"]}}},
                    "livenessProbe": {"exec": {"command": ["ask"]}},
                    "env": [
                        {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                        {"name": "INDEX", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['apps.kubernetes.io/pod-index']"}}},
                        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                        {"name": "PLAIN", "value": "1"},
                    ],
                    "securityContext": {"capabilities": {"add": ["CHECKPOINT_RESTORE", "SYS_PTRACE"]}},
                    "volumeMounts": [
                        {"name": "checkpoints", "mountPath": "/checkpoints", "subPathExpr": "$(POD_NAME)"},
                        {"name": "data", "mountPath": "/data"},
                        {"name": "tables", "mountPath": "/data/tables"},
                        {"name": "scratch", "mountPath": "/scratch"},
                        {"name": "config", "mountPath": "/etc/crik"},
                        {"name": "account", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true},
                    ],
                },
            ],
            "volumes": [
                {"name": "checkpoints", "persistentVolumeClaim": {"claimName": "checkpoints"}},
                {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
                {"name": "tables", "nfs": {"server": "files", "path": "/tables"}},
                {"name": "scratch", "emptyDir": {}},
                {"name": "config", "configMap": {"name": "crik"}},
                {"name": "account", "projected": {"sources": [
                    {"serviceAccountToken": {"path": "token"}},
                    {"configMap": {"name": "kube-root-ca.crt"}},
                ]}},
                {"name": "others", "persistentVolumeClaim": {"claimName": "others"}},
            ],
        },
        "status": {"phase": "Running"},
    })
}

fn second(changed: &[&str]) -> Value {
    let changed = changed.iter().map(PathBuf::from).collect();
    let files = Files { changed, ..Files::default() };
    let path = Path::new("/checkpoints/db-0/holders/00000001/trial-1");
    let image = Image { path, generation: Generation(3), files: &files };
    manifest(&pod(), None, &image).unwrap()
}

fn mount_at<'a>(list: &'a Value, path: &str) -> &'a Value {
    let mounts = list["items"][1]["spec"]["containers"][0]["volumeMounts"].as_array().unwrap();
    mounts.iter().find(|mount| mount["mountPath"] == path).unwrap_or(&Value::Null)
}

#[test]
fn nobody_takes_it_for_the_first_one() {
    let list = second(&[]);
    let pod = &list["items"][1];
    let meta = json!({"name": "db-0-crik-trial", "namespace": "work", "labels": {"crik-trial": "1-2-3"}});
    assert_eq!(pod["metadata"], meta);
    assert!(pod.get("status").is_none());
    let spec = &pod["spec"];
    for gone in ["nodeName", "subdomain", "initContainers", "priorityClassName"] {
        assert!(spec.get(gone).is_none(), "{gone}: {spec}");
    }
    assert_eq!(spec["automountServiceAccountToken"], false);
    assert_eq!(spec["restartPolicy"], "Never");
    assert_eq!((&spec["hostname"], &spec["tolerations"][0]["key"]), (&json!("db-0"), &json!("spot")));
    let [container] = spec["containers"].as_array().unwrap().as_slice() else { panic!("{spec}") };
    for gone in ["ports", "lifecycle", "livenessProbe"] {
        assert!(container.get(gone).is_none(), "{gone}: {container}");
    }
    let [policy, selector] = [&list["items"][0], &list["items"][0]["spec"]["podSelector"]["matchLabels"]];
    assert_eq!((&policy["kind"], selector), (&json!("NetworkPolicy"), &pod["metadata"]["labels"]));
    let tokens = spec["volumes"].to_string().contains("serviceAccountToken");
    assert!(!tokens, "{spec}");
}

#[test]
fn no_volume_that_lasts_can_be_written() {
    let list = second(&["/data/tables/one", "/scratch/log"]);
    for path in ["/checkpoints", "/data"] {
        assert_eq!(mount_at(&list, path)["readOnly"], true, "{path}");
    }
    assert_eq!(mount_at(&list, "/checkpoints")["subPathExpr"], "$(POD_NAME)");
    // What the program has open to write is on a directory of its own, and comes from the volume.
    assert_eq!(mount_at(&list, "/data/tables")["name"], "crik-trial-2");
    let aside = mount_at(&list, "/crik-trial/2");
    assert_eq!((&aside["name"], &aside["readOnly"]), (&json!("tables"), &json!(true)));
    assert_eq!(mount_at(&list, "/scratch")["readOnly"], false);
    let spec = &list["items"][1]["spec"];
    let volumes: Vec<&str> =
        spec["volumes"].as_array().unwrap().iter().filter_map(|one| one["name"].as_str()).collect();
    assert!(volumes.contains(&"crik-trial-2") && !volumes.contains(&"others"), "{volumes:?}");
    let command = spec["containers"][0]["command"].as_array().unwrap();
    assert_eq!(command[..3], ["/usr/bin/crik", SUBCOMMAND, "3"]);
    assert_eq!(command[3..], ["/checkpoints/db-0/holders/00000001/trial-1", "/crik-trial/2=/data/tables"]);
}

#[test]
fn an_image_on_a_volume_that_is_stood_in_for_is_read_where_that_is() {
    let list = second(&["/checkpoints/out"]);
    let command = list["items"][1]["spec"]["containers"][0]["command"].as_array().unwrap();
    assert_eq!(command[3], "/crik-trial/0/db-0/holders/00000001/trial-1");
    assert_eq!(mount_at(&list, "/crik-trial/0")["subPathExpr"], "$(POD_NAME)");
}

#[test]
fn what_is_the_nodes_is_there_only_if_the_program_has_it_open() {
    let mut pod = pod();
    pod["spec"]["volumes"][2] = json!({"name": "tables", "hostPath": {"path": "/run/daemon"}});
    let made = |open: &[&str]| {
        let files = Files { open: open.iter().map(PathBuf::from).collect(), ..Files::default() };
        let path = Path::new("/checkpoints/x");
        let list = manifest(&pod, None, &Image { path, generation: Generation(1), files: &files }).unwrap();
        let volumes = list["items"][1]["spec"]["volumes"].as_array().unwrap().clone();
        volumes.into_iter().find(|one| one["name"] == "tables").unwrap()
    };
    assert_eq!(made(&[]), json!({"name": "tables", "emptyDir": {}}));
    assert_eq!(made(&["/data/tables/one"])["hostPath"]["path"], "/run/daemon");
}

#[test]
fn its_variables_are_those_of_the_first() {
    let list = second(&[]);
    let env = list["items"][1]["spec"]["containers"][0]["env"].as_array().unwrap();
    assert_eq!(env[0], json!({"name": "POD_NAME", "value": "db-0"}));
    assert_eq!(env[1], json!({"name": "INDEX", "value": "0"}));
    assert_eq!(env[2]["valueFrom"]["fieldRef"]["fieldPath"], "spec.nodeName");
    assert_eq!(env[3], json!({"name": "PLAIN", "value": "1"}));
}

#[test]
fn it_comes_to_another_node_unless_a_claim_may_be_that_of_one_node() {
    let affinity = |list: &Value| list["items"][1]["spec"]["affinity"]["nodeAffinity"].clone();
    let required = affinity(&second(&[]))["requiredDuringSchedulingIgnoredDuringExecution"].to_string();
    assert!(required.contains(r#""In","values":["node-a"]"#), "{required}");
    let mut pod = pod();
    pod["spec"]["volumes"][1] = json!({"name": "data", "emptyDir": {}});
    let image =
        Image { path: Path::new("/checkpoints/db-0/x"), generation: Generation(1), files: &Files::default() };
    let list = manifest(&pod, None, &image).unwrap();
    let preferred = affinity(&list)["preferredDuringSchedulingIgnoredDuringExecution"].to_string();
    assert!(preferred.contains(r#""NotIn","values":["node-a"]"#), "{preferred}");
}

#[test]
fn what_nobody_can_make_a_second_pod_of_is_refused_with_what_to_do() {
    let told = |pod: &Value, name| container(pod, name).unwrap_err().to_string();
    assert!(told(&json!({"kind": "PodList", "items": []}), None).contains("kubectl get pod NAME -o json"));
    let mut pod = pod();
    pod["spec"]["containers"][1]["command"] = json!(["db"]);
    let why = told(&pod, None);
    assert!(why.contains("sidecar, db; give --container"), "{why}");
    assert_eq!(container(&pod, Some("db")).unwrap()["image"], "db:1");
    let image = Image { path: Path::new("/var/x"), generation: Generation(1), files: &Files::default() };
    let why = manifest(&pod, Some("db"), &image).unwrap_err().to_string();
    assert!(why.contains("/var/x is on no volume"), "{why}");
}

#[test]
fn an_image_that_has_no_crik_gets_it_as_in_the_first_pod() {
    let path = Path::new("/checkpoints/db-0/trials/3");
    let image = Image { path, generation: Generation(3), files: &Files::default() };
    let of = |pod: &Value| manifest(pod, None, &image).unwrap()["items"][1]["spec"]["initContainers"].clone();
    let mut pod = pod();
    assert_eq!(of(&pod), Value::Null);
    let install = json!({"name": "crik-install", "image": "crik-agent:1"});
    pod["spec"]["initContainers"].as_array_mut().unwrap().push(install.clone());
    assert_eq!(of(&pod), json!([install]));
}
