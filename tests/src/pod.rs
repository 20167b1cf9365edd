//! Pods: real OCI containers, run by runc as a kubelet's runtime would run them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::build::{cargo_bin, workspace};
use crate::command::run;
use crate::network::Network;
use crate::output::Output;
use crate::rootfs::rootfs;
use crate::spec::Spec;
use crate::volume::Volume;
use crate::wait::wait_for;

/// What a pod is made from. Start it as often as you like; each time its container is started anew, as the kubelet does when
/// it has ended.
#[derive(Clone)]
pub struct Pod {
    spec: Spec,
    config: String,
    hosts: String,
    volume: PathBuf,
    binary: Option<PathBuf>,
    uid: String,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Pod {
    /// A pod named `job-0` on `node`, which runs `command` under `crik` with the image directory `/checkpoints/job-0`.
    pub fn new(volume: &Volume, node: &str, command: &[&str]) -> Self {
        let mut spec = Spec::new("job-0", node);
        spec.command(&["crik", "run", "--"], command);
        Self {
            spec,
            config: "imageDir: /checkpoints/${POD_NAME}\n".to_owned(),
            hosts: String::new(),
            volume: volume.path().into(),
            binary: None,
            uid: uid(),
        }
    }

    /// The pod that takes this one's place: the same in all but its uid.
    #[must_use]
    pub fn replacement(&self) -> Self {
        Self { uid: uid(), ..self.clone() }
    }

    /// The same pod with another volume in the place of its own.
    #[must_use]
    pub fn on(&self, volume: &Volume) -> Self {
        Self { volume: volume.path().into(), ..self.clone() }
    }

    /// Adds lines to the configuration.
    #[must_use]
    pub fn config(mut self, yaml: &str) -> Self {
        self.config += yaml;
        self.config.push('\n');
        self
    }

    /// Replaces the configuration.
    #[must_use]
    pub fn only_config(mut self, yaml: &str) -> Self {
        yaml.clone_into(&mut self.config);
        self
    }

    /// Changes the container.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Spec)) -> Self {
        change(&mut self.spec);
        self
    }

    /// Uses another build of `crik`.
    #[must_use]
    pub fn binary(mut self, path: &Path) -> Self {
        self.binary = Some(path.into());
        self
    }

    /// Connects it to this machine.
    #[must_use]
    pub fn network(mut self, network: &Network) -> Self {
        self.spec.network = Some(network.path());
        self
    }

    /// Names for addresses, in the form of hosts(5).
    #[must_use]
    pub fn hosts(mut self, lines: &str) -> Self {
        self.hosts += lines;
        self
    }

    /// Starts a container.
    ///
    /// # Errors
    /// A tool is missing, or runc refuses.
    pub fn start(&self) -> Result<Running> {
        // The runtime's shim is a subreaper, so that a container's exit status comes to it; so are we.
        nix::sys::prctl::set_child_subreaper(true)?;
        let id = format!("crik-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let bundle = Bundle::new(&id)?;
        let binary = self.binary.clone().map_or_else(|| cargo_bin("crik-agent", "crik", &[]), Ok)?;
        fs::write(bundle.path("config.yaml"), &self.config)?;
        let [hosts, termination_log] = self.kubelet_files(&bundle)?;
        let mounts = [
            (hosts, "/etc/hosts", "rw"),
            (termination_log, "/dev/termination-log", "rw"),
            (binary, "/usr/local/bin/crik", "ro"),
            (bundle.path("config.yaml"), "/etc/crik/config.yaml", "ro"),
            (workspace().join("tests/programs"), "/programs", "ro"),
            (self.volume.clone(), crate::volume::MOUNT, "rw"),
        ];
        let spec = self.spec.to_oci(&bundle.path("root"), &mounts, &id);
        fs::write(bundle.path("config.json"), serde_json::to_vec(&spec)?)?;
        Running::launch(bundle)
    }

    /// The files that a kubelet mounts into every container from the pod's own directory, whose name has the pod's uid.
    fn kubelet_files(&self, bundle: &Bundle) -> Result<[PathBuf; 2]> {
        let pod = bundle.path("pods").join(&self.uid);
        let files = [pod.join("etc-hosts"), pod.join("containers/app/termination-log")];
        for file in &files {
            fs::create_dir_all(file.parent().context("no parent")?)?;
            fs::write(file, "")?;
        }
        fs::write(&files[0], &self.hosts)?;
        Ok(files)
    }
}

/// Another one for each pod.
fn uid() -> String {
    format!("uid-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A directory with a container's root file system and specification.
struct Bundle {
    id: String,
    dir: tempfile::TempDir,
}

impl Bundle {
    /// The root file system is a layer over the common one, as a container runtime makes it.
    fn new(id: &str) -> Result<Self> {
        let lower = rootfs()?;
        let bundle = Self {
            id: id.to_owned(),
            dir: tempfile::Builder::new().prefix("crik-pod-").tempdir_in("/var/tmp")?,
        };
        for name in ["root", "upper", "work"] {
            fs::create_dir(bundle.path(name))?;
        }
        let layers = format!(
            "lowerdir={},upperdir={},workdir={}",
            lower.display(),
            bundle.path("upper").display(),
            bundle.path("work").display()
        );
        mount(
            Some("overlay"),
            &bundle.path("root"),
            Some("overlay"),
            MsFlags::empty(),
            Some(layers.as_str()),
        )
        .context("cannot mount an overlay")?;
        Ok(bundle)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = run("runc", &["delete", "--force", &self.id]);
        let _ = umount2(&self.path("root"), MntFlags::MNT_DETACH);
    }
}

/// A container that was started. Whatever is left of it is ended and removed when this is dropped.
pub struct Running {
    init: Pid,
    status: Option<i32>,
    /// What came on standard output.
    pub stdout: Output,
    /// What came on standard error, the agent's log among it.
    pub stderr: Output,
    /// When runc was called.
    pub started: Instant,
    bundle: Bundle,
}

/// A process of a container, as it looks from inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id in the container.
    pub pid: i32,
    /// Its id on this machine.
    pub host_pid: i32,
    /// Its program's name.
    pub name: String,
    /// Its state, as ps shows it.
    pub state: char,
}

impl Running {
    fn launch(bundle: Bundle) -> Result<Self> {
        let (stdout, to_stdout) = Output::new()?;
        let (stderr, to_stderr) = Output::new()?;
        let errors = bundle.path("runc.log");
        let started = Instant::now();
        let status = Command::new("runc")
            .arg("--log")
            .arg(&errors)
            .args(["run", "--detach", "--pid-file"])
            .arg(bundle.path("pid"))
            .arg("--bundle")
            .arg(bundle.dir.path())
            .arg(&bundle.id)
            .stdin(Stdio::null())
            .stdout(to_stdout)
            .stderr(to_stderr)
            .status()
            .context("runc is missing; apt-get install runc")?;
        ensure!(status.success(), "runc: {}", fs::read_to_string(&errors).unwrap_or_default());
        let pid = fs::read_to_string(bundle.path("pid"))?.parse()?;
        Ok(Self { init: Pid::from_raw(pid), status: None, stdout, stderr, started, bundle })
    }

    /// Sends a signal to the container's first process, as a runtime does.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        ensure!(self.status.is_none(), "the container has ended");
        Ok(kill(self.init, signal)?)
    }

    /// Sends a signal that nix has no name for.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal_number(&self, signal: i32) -> Result<()> {
        ensure!(self.status.is_none(), "the container has ended");
        // SAFETY: kill(2) takes two numbers.
        nix::errno::Errno::result(unsafe { libc::kill(self.init.as_raw(), signal) })?;
        Ok(())
    }

