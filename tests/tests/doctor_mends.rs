//! What `crik doctor` says of a broken pod is enough to mend it without knowing more: here only the very lines are written that it says
//! are to be written, and the program is protected then.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};

use anyhow::{Context as _, Result, bail, ensure};
use crik_tests::build::{cargo_bin, with_capabilities};
use crik_tests::compile::compiled;
use crik_tests::pod::{Pod, Running};
use crik_tests::rootfs::with_more_rights;
use crik_tests::spec::bind;
use crik_tests::story::SINGLE;
use crik_tests::table::Table;
use crik_tests::volume::Volume;
use crik_tests::wait::wait_for;
use serde::Deserialize;
use serde_json::json;
use serde_yaml::Value;

const PROTECTED: &str = "protected: checkpoints can be taken and resumed elsewhere (";

/// What `crik doctor` ends with.
const WARNED: i32 = 3;
const UNPROTECTED: i32 = 4;

/// What is to be written, and where.
#[derive(Debug, Deserialize)]
struct Edit {
    r#in: String,
    line: String,
}

#[derive(Debug, Deserialize)]
struct Finding {
    what: String,
    why: String,
    remedy: Option<String>,
    edits: Vec<Edit>,
}

#[derive(Debug, Deserialize)]
struct Told {
    findings: Vec<Finding>,
}

/// A pod with one thing wrong with it, and what has to be known to write what it takes.
struct Broken {
    pod: Pod,
    volume: Volume,
}

impl Broken {
    fn new(command: &[&str], change: impl FnOnce(Pod, &Volume) -> Result<Pod>) -> Result<Self> {
        let volume = Volume::new()?;
        Self::on(volume, command, change)
    }

    fn on(
        volume: Volume,
        command: &[&str],
        change: impl FnOnce(Pod, &Volume) -> Result<Pod>,
    ) -> Result<Self> {
        Ok(Self { pod: change(Pod::new(&volume, "node-a", command), &volume)?, volume })
    }

