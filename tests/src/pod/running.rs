//! A container that runs: its signals, its processes, what it says and how it ends.

use std::fs::{self, File};
use std::io::{Write as _, pipe};
use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::process::Stdio;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::bundle::Bundle;
use super::console::Console;
use super::node::Node;
use super::sandbox::Sandbox;
use super::spec::Input;
use crate::output::Output;
use crate::tools::runc;
use crate::wait::{wait_for, wait_to_clean_up};

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
    /// Where is typed.
    keyboard: Option<File>,
    bundle: Bundle,
    /// Outlives all that is in it.
    pod: Arc<Sandbox>,
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

/// Of /proc/PID/status: who a process is and what it may do.
const RIGHTS: [&str; 10] = [
    "Uid:",
    "Gid:",
    "Groups:",
    "NoNewPrivs:",
    "Seccomp:",
    "CapInh:",
    "CapPrm:",
    "CapEff:",
    "CapBnd:",
    "CapAmb:",
];

impl Running {
    pub(super) fn launch(bundle: Bundle, pod: Arc<Sandbox>, input: Input) -> Result<Self> {
        let (mut stdout, to_stdout) = Output::new()?;
        let (mut stderr, to_stderr) = Output::new()?;
        let console =
            (input == Input::Terminal).then(|| Console::listen(&bundle.path("console"))).transpose()?;
        let (stdin, mut keyboard) = match input {
            Input::Pipe => {
                let (read, write) = pipe()?;
                (Stdio::from(read), Some(File::from(OwnedFd::from(write))))
            }
            Input::None | Input::Terminal => (Stdio::null(), None),
        };
        let errors = bundle.path("runc.log");
        let started = Instant::now();
        let status = runc(&["--log"])?
            .arg(&errors)
            .args(["run", "--detach", "--pid-file"])
            .arg(bundle.path("pid"))
            .args(console.iter().flat_map(Console::option))
            .arg("--bundle")
            .arg(bundle.dir.path())
            .arg(&bundle.id)
            .stdin(stdin)
            .stdout(to_stdout)
            .stderr(to_stderr)
            .status()
            .context("runc")?;
        ensure!(status.success(), "runc: {}", fs::read_to_string(&errors).unwrap_or_default());
        let pid = fs::read_to_string(bundle.path("pid"))?.parse()?;
        if let Some(console) = console {
            let terminal = console.accept()?;
            // Whatever is written comes out of it, the log too.
            stdout = Output::of_terminal(terminal.try_clone()?);
            stderr = stdout.clone();
            keyboard = Some(terminal);
        }
        Ok(Self { init: Pid::from_raw(pid), status: None, stdout, stderr, started, keyboard, bundle, pod })
    }

    /// Types this, as `kubectl attach --stdin` does.
    ///
    /// # Errors
    /// It has neither a terminal nor a pipe for its input.
    pub fn type_in(&mut self, text: &str) -> Result<()> {
        Ok(self.keyboard.as_mut().context("nobody can type")?.write_all(text.as_bytes())?)
    }