    /// Runs a command in the container, as `kubectl exec` does; returns its exit code and what it printed on standard output
    /// and standard error.
    ///
    /// # Errors
    /// runc refuses.
    pub fn exec(&self, command: &[&str]) -> Result<(Option<i32>, String, String)> {
        let output = Command::new("runc").args(["exec", &self.bundle.id]).args(command).output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((output.status.code(), text(&output.stdout), text(&output.stderr)))
    }

    /// Waits for the container's end and returns its exit code.
    ///
    /// # Errors
    /// It does not end in time.
    pub fn wait(&mut self) -> Result<i32> {
        let code = wait_for("the container to end", || self.poll()).with_context(|| self.state())?;
        self.stdout.wait_for_end()?;
        self.stderr.wait_for_end()?;
        Ok(code)
    }

    /// Waits until the program has written `count` lines.
    ///
    /// # Errors
    /// It has not in time; the message has all that was said.
    pub fn wait_for_lines(&self, count: usize) -> Result<()> {
        self.stdout.wait_for_lines(count).map_err(|error| error.context(self.transcript()))
    }

    /// SIGTERM, then the exit code.
    ///
    /// # Errors
    /// It does not end in time.
    pub fn stop(&mut self) -> Result<i32> {
        self.signal(Signal::SIGTERM)?;
        self.wait()
    }

    /// The exit code, if it has ended.
    pub fn poll(&mut self) -> Option<i32> {
        if self.status.is_none() {
            self.status = match waitpid(self.init, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(_, code)) => Some(code),
                Ok(WaitStatus::Signaled(_, signal, _)) => Some(128 + signal as i32),
                _ => None,
            };
        }
        self.status
    }

    /// All processes of the container.
    pub fn processes(&self) -> Vec<Process> {
        let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let Some(ours) = namespace(&self.init.to_string()) else { return Vec::new() };
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str().map(str::to_owned));
        pids.filter(|pid| namespace(pid).as_ref() == Some(&ours))
            .filter_map(|pid| Process::read(&pid))
            .collect()
    }

    /// All that was said and all that runs, for a failing test.
    pub fn state(&self) -> String {
        format!("{}\n--- processes\n{:#?}", self.transcript(), self.processes())
    }

    /// All that was said, for a failing test.
    pub fn transcript(&self) -> String {
        format!("--- stdout\n{}\n--- stderr\n{}", self.stdout.text(), self.stderr.text())
    }
}

impl Process {
    fn read(host_pid: &str) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{host_pid}/status")).ok()?;
        let field =
            |name: &str| Some(status.lines().find_map(|line| line.strip_prefix(name))?.trim().to_owned());
        Some(Self {
            pid: field("NSpid:")?.split_whitespace().next_back()?.parse().ok()?,
            host_pid: host_pid.parse().ok()?,
            name: field("Name:")?,
            state: field("State:")?.chars().next()?,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.poll().is_none() {
            let _ = kill(self.init, Signal::SIGKILL);
            let _ = wait_for("a killed container to end", || self.poll());
        }
        if std::thread::panicking() {
            eprintln!("{}", self.transcript());
        }
    }
}