    /// Writes this into the pod.
    fn write(&mut self, running: &Running, edit: &Edit) -> Result<()> {
        let yaml = || serde_yaml::from_str::<Value>(&edit.line).with_context(|| edit.line.clone());
        match edit.r#in.as_str() {
            "config" => self.pod = self.pod.clone().set_config(&edit.line),
            "container" => self.container(&yaml()?)?,
            "pod" => self.spec(&yaml()?)?,
            "claim" => self.claim(&yaml()?)?,
            "dockerfile" => self.image(&edit.line)?,
            "shell" => {
                let (code, out, err) = running.exec(&["sh", "-c", &edit.line])?;
                ensure!(code == Some(0), "{}: {out}{err}", edit.line);
            }
            other => bail!("{other} is not of the pod"),
        }
        Ok(())
    }

    fn container(&mut self, yaml: &Value) -> Result<()> {
        let context = &yaml["securityContext"];
        let names = context["capabilities"]["add"].as_sequence().into_iter().flatten();
        let added: Vec<String> = names.filter_map(|name| Some(format!("CAP_{}", name.as_str()?))).collect();
        let mounts = yaml["volumeMounts"].as_sequence().cloned().unwrap_or_default();
        let known = ["capabilities", "seccompProfile", "allowPrivilegeEscalation", "runAsUser"]
            .map(|key| &context[key]);
        ensure!(known.iter().any(|one| !one.is_null()) || !mounts.is_empty(), "{yaml:?} is not understood");
        let volume = self.volume.path().to_owned();
        self.pod = self.pod.clone().with(|spec| {
            spec.capabilities.extend(added);
            spec.capabilities.sort();
            spec.capabilities.dedup();
            spec.seccomp.take_if(|_| context["seccompProfile"]["type"] == "Unconfined");
            spec.no_new_privileges &= context["allowPrivilegeEscalation"] != true;
            spec.user = context["runAsUser"].as_u64().map_or(spec.user, |user| user as u32);
            for mount in mounts {
                let Some(at) = mount["mountPath"].as_str() else { continue };
                spec.mounts.retain(|one| one["destination"] != at);
                spec.mounts.push(bind(&volume, at, "rw"));
            }
        });
        Ok(())
    }

    fn spec(&mut self, yaml: &Value) -> Result<()> {
        // The volume that the container then mounts is the one that there is.
        let claim = &yaml["volumes"][0]["persistentVolumeClaim"]["claimName"];
        let context = &yaml["securityContext"];
        let group = context["fsGroup"].as_u64().and_then(|group| u32::try_from(group).ok());
        let sysctls: Vec<_> = SYSCTLS.into_iter().filter(|one| sets(context, one)).collect();
        ensure!(
            yaml["hostUsers"] == false || group.is_some() || claim.is_string() || !sysctls.is_empty(),
            "{yaml:?} is not understood"
        );
        if let Some(group) = group {
            // As a kubelet does.
            chown(self.volume.path(), None, Some(group))?;
            fs::set_permissions(self.volume.path(), Permissions::from_mode(0o2775))?;
        }
        self.pod = self.pod.clone().with(|spec| {
            spec.user_namespace |= yaml["hostUsers"] == false;
            spec.volume_group = group.or(spec.volume_group);
            spec.sysctls.extend(sysctls);
        });
        Ok(())
    }

    fn claim(&mut self, yaml: &Value) -> Result<()> {
        let size = yaml["resources"]["requests"]["storage"].as_str().context("no size")?;
        self.volume = Volume::of_size(size.strip_suffix("Mi").context("no mebibytes")?.parse()?)?;
        self.pod = self.pod.on(&self.volume);
        Ok(())
    }

    fn image(&mut self, line: &str) -> Result<()> {
        let words: Vec<&str> = line.split(' ').collect();
        let crik = cargo_bin("crik-agent", "crik", &[])?;
        match *words.as_slice() {
            ["COPY", from, "/", "/"] if from.starts_with("--from=crik-agent:") => {}
            ["RUN", "setcap", what, "/usr/local/bin/crik"] => {
                ensure!(what == "cap_checkpoint_restore,cap_sys_ptrace,cap_setpcap=p", "{what}");
            }
            _ => bail!("{line} is no line of a Dockerfile"),
        }
        // As the image of the agent has both.
        self.pod = self.pod.clone().binary(&with_capabilities(&crik)?).with(|spec| {
            spec.mounts.retain(|one| {
                !["/usr/local/bin/crik", "/usr/sbin/criu"].iter().any(|path| one["destination"] == *path)
            });
        });
        Ok(())
    }
}

/// Those that a pod may be told to have.
const SYSCTLS: [(&str, &str); 1] = [("net.mptcp.enabled", "0")];

/// Whether a pod's security context sets this one.
fn sets(context: &Value, (name, value): &(&str, &str)) -> bool {
    let all = context["sysctls"].as_sequence();
    all.is_some_and(|all| all.iter().any(|one| one["name"] == *name && one["value"] == *value))
}

fn doctor(running: &Running) -> Result<(Option<i32>, Told)> {
    let (_, text, _) = running.exec(&["crik", "doctor"])?;
    println!("{text}");
    let (code, out, err) = running.exec(&["crik", "doctor", "--output", "json"])?;
    Ok((code, serde_json::from_str(&out).with_context(|| format!("{out}{err}"))?))
}