    /// Changes the size of its terminal, as `kubectl attach --tty` does.
    ///
    /// # Errors
    /// It has none.
    pub fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let keyboard = self.keyboard.as_ref().context("no terminal")?;
        // SAFETY: the ioctl(2) reads a structure of its own.
        nix::errno::Errno::result(unsafe {
            libc::ioctl(keyboard.as_raw_fd(), libc::TIOCSWINSZ, &raw const size)
        })?;
        Ok(())
    }

    /// The node that it runs on.
    pub fn node(&self) -> &Node {
        &self.pod.node
    }

    /// Its pod's host name.
    pub fn host_name(&self) -> &str {
        &self.pod.host_name
    }

    /// The pod's addresses by which this machine reaches it; none if it has no link.
    pub fn addresses(&self) -> Option<[IpAddr; 2]> {
        let link = self.pod.link.as_ref()?;
        Some([link.address().parse().ok()?, link.address6().parse().ok()?])
    }

    /// "job-0-1f3c2 on node-b": how the agents of other pods call it.
    pub fn place(&self) -> String {
        format!("{} on {}", self.pod.host_name, self.pod.node.name)
    }

    /// Sends a signal to the container's first process, as a runtime does. With a SIGTERM the pod is deleted: what is started
    /// in its place is another one.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        ensure!(self.status.is_none(), "the container has ended");
        if signal == Signal::SIGTERM {
            self.pod.delete();
        }
        Ok(kill(self.init, signal)?)
    }

    /// Sends a signal to the container's first process from within, as somebody does who wants something of the program and not its stop.
    ///
    /// # Errors
    /// It has ended.
    pub fn send(&self, signal: Signal) -> Result<()> {
        let name = signal.as_str().trim_start_matches("SIG");
        let (code, _, said) = self.exec(&["sh", "-c", &format!("kill -{name} 1")])?;
        ensure!(code == Some(0), "no signal was sent: {said}");
        Ok(())
    }

    /// Ends the container as the kubelet does for a liveness probe that failed: its pod stays.
    ///
    /// # Errors
    /// It has ended, or does not end in time.
    pub fn end_for_a_probe(&mut self) -> Result<i32> {
        kill(self.init, Signal::SIGTERM)?;
        self.wait()
    }

    /// What `kubectl describe pod` shows of the container's end.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn termination_message(&self) -> Result<String> {
        Ok(fs::read_to_string(self.pod.termination_log())?)
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

    /// Ends the container as the kubelet does that deletes its pod, by the signal that its image or its pod names for that, and returns the
    /// exit code.
    ///
    /// # Errors
    /// It has ended, or does not end in time.
    pub fn stop_by(&mut self, signal: i32) -> Result<i32> {
        self.pod.delete();
        self.signal_number(signal)?;
        self.wait()
    }

    /// Runs a command in the container, as `kubectl exec` does; returns its exit code and what it printed on standard output
    /// and standard error.
    ///
    /// # Errors
    /// runc refuses.
    pub fn exec(&self, command: &[&str]) -> Result<(Option<i32>, String, String)> {
        let output = runc(&["exec", &self.bundle.id])?.args(command).output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((output.status.code(), text(&output.stdout), text(&output.stderr)))
    }

    /// Starts a command in the container that goes on, as a session of `kubectl exec` does: no process of the container is its parent. It
    /// ends with the container.
    ///
    /// # Errors
    /// runc cannot be run, or the command does not begin.
    pub fn exec_on(&self, command: &[&str]) -> Result<()> {
        // runc hangs if the container ends while it is about to enter it.
        let directory = tempfile::tempdir_in(&self.bundle.dir)?;
        let begun = directory.path().join("pid");
        let mut runc = runc(&["exec", "--pid-file", &begun.to_string_lossy(), &self.bundle.id])?;
        runc.args(command).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut session = runc.spawn()?;
        wait_for("a command to begin in the container", || {
            (begun.exists() || !matches!(session.try_wait(), Ok(None))).then_some(())
        })?;
        // The container's namespace is not gone before somebody has waited for all that was in it.
        thread::spawn(move || session.wait());
        Ok(())
    }

    /// Changes the ConfigMap or Secret that its pod has at `path`, as a kubelet does in a pod that runs.
    ///
    /// # Errors
    /// There is none.
    pub fn update(&self, path: &str, files: &[(&str, &str)]) -> Result<()> {
        self.pod.update(path, &super::owned(files))
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

    /// How many processes of the container are in PID namespaces below its own.
    pub fn nested_processes(&self) -> usize {
        let group = |pid: &str| fs::read_to_string(format!("/proc/{pid}/cgroup")).ok();
        let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let init = self.init.to_string();
        let (Some(our_group), Some(ours)) = (group(&init), namespace(&init)) else { return 0 };
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str().map(str::to_owned));
        pids.filter(|pid| group(pid).as_ref() == Some(&our_group))
            .filter(|pid| namespace(pid).is_some_and(|namespace| namespace != ours))
            .count()
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
    /// Who it is and what it may do, as lines of its status.
    ///
    /// # Errors
    /// It has ended.
    pub fn rights(&self) -> Result<String> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.host_pid))?;
        let lines = status.lines().filter(|line| RIGHTS.iter().any(|field| line.starts_with(field)));
        Ok(lines.collect::<Vec<_>>().join("\n"))
    }

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
            let _ = wait_to_clean_up("a killed container to end", || self.poll());
        }
        if thread::panicking() {
            eprintln!("{}", self.transcript());
        }
    }
}
