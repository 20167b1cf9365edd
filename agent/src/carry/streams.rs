//! The standard streams, which lead out of the tree.
//!
//! In a pod they are pipes to the container's runtime. Their other ends are in no image, so the next pod's own pipes
//! take their place: CRIU finds the old ones by inode (`--inherit-fd fd[N]:pipe:[INODE]`).

use std::fs;
use std::os::fd::RawFd;
use std::process::Stdio;

use crik_store::generation::tree_facts::StdioMap;

/// The agent's own streams, which the tree shares.
pub fn current() -> StdioMap {
    of(std::process::id().cast_signed())
}

/// Those of another process.
pub fn of(pid: i32) -> StdioMap {
    StdioMap([0, 1, 2].map(|fd| link(pid, fd)))
}

/// Which of our descriptors stands in for which pipe of the image. Standard output and error may be one pipe; the
/// first descriptor then serves for both.
pub fn inherited(streams: &StdioMap) -> Vec<(RawFd, String)> {
    let mut pairs: Vec<(RawFd, String)> = Vec::new();
    for (fd, link) in (0..).zip(&streams.0) {
        if link.starts_with("pipe:[") && !pairs.iter().any(|(_, known)| known == link) {
            pairs.push((fd, link.clone()));
        }
    }
    pairs
}

/// The streams that no image can hold, with what they are: files, and terminals, that were opened outside the container.
pub fn unfreezable(streams: &StdioMap) -> Vec<String> {
    let named = ["standard input", "standard output", "standard error"].iter().zip(&streams.0);
    named
        // What is closed has none.
        .filter(|(_, link)| {
            !link.is_empty() && !link.starts_with("pipe:[") && *link != NULL && !is_terminal(link)
        })
        .map(|(name, link)| format!("{name} is {link}"))
        .collect()
}

const NULL: &str = "/dev/null";

/// The container's own, as the runtime opens it there.
fn is_terminal(link: &str) -> bool {
    link.starts_with("/dev/pts/") || link == "/dev/console"
}

fn link(pid: i32, fd: RawFd) -> String {
    fs::read_link(format!("/proc/{pid}/fd/{fd}"))
        .map(|link| link.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// The stream to give to the application in place of `fd`. A runtime opens `/dev/null` outside the container, where
/// CRIU cannot look its mount up, so the application gets the container's own.
pub fn for_application(fd: RawFd) -> Stdio {
    if current().0.get(fd.unsigned_abs() as usize).is_some_and(|link| link == NULL) {
        Stdio::null()
    } else {
        Stdio::inherit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(links: [&str; 3]) -> StdioMap {
        StdioMap(links.map(str::to_owned))
    }

    #[test]
    fn each_pipe_is_inherited_once() {
        let pairs = inherited(&map(["/dev/null", "pipe:[7]", "pipe:[7]"]));
        assert_eq!(pairs, [(1, "pipe:[7]".to_owned())]);
        assert_eq!(inherited(&map(["pipe:[6]", "pipe:[7]", "pipe:[8]"])).len(), 3);
    }

    #[test]
    fn what_was_opened_outside_the_container_is_named() {
        let problems = unfreezable(&map(["/dev/null", "/pts/0", "pipe:[8]"]));
        assert_eq!(problems, ["standard output is /pts/0"]);
        assert!(unfreezable(&map(["/dev/pts/0", "/dev/pts/0", "/dev/console"])).is_empty());
    }
}