/// Starts it, writes what is said to be written, starts it again unless what was written is done in the running one, and expects that it
/// is protected. The wrong thing is told with this word.
fn mend(mut broken: Broken, ready: &str, severity: i32, word: &str) -> Result<String> {
    let mut running = broken.pod.start()?;
    running.stderr.wait_for(ready).with_context(|| running.transcript())?;
    let (code, told) = doctor(&running)?;
    ensure!(code == Some(severity), "{code:?} {told:?}");
    ensure!(told.findings.iter().any(|one| one.what.contains(word)), "{word} is not in {told:?}");
    let mut written = Vec::new();
    for finding in &told.findings {
        ensure!(!finding.why.is_empty() && finding.remedy.is_some(), "{finding:?}");
        ensure!(!finding.edits.is_empty(), "nothing is to be written for {finding:?}");
        for edit in &finding.edits {
            broken.write(&running, edit)?;
            written.push(edit.line.clone());
        }
    }
    if told.findings.iter().flat_map(|one| &one.edits).all(|edit| edit.r#in == "shell") {
        let known = || doctor(&running).ok().filter(|(code, _)| *code == Some(0));
        wait_for("it to be well", known)?;
        return Ok(written.join(" | "));
    }
    // In order, so that nobody has to wait for what it holds.
    running.stop()?;
    let mended = broken.pod.replacement().start()?;
    mended.stderr.wait_for(PROTECTED).with_context(|| mended.transcript())?;
    ensure!(!mended.stderr.text().contains("NOT PROTECTED"), "{}", mended.transcript());
    wait_for("nothing to be said", || doctor(&mended).ok().filter(|(code, _)| *code == Some(0)))?;
    Ok(written.join(" | "))
}

const RUNS: &str = "the application starts fresh";
const NOT_PROTECTED: &str = "NOT PROTECTED: ";

