//! Says which programs would find other inodes elsewhere than those that they have seen.

use std::path::Path;

use crik_store::generation::clock_facts::{Other, OtherKind};

use super::finding::{Effect, Finding};
use crate::carry::open_files;

/// What is to be said of files that go along and that processes write to which have no library, of which these are `others`.
pub fn finding(
    others: impl IntoIterator<Item = (i32, Other)>,
    goes_along: &dyn Fn(&Path) -> bool,
) -> Option<Finding> {
    let mut written = others.into_iter().filter_map(|(pid, other)| {
        let path = open_files::written(pid).into_iter().find(|path| goes_along(path))?;
        Some(told(pid, &other, &path))
    });
    let first = written.next()?;
    let more = match written.count() {
        0 => String::new(),
        more => format!(" ({more} more have such files)"),
    };
    Some(Finding::new(
        Effect::Danger,
        format!(
            "{first}, a file that has another inode in the next container{more}; who compares that, as SQLite without WAL and \
             watchers of logs do, takes it for another file, unless it is on a volume"
        ),
    ))
}

fn told(pid: i32, other: &Other, path: &Path) -> String {
    let why = match other.kind {
        OtherKind::Go => "of Go",
        OtherKind::Static => "linked statically",
        OtherKind::Bare => "started without crik's library",
    };
    format!("{} ({pid}, {why}) writes to {}", other.name, path.display())
}
