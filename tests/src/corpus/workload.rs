//! What a workload's file says.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use toml::{Table, Value};

use crate::build::workspace;

/// A program of the corpus, as its file in `tests/workloads` describes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// The file's name.
    #[serde(skip)]
    pub name: String,
    /// What it is, in a line.
    pub about: String,
    /// Its heading in the report.
    pub group: Group,
    /// Its root file system, as [`crate::rootfs::Root::named`] knows it.
    pub root: String,
    /// What runs under `crik run --`.
    pub command: Vec<String>,
    /// The ordinary user that it runs as, instead of root.
    pub user: Option<u32>,
    /// `false` for a user namespace, with the capabilities that count in it alone.
    #[serde(default = "yes")]
    pub host_users: bool,
    /// Where it has a directory of the shared volume, which the next pod has too.
    pub data: Option<String>,
    /// Where it has directories that are empty in the next pod.
    #[serde(default)]
    pub empty_dirs: Vec<String>,
    /// Bytes of /dev/shm, instead of the runtime's 64 MiB.
    pub shm: Option<u64>,
    /// Its environment besides the usual one.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Lines of crik's configuration that it needs.
    pub config: Option<String>,
    /// Whether /workload is a ConfigMap.
    #[serde(default)]
    pub config_map: bool,
    /// A command that makes more of `files`, on this machine, once.
    pub build: Option<String>,
    /// How often it is moved in every test run, if one move does not show it.
    pub moves: Option<u32>,
    /// What is less in every test run than in `make corpus`: other values of these keys.
    pub quick: Option<Table>,
    /// It is at work by itself, so that nothing has to keep it busy while its pod is preempted.
    #[serde(default)]
    pub busy: bool,
    /// What the agent says of it, if it can take no checkpoint of it.
    pub refused: Option<String>,
    /// What has to be different for it to go on after all: other values of these keys.
    pub remedy: Option<Table>,
    /// How it is used from outside.
    pub scripts: Scripts,
    /// What it has in /workload.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
}

/// Under which heading a workload is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// What others connect to.
    Servers,
    /// Runtimes of languages.
    Languages,
    /// What Python people use.
    Python,
    /// What keeps data, and what computes with it.
    Data,
    /// What has a screen, and tools of developers.
    Desktop,
    /// What the kernel gives to a program.
    Kernel,
}

/// What is run in the container from outside of the tree, each by `sh -c`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scripts {
    /// Succeeds as soon as the program can be used.
    pub ready: String,
    /// Puts state into it.
    pub put: String,
    /// Succeeds if the state is there.
    pub check: String,
    /// Prints a number that the program makes larger, again and again or with each call.
    pub count: String,
    /// Keeps it busy while its pod is preempted.
    pub load: Option<String>,
}

fn yes() -> bool {
    true
}

impl Workload {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or says what means nothing.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)?;
        let workload: Self = toml::from_str(&text).with_context(|| format!("{}", path.display()))?;
        let remedy_of_nothing = workload.remedy.is_some() && workload.refused.is_none();
        ensure!(!remedy_of_nothing, "{}: a remedy, and nothing is refused", path.display());
        let built_map = workload.config_map && workload.build.is_some();
        ensure!(!built_map, "{}: a ConfigMap, and something is built", path.display());
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name, ..workload })
    }

    /// The same with its remedy, if it has one.
    ///
    /// # Errors
    /// The remedy names what is no key.
    pub fn remedied(&self) -> Result<Option<Self>> {
        let Some(remedy) = &self.remedy else { return Ok(None) };
        let remedied = self.with(remedy, &["refused", "remedy"]).context("its remedy")?;
        Ok(Some(remedied))
    }

    /// The same as it is in every test run.
    ///
    /// # Errors
    /// What is to be less is no key.
    pub fn quick(self) -> Result<Self> {
        let Some(less) = &self.quick else { return Ok(self) };
        self.with(less, &["quick"]).context("quick")
    }

    /// The same with other values of some keys, and without others.
    fn with(&self, other: &Table, without: &[&str]) -> Result<Self> {
        let mut table: Table = toml::from_str(&fs::read_to_string(self.path())?)?;
        without.iter().for_each(|key| drop(table.remove(*key)));
        table.extend(other.clone());
        let changed: Self = Value::Table(table).try_into()?;
        Ok(Self { name: self.name.clone(), ..changed })
    }

    /// Its file.
    pub(super) fn path(&self) -> PathBuf {
        directory().join(&self.name).with_extension("toml")
    }
}

/// All workloads, by name.
///
/// # Errors
/// A file cannot be read.
pub fn workloads() -> Result<Vec<Workload>> {
    let entries = fs::read_dir(directory())?.collect::<Result<Vec<_>, _>>()?;
    let paths = entries.into_iter().map(|entry| entry.path());
    let files = paths.filter(|path| path.extension().is_some_and(|kind| kind == "toml"));
    let mut all = files.map(|path| Workload::read(&path)).collect::<Result<Vec<_>>>()?;
    all.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(all)
}

fn directory() -> PathBuf {
    workspace().join("tests/workloads")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Workload> {
        let file = tempfile::Builder::new().suffix(".toml").tempfile()?;
        fs::write(file.path(), text)?;
        Workload::read(file.path())
    }

    #[test]
    fn a_mistake_is_named_with_its_file() {
        let error = read("about = 'x'\ncomand = ['x']").unwrap_err();
        assert!(
            format!("{error:#}").contains(".toml") && format!("{error:#}").contains("comand"),
            "{error:#}"
        );
    }

    #[test]
    fn each_is_busy_when_it_is_preempted() -> Result<()> {
        for one in workloads()? {
            ensure!(one.busy != one.scripts.load.is_some(), "{}: either `busy`, or a `load`", one.name);
        }
        Ok(())
    }

    #[test]
    fn what_is_not_refused_needs_no_remedy() {
        let text = "about = 'x'\ngroup = 'data'\nroot = 'small'\ncommand = ['x']\nremedy = { host_users = false }\n\
                    [scripts]\nready = ''\nput = ''\ncheck = ''\ncount = ''";
        assert!(read(text).unwrap_err().to_string().contains("nothing is refused"));
    }
}