#[test]
fn what_is_to_be_written_is_written_and_the_pod_is_protected() -> Result<()> {
    let mut table = Table::new("pods mended by what crik doctor prints");
    table.case("no capabilities", || {
        let drop = ["CAP_CHECKPOINT_RESTORE", "CAP_SYS_PTRACE"];
        let broken = Broken::new(&SINGLE, |pod, _| {
            Ok(pod.with(|spec| spec.capabilities.retain(|name| !drop.contains(&name.as_str()))))
        });
        mend(broken?, RUNS, UNPROTECTED, "CHECKPOINT_RESTORE is missing")
    });
    table.case("all capabilities dropped", || {
        let broken = Broken::new(&SINGLE, |pod, _| Ok(pod.with(|spec| spec.capabilities.clear())));
        mend(broken?, RUNS, UNPROTECTED, "SETPCAP is missing")
    });
    table.case("seccomp", || {
        let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["ptrace", "kcmp", "process_vm_readv"], "action": "SCMP_ACT_ERRNO"}]});
        let broken = Broken::new(&SINGLE, |pod, _| Ok(pod.with(|spec| spec.seccomp = Some(profile))));
        mend(broken?, RUNS, UNPROTECTED, "seccomp profile")
    });
    table.case("a user without rights", || {
        let broken = Broken::new(&SINGLE, |pod, _| {
            Ok(pod.ordinary_user(1000)?.with(|spec| {
                spec.no_new_privileges = true;
                spec.command(&["sh", "-c", "exec crik run -- \"$@\"", "sh"], &SINGLE);
            }))
        });
        mend(broken?, RUNS, UNPROTECTED, "runs as user 1000, to whom Kubernetes gives no capabilities")
    });
    table.case("nosuid", || {
        let crik = with_capabilities(&cargo_bin("crik-agent", "crik", &[])?)?;
        let mut mount = bind(&crik, "/usr/local/bin/crik", "ro");
        mount["options"] = json!(["rbind", "ro", "nosuid"]);
        let broken =
            Broken::new(&SINGLE, |pod, _| Ok(pod.ordinary_user(1000)?.with(|spec| spec.mounts.push(mount))));
        mend(broken?, RUNS, UNPROTECTED, "mounted nosuid")
    });
    table.case("a copy without extended attributes", || {
        let crik = cargo_bin("crik-agent", "crik", &[])?;
        let broken = Broken::new(&SINGLE, |pod, _| Ok(pod.ordinary_user(1000)?.binary(&crik)));
        mend(broken?, RUNS, UNPROTECTED, "crik lacks CHECKPOINT_RESTORE")
    });
    table.case("no criu", || {
        let empty = tempfile::NamedTempFile::new()?;
        let broken = Broken::new(&SINGLE, |pod, _| {
            Ok(pod.with(|spec| spec.mounts.push(bind(empty.path(), "/usr/sbin/criu", "ro"))))
        });
        mend(broken?, RUNS, UNPROTECTED, "criu cannot be run")
    });
    table.case("read-only volume", || {
        let broken = Broken::new(&SINGLE, |pod, volume| {
            let mount = bind(volume.path(), "/read-only", "ro");
            Ok(pod.only_config("imageDir: /read-only/job-0").with(|spec| spec.mounts.push(mount)))
        });
        mend(broken?, RUNS, UNPROTECTED, "Read-only file system")
    });
    table.case("full volume", || {
        let broken = Broken::on(Volume::of_size(4)?, &SINGLE, |pod, _| Ok(pod));
        mend(broken?, NOT_PROTECTED, UNPROTECTED, "free and the checkpoint needs about")
    });
    table.case("no volume", || {
        let broken = Broken::new(&SINGLE, |pod, _| Ok(pod.only_config("imageDir: /nowhere/job-0")));
        mend(broken?, RUNS, UNPROTECTED, "/nowhere does not exist")
    });
    table.case("no volume at the image directory", || {
        let broken = Broken::new(&SINGLE, |pod, _| Ok(pod.only_config("imageDir: /srv/job-0")));
        mend(broken?, RUNS, UNPROTECTED, "is on the container's own file system")
    });
    table.case("no image directory", || {
        let broken = Broken::new(&SINGLE, |pod, _| Ok(pod.only_config("keepGenerations: 2\n")));
        mend(broken?, RUNS, UNPROTECTED, "no imageDir is configured")
    });
    table.case("a traced process", || {
        let broken = Broken::new(&["python3", "/programs/traced.py"], |pod, _| Ok(pod));
        mend(broken?, NOT_PROTECTED, UNPROTECTED, "is traced by process")
    });
    table.case("a file that stays behind", || {
        let open = "import time\nkept = open('/scratch/state', 'w+')\nkept.write('1')\nkept.flush()\nwhile True: time.sleep(1)";
        let broken = Broken::new(&["python3", "-c", open], |pod, _| {
            Ok(pod.empty_dir("/scratch").config("carry: {emptyDirs: false}"))
        });
        mend(broken?, NOT_PROTECTED, UNPROTECTED, "/scratch/state")
    });
    table.case("a static program", || {
        let program = compiled("waits/static.c")?;
        let broken = Broken::new(&["/static", "until"], |pod, _| {
            Ok(pod.with(|spec| spec.mounts.push(bind(&program, "/static", "ro"))))
        });
        mend(broken?, "linked statically", WARNED, "linked statically")
    });
    table.case("a loopback interface that is down", || {
        let broken = Broken::new(&SINGLE, |pod, _| Ok(pod.with(|spec| spec.loopback = false)));
        mend(broken?, RUNS, UNPROTECTED, "the loopback interface of the pod's network is down")
    });
    table.case("a directory that is used for something else", || {
        let broken = Broken::new(&SINGLE, |pod, volume| {
            fs::write(volume.path().join("theirs"), "something")?;
            Ok(pod.set_config("imageDir: /checkpoints"))
        });
        mend(broken?, RUNS, UNPROTECTED, "(theirs)")
    });
    table.case("a directory that everybody can write", || {
        let broken = Broken::new(&SINGLE, |pod, volume| {
            fs::create_dir(volume.path().join("job-0"))?;
            fs::set_permissions(volume.path().join("job-0"), Permissions::from_mode(0o777))?;
            Ok(pod)
        });
        mend(broken?, RUNS, WARNED, "can be written by everybody")
    });
    table.case("a volume of root's", || {
        let broken = Broken::new(&SINGLE, |pod, volume| {
            fs::set_permissions(volume.path(), Permissions::from_mode(0o755))?;
            Ok(pod.ordinary_user(1000)?.with(|spec| spec.volume_group = None))
        });
        mend(broken?, RUNS, UNPROTECTED, "Permission denied")
    });
    table.case("connections within the program", || {
        let broken = Broken::new(&["python3", "/programs/loopback.py", "many4:3"], |pod, _| Ok(pod));
        mend(broken?, "a checkpoint closes ", WARNED, "within the program")
    });
    table.case("a socket of MPTCP", || {
        let program = compiled("listener.go")?;
        let broken = Broken::new(&["/server"], |pod, _| {
            let mount = bind(&program, "/server", "ro");
            Ok(pod.config("multipathTcp: true").with(|spec| spec.mounts.push(mount)))
        });
        mend(broken?, NOT_PROTECTED, UNPROTECTED, "a socket of MPTCP")
    });
    table.case("a process with rights of its own", || {
        let layer = with_more_rights()?;
        let command = ["sh", "-c", "/more-rights 1000 & exec \"$@\"", "sh", SINGLE[0], SINGLE[1]];
        let broken = Broken::new(&command, |pod, _| Ok(pod.ordinary_user(1000)?.layer(layer.path())));
        mend(broken?, NOT_PROTECTED, UNPROTECTED, "has capabilities of its own")
    });
    table.case("a watched directory that stays behind", || {
        let broken = Broken::new(&["python3", "/programs/watcher.py", "/srv/left"], |pod, _| {
            Ok(pod.config("carry: {exclude: [/srv/left]}"))
        });
        mend(broken?, NOT_PROTECTED, UNPROTECTED, "watches /srv/left")
    });
    table.case("more than may go along", || {
        let write = "head -c 3000000 /dev/zero >/scratch/much; exec \"$@\"";
        let broken = Broken::new(&[&["sh", "-c", write, "sh"][..], &SINGLE].concat(), |pod, _| {
            Ok(pod.empty_dir("/scratch").config("carry: {maxBytes: 1MiB}"))
        });
        mend(broken?, NOT_PROTECTED, UNPROTECTED, "carry.maxBytes is")
    });
    table.finish()
}

