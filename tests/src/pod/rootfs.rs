//! The root file systems of the pods: built once, kept outside the tree, named by what it is made from.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::build::workspace;
use crate::command::run;
use crate::harness::cache::{self, CACHE};

/// The root file system of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// Debian, Python and CRIU.
    Small,
    /// Those, and Node.js, Java and Ruby.
    Runtimes,
    /// What a script of this name in `tests/workloads/roots` makes: of the small one, or of that which a line `# base: NAME` in it names.
    Workloads(String),
}

/// What builds each.
pub(crate) const SMALL: &str = include_str!("../../rootfs.sh");
const RUNTIMES: &str = include_str!("../../runtimes.sh");

impl Root {
    /// The root file system, built if it is not there yet.
    ///
    /// # Errors
    /// It cannot be built; the message has the script's last words.
    pub fn path(&self) -> Result<PathBuf> {
        match self {
            Self::Small => built("rootfs", SMALL, SMALL, None),
            Self::Runtimes => built("runtimes", RUNTIMES, &self.made_from()?, Some(&Self::Small.path()?)),
            Self::Workloads(name) => {
                let (script, base) = (script(name)?, base(name)?);
                built(&format!("workloads-{name}"), &script, &self.made_from()?, Some(&base.path()?))
            }
        }
    }

    /// The one that a workload's file calls so.
    pub fn named(name: &str) -> Self {
        match name {
            "small" => Self::Small,
            "runtimes" => Self::Runtimes,
            other => Self::Workloads(other.to_owned()),
        }
    }

    /// All that decides what is in it.
    ///
    /// # Errors
    /// A script is not there.
    pub(crate) fn made_from(&self) -> Result<String> {
        Ok(match self {
            Self::Small => SMALL.to_owned(),
            Self::Runtimes => [RUNTIMES, SMALL].concat(),
            Self::Workloads(name) => script(name)? + &base(name)?.made_from()?,
        })
    }
}

fn script(name: &str) -> Result<String> {
    let path = workspace().join("tests/workloads/roots").join(format!("{name}.sh"));
    fs::read_to_string(&path).with_context(|| format!("{}", path.display()))
}

fn base(name: &str) -> Result<Root> {
    let script = script(name)?;
    let named = script.lines().find_map(|line| line.strip_prefix("# base: "));
    Ok(named.map_or(Root::Small, |name| Root::named(name.trim())))
}

/// What `script` makes of `base`, named by all that it is made from.
///
/// # Errors
/// It cannot be built; the message has the script's last words.
pub(crate) fn built(name: &str, script: &str, made_from: &str, base: Option<&Path>) -> Result<PathBuf> {
    let root = Path::new(CACHE).join(format!("{name}-{:016x}", fingerprint(made_from)));
    fs::create_dir_all(CACHE)?;
    let lock = File::create(root.with_extension("lock"))?;
    lock.lock()?;
    if !root.exists() {
        cache::sweep(Path::new(CACHE));
        build(&root, script, base).with_context(|| format!("cannot build the tests' {name}"))?;
    }
    cache::used(&root)?;
    Ok(root)
}

/// Under another name first, so that one that was interrupted is not taken for a whole one.
fn build(root: &Path, script: &str, base: Option<&Path>) -> Result<()> {
    let partial = root.with_extension("partial");
    let _ = fs::remove_dir_all(&partial);
    let log_path = root.with_extension("log");
    let log = File::create(&log_path)?;
    let status = Command::new("sh")
        .args(["-c", script, "build"])
        .arg(&partial)
        .args(base)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .status()?;
    let said = fs::read_to_string(&log_path).unwrap_or_default();
    let last: Vec<&str> = said.lines().rev().take(8).collect();
    ensure!(status.success(), "{}", last.into_iter().rev().collect::<Vec<_>>().join("\n"));
    Ok(fs::rename(&partial, root)?)
}

/// FNV-1a: only to tell one script from another.
pub(crate) fn fingerprint(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// An image layer with a program `more-rights`, which has a capability of its own, as ping(8) has, and does nothing.
///
/// # Errors
/// It cannot be made.
pub fn with_more_rights() -> Result<tempfile::TempDir> {
    let layer = tempfile::tempdir()?;
    fs::set_permissions(layer.path(), Permissions::from_mode(0o755))?;
    let program = layer.path().join("more-rights");
    fs::copy(Root::Small.path()?.join("usr/bin/sleep"), &program)?;
    run("setcap", &["cap_net_raw=ep", &program.to_string_lossy()])?;
    Ok(layer)
}
