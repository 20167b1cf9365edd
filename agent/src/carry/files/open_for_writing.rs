//! Which files processes can write to without anybody being told: those that they have open, and those that they have mapped.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::watches::Unsure;

/// A file that somebody can write to.
#[derive(Debug)]
pub struct Writable {
    /// Its name, as the kernel shows it.
    pub path: PathBuf,
    /// What it is.
    pub meta: Metadata,
}

/// Who is to be asked: the ids of the processes that there are now.
pub type Who = fn() -> Vec<i32>;

/// All regular files that these processes have open for writing, or mapped so that what they write goes to the file, of those
/// that are `wanted` by their name: a volume that does not answer must not be asked for the others.
///
/// A process that is forked has what its parent has, so it goes round until there is none that was not asked: who has ended
/// meanwhile has left what it had to nobody else.
///
/// # Errors
/// A process cannot be asked.
pub fn open_for_writing(who: Who, wanted: impl Fn(&Path) -> bool) -> Result<Vec<Writable>, Unsure> {
    let (mut asked, mut search) = (BTreeSet::new(), Search { wanted: &wanted, found: Vec::new() });
    loop {
        let new: Vec<i32> = who().into_iter().filter(|pid| !asked.contains(pid)).collect();
        if new.is_empty() {
            return Ok(search.found);
        }
        for pid in new {
            asked.insert(pid);
            search.process(pid).map_err(|_| Unsure("a process does not show what it has open"))?;
        }
    }
}

/// All that are in sight.
pub fn everybody() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

struct Search<'a> {
    wanted: &'a dyn Fn(&Path) -> bool,
    found: Vec<Writable>,
}

impl Search<'_> {
    fn process(&mut self, pid: i32) -> io::Result<()> {
        let process = PathBuf::from(format!("/proc/{pid}"));
        if unless_ended(self.open_files(&process))?.is_none() {
            return Ok(());
        }
        let Some(maps) = unless_ended(fs::read(process.join("maps")))? else { return Ok(()) };
        // Names may be anything.
        for range in String::from_utf8_lossy(&maps).lines().filter_map(written_through) {
            unless_ended(self.note(&process.join("map_files").join(range)))?;
        }
        Ok(())
    }

    fn open_files(&mut self, process: &Path) -> io::Result<()> {
        for entry in fs::read_dir(process.join("fd"))? {
            let link = entry?.path();
            // The link has the rights with which the file was opened (proc(5)).
            let Some(meta) = unless_ended(link.symlink_metadata())? else { continue };
            if meta.permissions().mode() & 0o200 != 0 {
                unless_ended(self.note(&link))?;
            }
        }
        Ok(())
    }

    fn note(&mut self, link: &Path) -> io::Result<()> {
        let path = fs::read_link(link)?;
        if path.is_absolute() && (self.wanted)(&path) {
            let meta = fs::metadata(link)?;
            if meta.is_file() {
                self.found.push(Writable { path, meta });
            }
        }
        Ok(())
    }
}

/// The name in `map_files` of a shared mapping of a file, of a line of proc(5)'s `maps`. What has no inode is no file, and what is
/// not shared is the process's own. Whether it can be written to may change (mprotect(2)).
fn written_through(line: &str) -> Option<&str> {
    let mut words = line.split_ascii_whitespace();
    let (range, rights, inode) = (words.next()?, words.next()?.as_bytes(), words.nth(2)?);
    (rights.get(3) == Some(&b's') && inode != "0").then_some(range)
}

/// What ends meanwhile has nothing open any more.
fn unless_ended<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => Ok(None),
        other => other.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn own() -> Vec<i32> {
        vec![std::process::id().cast_signed()]
    }

    #[test]
    fn what_is_open_for_writing_is_found_and_what_is_read_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("read"), "x").unwrap();
        let (_written, _read) = (File::create(at("written")).unwrap(), File::open(at("read")).unwrap());
        let found = open_for_writing(own, |path| path.starts_with(dir.path())).unwrap();
        let has = |name: &str| found.iter().any(|file| file.path == at(name));
        assert!(has("written") && !has("read"));
        let written = found.iter().find(|file| file.path == at("written")).unwrap();
        assert_eq!(written.meta.ino(), fs::metadata(at("written")).unwrap().ino());
    }

    #[test]
    fn mappings_are_told_apart_as_the_kernel_shows_them() {
        let told = |line| written_through(line);
        assert_eq!(told("7f00-7f10 rw-s 00000000 00:2f 77 /srv/a b"), Some("7f00-7f10"));
        assert_eq!(told("7f00-7f10 -w-s 00000000 00:2f 77 /srv/a (deleted)"), Some("7f00-7f10"));
        assert_eq!(told("7f00-7f10 r--s 00000000 00:2f 77 /srv/a"), Some("7f00-7f10"));
        assert_eq!(told("7f00-7f10 rw-p 00000000 00:2f 77 /srv/a"), None);
        assert_eq!(told("7f00-7f10 rw-s 00000000 00:01 0 anon"), None);
    }
}