/// Some remedies are no line of the pod.
#[test]
fn what_is_to_be_done_elsewhere_is_said_with_all_that_it_takes() -> Result<()> {
    let mut table = Table::new("remedies outside of the pod");
    table.case("root is nobody on the volume", || {
        // Of a user whom the pod's user namespace does not have, as of one whom NFS makes nobody.
        let (volume, theirs) = (Volume::new()?, Volume::new()?);
        chown(theirs.path(), Some(70_000), Some(70_000))?;
        let mount = bind(theirs.path(), "/theirs", "rw");
        let pod = Pod::new(&volume, "node-a", &SINGLE).only_config("imageDir: /theirs/job-0").with(|spec| {
            spec.user_namespace = true;
            spec.mounts.push(mount);
        });
        says(
            &pod,
            RUNS,
            &["/theirs/job-0: Permission denied", "is of user 65534", "no_root_squash", "hostUsers: false"],
        )
    });
    table.case("a ring by an instruction", || {
        let volume = Volume::new()?;
        let pod = Pod::new(&volume, "node-a", &["python3", "/programs/rings.py", "instruction"]);
        says(
            &pod,
            "a ring is made",
            &["has a ring of io_uring", "write  sysctl -w kernel.io_uring_disabled=2  # as root on the node"],
        )
    });
    table.case("a volume that is used for something else", || {
        let volume = Volume::new()?;
        fs::write(volume.path().join("theirs"), "something")?;
        let pod = Pod::new(&volume, "node-a", &SINGLE).only_config("imageDir: /checkpoints");
        says(&pod, RUNS, &["(theirs)", "write  imageDir: /checkpoints/crik-${POD_NAME}"])
    });
    table.finish()
}

fn says(pod: &Pod, ready: &str, parts: &[&str]) -> Result<String> {
    let running = pod.start()?;
    running.stderr.wait_for(ready).with_context(|| running.transcript())?;
    let (code, out, err) = running.exec(&["crik", "doctor"])?;
    println!("{out}");
    ensure!(code == Some(UNPROTECTED), "{code:?}\n{out}{err}");
    for part in parts {
        ensure!(out.contains(part), "{part:?} is not in\n{out}{err}");
    }
    Ok(out.lines().next().unwrap_or_default().to_owned())
}
