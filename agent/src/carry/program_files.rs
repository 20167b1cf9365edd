//! The files that the application was started from, and whether they are still the same: a resumed tree goes on with the
//! code that it has in memory, so it must not be taken for a later release. CRIU itself compares only what is mapped, and a
//! script is not.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crik_store::generation::digest;
use crik_store::generation::own_values::OwnValues;
use crik_store::generation::pod_facts::PodFacts;
use crik_store::generation::program_digests::{self, ProgramDigests};
use tokio::task::spawn_blocking;

use crate::base::limits;
use crate::tree::process::fd_info::FdInfo;
use crate::tree::process::which;

/// What is known of what one tree was started from. To hash its files takes a while, so that may become known later.
#[derive(Debug, Clone, Default)]
pub struct Programs {
    files: Arc<OnceLock<ProgramDigests>>,
    pod: PodFacts,
}

impl Programs {
    /// Those of a tree that was started in the past.
    pub fn of_the_past(digests: ProgramDigests) -> Self {
        Self { pod: digests.pod.clone(), files: Arc::new(digests.into()) }
    }

    /// The facts; those of files are none as long as they are not known: nothing waits for them.
    pub fn known(&self) -> ProgramDigests {
        ProgramDigests { pod: self.pod.clone(), ..self.files.get().cloned().unwrap_or_default() }
    }
}

/// Tells one state of a file from another without reading it.
#[derive(Debug, PartialEq, Eq)]
struct Stamp([i64; 7]);

impl Stamp {
    fn of(file: &Metadata) -> Self {
        let numbers = [file.dev(), file.ino(), file.size()].map(u64::cast_signed);
        let [dev, ino, size] = numbers;
        Self([dev, ino, size, file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()])
    }
}

/// The files of an application that is about to be started, as they are now.
#[derive(Debug)]
pub struct Noted(Vec<(PathBuf, Stamp)>);

/// Notes the files of `command`: its executable, the interpreter if that is a script, and every argument that is a regular
/// file of the container's image. What lies on a volume is data.
pub fn note(command: &[OsString]) -> Noted {
    let executable = command.first().and_then(|name| which::resolve(name).ok());
    let interpreters = executable.iter().flat_map(|path| interpreters(path));
    let arguments = command.iter().skip(1).map(PathBuf::from);
    let all = executable.iter().cloned().chain(interpreters).chain(arguments);
    Noted(all.filter_map(|path| Some((stamp(&path)?, path))).map(|(stamp, path)| (path, stamp)).collect())
}

impl Noted {
    /// Hashes them, beside the application that runs by now, in a pod with these values of its own, which gave it this.
    pub fn hash(self, own: OwnValues, pod: PodFacts) -> Programs {
        let programs = Programs { pod, ..Programs::default() };
        let known = Arc::clone(&programs.files);
        spawn_blocking(move || known.set(self.digests(&own)));
        programs
    }

    /// Without those that changed since they were noted: what the application was started from cannot be learned any more.
    fn digests(self, own: &OwnValues) -> ProgramDigests {
        let mut digests = ProgramDigests::default();
        for (path, noted) in self.0 {
            let (facts, of_any_pod) =
                (digest::hash_file(&path).ok(), program_digests::of_any_pod(&path, own));
            let (Some(facts), Some(name)) = (facts, path.to_str()) else { continue };
            if stamp(&path).as_ref() == Some(&noted) {
                digests.of_any_pod.extend(of_any_pod.map(|hash| (name.to_owned(), hash)));
                digests.facts.insert(name.to_owned(), facts);
            }
        }
        digests
    }
}

/// The state of a regular file on the root file system; none for anything else.
fn stamp(path: &Path) -> Option<Stamp> {
    // Before it is opened: a named pipe would wait for a writer.
    fs::metadata(path).ok().filter(Metadata::is_file)?;
    let file = File::open(path).ok()?;
    let on_root = mount(&file).ok()? == mount(&File::open("/").ok()?).ok()?;
    on_root.then(|| file.metadata().ok().map(|file| Stamp::of(&file)))?
}

/// The id of the mount that a file was opened on (proc(5)). Device numbers would not do: an overlay whose layers lie on
/// several file systems shows theirs.
fn mount(file: &File) -> io::Result<String> {
    let info = FdInfo::of("self", file.as_raw_fd().to_string())?;
    info.field("mnt_id").map(str::to_owned).ok_or_else(|| io::Error::other("no mnt_id"))
}

/// The programs in a script's first line: the interpreter, and what it is told to run, as in `#!/usr/bin/env python3`.
fn interpreters(script: &Path) -> Vec<PathBuf> {
    let mut head = Vec::new();
    let read =
        File::open(script).and_then(|file| file.take(limits::SCRIPT_HEAD_BYTES).read_to_end(&mut head));
    let line = head.split(|byte| *byte == b'\n').next().and_then(|line| line.strip_prefix(b"#!"));
    let (Ok(_), Some(line)) = (read, line) else { return Vec::new() };
    let words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.filter_map(|word| which::resolve(OsStr::from_bytes(word)).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(command: &[&str]) -> Vec<PathBuf> {
        let command: Vec<OsString> = command.iter().map(OsString::from).collect();
        note(&command).0.into_iter().map(|(path, _)| path).collect()
    }

    #[test]
    fn the_executable_and_the_files_among_its_arguments_count() {
        let sh = which::resolve(OsStr::new("sh")).unwrap();
        assert_eq!(noted(&["sh", "/etc/passwd", "-c", "/no/such", "/etc"]), [sh, "/etc/passwd".into()]);
        assert_eq!(noted(&["/bin/sh", "/dev/null", "/proc/self/status"]), [PathBuf::from("/bin/sh")]);
    }

    #[test]
    fn a_scripts_interpreter_counts() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("script");
        fs::write(&script, "#!/usr/bin/env -S sh -e\nexit").unwrap();
        assert_eq!(interpreters(&script), ["/usr/bin/env".into(), which::resolve(OsStr::new("sh")).unwrap()]);
        fs::write(&script, "#!/bin/sh").unwrap();
        assert_eq!(interpreters(&script), [PathBuf::from("/bin/sh")]);
        assert!(interpreters(Path::new("/bin/sh")).is_empty());
    }

    #[test]
    fn a_file_that_changes_before_it_is_hashed_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("job.py");
        fs::write(&path, "one").unwrap();
        let before = Stamp::of(&fs::metadata(&path).unwrap());
        fs::write(&path, "longer").unwrap();
        assert!(Noted(vec![(path, before)]).digests(&OwnValues::default()).facts.is_empty());
    }
}
