//! What is mounted in the container (proc(5), mountinfo).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Which part of its file system is seen.
    pub root: PathBuf,
    /// The kind of file system.
    pub kind: String,
    /// Whether nothing can be written there.
    pub read_only: bool,
    /// Options of the file system as a whole.
    pub options: String,
}

/// All mounts that are seen, by their path; of several at one path the last covers the others.
#[derive(Debug, Clone, Default)]
pub struct Mounts(BTreeMap<PathBuf, Mount>);

impl Mounts {
    /// Those of this process.
    ///
    /// # Errors
    /// There is no /proc.
    pub fn read() -> io::Result<Self> {
        Ok(Self::parse(&fs::read("/proc/self/mountinfo")?))
    }

    pub(in crate::carry) fn parse(text: &[u8]) -> Self {
        Self(text.split(|byte| *byte == b'\n').filter_map(parse).collect())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &Mount)> {
        self.0.iter().map(|(path, mount)| (path.as_path(), mount))
    }

    /// What is mounted at `path` itself.
    pub fn at(&self, path: &Path) -> Option<&Mount> {
        self.0.get(path)
    }

    /// Where the mount is mounted in which `path` is.
    pub fn of(&self, path: &Path) -> &Path {
        let found = path.ancestors().find_map(|ancestor| self.0.get_key_value(ancestor));
        found.map_or(Path::new("/"), |(at, _)| at)
    }

    /// Whether something is mounted at `path` or below it.
    pub fn any_below(&self, path: &Path) -> bool {
        self.0.range(path.to_owned()..).next().is_some_and(|(at, _)| at.starts_with(path))
    }
}

fn parse(line: &[u8]) -> Option<(PathBuf, Mount)> {
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [_, _, _, root, at, options, rest @ ..] = words.as_slice() else { return None };
    // Fields without a fixed number end with a dash.
    let dash = rest.iter().position(|word| *word == b"-")?;
    let kind = rest.get(dash + 1)?;
    let text = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
    let mount = Mount {
        root: unescape(root),
        kind: text(kind),
        read_only: options.split(|byte| *byte == b',').any(|option| option == b"ro"),
        options: rest.get(dash + 3).map(|word| text(word)).unwrap_or_default(),
    };
    Some((unescape(at), mount))
}

/// Blanks and backslashes are written as a backslash and three octal digits.
fn unescape(word: &[u8]) -> PathBuf {
    let (mut bytes, mut rest) = (Vec::new(), word);
    while let [first, after @ ..] = rest {
        let digits = after.get(..3).filter(|_| *first == b'\\');
        let escaped = digits.and_then(|d| u8::from_str_radix(std::str::from_utf8(d).ok()?, 8).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &after[3..] } else { after };
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEN: &[u8] = b"\
510 480 0:51 / / rw,relatime - overlay overlay rw,lowerdir=/a:/b,upperdir=/u,workdir=/w
511 510 0:53 / /proc rw,nosuid - proc proc rw
514 510 0:55 / /dev/shm rw,nosuid,nodev,noexec,relatime - tmpfs shm rw,size=65536k
520 510 8:1 /var/lib/kubelet/pods/u/volumes/kubernetes.io~empty-dir/s\\040p /scratch rw shared:1 master:2 - ext4 /dev/sda1 rw
521 510 0:60 / /var/run/secrets/kubernetes.io/serviceaccount ro,relatime - tmpfs tmpfs rw,size=8g
522 510 8:1 /x /data\\134 rw - ext4 /dev/sda1 rw
";

    #[test]
    fn mounts_are_read_as_the_kernel_writes_them() {
        let mounts = Mounts::parse(SEEN);
        let scratch = mounts.at(Path::new("/scratch")).unwrap();
        assert!(scratch.root.ends_with("kubernetes.io~empty-dir/s p"));
        assert_eq!((scratch.kind.as_str(), scratch.read_only), ("ext4", false));
        assert!(mounts.at(Path::new("/var/run/secrets/kubernetes.io/serviceaccount")).unwrap().read_only);
        assert_eq!(mounts.at(Path::new("/dev/shm")).unwrap().options, "rw,size=65536k");
        assert!(mounts.at(Path::new("/data\\")).is_some());
        assert_eq!(mounts.iter().count(), 6);
    }

    #[test]
    fn what_lies_on_what_is_known() {
        let mounts = Mounts::parse(SEEN);
        assert_eq!(mounts.of(Path::new("/scratch/a/b")), Path::new("/scratch"));
        assert_eq!(mounts.of(Path::new("/scratchy")), Path::new("/"));
        assert!(mounts.any_below(Path::new("/var/run")) && mounts.any_below(Path::new("/scratch")));
        assert!(!mounts.any_below(Path::new("/scratch/a")) && !mounts.any_below(Path::new("/va")));
    }
}
