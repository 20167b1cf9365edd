//! What would become of each thing that a program has open, if a checkpoint were taken now: what CRIU refuses, what is closed, what crik
//! takes along, and what is there again by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crik_store::generation::tree_facts::StdioMap;
use serde::Serialize;

use crate::base::edit::{Edit, Place, quoted};
use crate::carry::open_files::{NextContainer, Reach};
use crate::config::{Config, LoopbackConnections, UnixConnections};
use crate::tree::process::loopback;
use crate::tree::process::outside;
use crate::tree::process::remedies;
use crate::tree::process::snapshot::{self, Tree};
use crate::tree::process::sockets::{self, Tcp};
use crate::tree::process::unfreezable;
use crate::tree::process::unix_sockets::{self, UnixSockets};

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Fate {
    /// No checkpoint can be taken as long as it is there.
    Refused,
    /// What waits for a time of the clock may wait for longer.
    StandsStill,
    /// The program finds it closed.
    Closed,
    /// Crik takes it along, or puts the next pod's in its place.
    Carried,
    /// It is in the image, or the next container has the same.
    Kept,
}

impl Fate {
    /// For a table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "REFUSED",
            Self::StandsStill => "may stand still",
            Self::Closed => "closed",
            Self::Carried => "carried",
            Self::Kept => "kept",
        }
    }
}

/// A descriptor of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The process.
    pub pid: i32,
    /// Its program's name.
    pub process: String,
    /// The number; none for the process itself.
    pub fd: Option<i32>,
    /// What becomes of it.
    pub fate: Fate,
    /// What it is: a path, or a socket with its peer.
    pub what: String,
    /// What to do about it.
    pub remedy: Option<String>,
    /// What to write for it, and where.
    pub edits: Vec<Edit>,
}

/// What to do, and what to write for it.
struct Advice {
    told: &'static str,
    edit: Option<Edit>,
}

impl Advice {
    fn with(told: &'static str, place: Place, line: impl Into<String>) -> Self {
        Self { told, edit: Some(Edit::new(place, line)) }
    }
}

impl From<&'static str> for Advice {
    fn from(told: &'static str) -> Self {
        Self { told, edit: None }
    }
}

/// What becomes of a thing, what it is, and what to do about it.
type Judged = (Fate, String, Option<Advice>);

/// What a look needs to know besides the descriptor itself.
pub struct Judge<'a> {
    next: NextContainer<'a>,
    streams: StdioMap,
    /// What the tree has open of UNIX sockets.
    own: BTreeSet<u32>,
    datagram: BTreeSet<u32>,
    unix: Option<UnixSockets>,
    /// Its streams that lead out of it, and who has the other end.
    outside: BTreeMap<u32, Option<i32>>,
    tcp: BTreeMap<u32, Tcp>,
    /// Ends of connections within the tree that go on elsewhere.
    kept: BTreeSet<u32>,
    closes_unix: bool,
}

impl<'a> Judge<'a> {
    /// For `tree`, whose standard streams are these, under this configuration.
    pub fn new(tree: &Tree, streams: StdioMap, next: NextContainer<'a>, config: &Config) -> Self {
        let outside = outside::of(tree).unwrap_or_default();
        let tcp = tree.0.first().map(|process| sockets::tcp(process.pid)).unwrap_or_default();
        Self {
            next,
            streams,
            own: unix_sockets::holders(tree, |_| true).into_keys().collect(),
            datagram: unix_sockets::datagram().unwrap_or_default().into_iter().collect(),
            unix: UnixSockets::open().ok(),
            outside: outside.iter().map(|one| (one.inode(), one.other())).collect(),
            tcp,
            kept: match config.loopback_connections == LoopbackConnections::Keep && loopback::is_possible() {
                true => loopback::within(tree).into_iter().map(|end| end.inode).collect(),
                false => BTreeSet::new(),
            },
            closes_unix: config.unix_connections == UnixConnections::Close,
        }
    }

    /// All that `tree` has open.
    #[must_use]
    pub fn all(&self, tree: &Tree) -> Vec<Descriptor> {
        tree.0.iter().flat_map(|process| self.of(process.pid)).collect()
    }

    /// How many ends of connections go on, since both ends are the tree's.
    #[must_use]
    pub fn within(&self) -> usize {
        let is_within = |inode: &&u32| self.own.contains(&self.unix_peer(**inode));
        self.kept.len() + self.own.iter().filter(is_within).count()
    }

    /// The UNIX socket at the other end; 0 if there is none.
    fn unix_peer(&self, inode: u32) -> u32 {
        self.unix.as_ref().and_then(|sockets| sockets.peer(inode).ok().flatten()).unwrap_or(0)
    }

    fn of(&self, pid: i32) -> Vec<Descriptor> {
        let process = snapshot::name(pid);
        let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let fds = entries.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())));
        let mut all: Vec<(i32, PathBuf)> = fds.collect();
        all.sort();
        let judged = all.into_iter().filter_map(|(fd, link)| {
            let (fate, what, advice) = self.judge(pid, fd, &fs::read_link(&link).ok()?, &link);
            let (told, edit) = advice.map_or((None, None), |advice| (Some(advice.told), advice.edit));
            Some(Descriptor {
                pid,
                process: process.clone(),
                fd: Some(fd),
                fate,
                what,
                remedy: told.map(str::to_owned),
                edits: edit.into_iter().collect(),
            })
        });
        judged.collect()
    }

    fn judge(&self, pid: i32, fd: i32, open: &Path, link: &Path) -> Judged {
        let told = open.to_string_lossy();
        if self.streams.0.iter().any(|stream| *stream == told) {
            return (Fate::Carried, format!("{told}, in place of which is the next pod's"), None);
        }
        if let Some(inode) = told.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']')) {
            return self.socket(pid, fd, inode.parse().unwrap_or(0));
        }
        if let Some(kind) = told.strip_prefix("anon_inode:") {
            return anonymous(kind);
        }
        match fs::metadata(link) {
            Ok(meta) if meta.file_type().is_char_device() && !is_known(meta.rdev()) => device(&told),
            Ok(meta) if meta.file_type().is_block_device() => device(&told),
            _ => self.path(open, told.into_owned()),
        }
    }

    fn path(&self, open: &Path, told: String) -> Judged {
        if !open.is_absolute() {
            return (Fate::Kept, told, None);
        }
        match self.next.reach(open) {
            Reach::Missing => {
                let line = format!("additionalPaths: [{}]", quoted(&told));
                let remedy = "let it use a directory on a volume, or put it into additionalPaths";
                (Fate::Refused, told, Some(Advice::with(remedy, Place::Config, line)))
            }
            Reach::Along => (Fate::Carried, told, None),
            Reach::There | Reach::Nameless => (Fate::Kept, told, None),
        }
    }

    fn socket(&self, pid: i32, fd: i32, inode: u32) -> Judged {
        let protocol = sockets::protocol(pid, fd).unwrap_or_else(|| "an unknown protocol".to_owned());
        if protocol.starts_with("MPTCP") {
            let advice = Advice { told: remedies::mptcp!(), edit: Some(remedies::no_mptcp()) };
            return (Fate::Refused, "a socket of MPTCP".to_owned(), Some(advice));
        }
        match protocol.as_str() {
            "UNIX" | "UNIX-STREAM" => self.unix(inode),
            "TCP" | "TCPv6" => self.tcp(inode),
            known if KNOWN_PROTOCOLS.iter().any(|start| known.starts_with(start)) => {
                (Fate::Kept, format!("a socket of {known}"), None)
            }
            other => (
                Fate::Refused,
                format!("a socket of {other}"),
                Some("let it close it, since CRIU does not know such sockets".into()),
            ),
        }
    }

    fn tcp(&self, inode: u32) -> Judged {
        match self.tcp.get(&inode) {
            Some(Tcp { local, peer: None }) => (Fate::Kept, format!("tcp {local} listening"), None),
            Some(Tcp { local, peer: Some(peer) }) if self.kept.contains(&inode) => {
                (Fate::Kept, format!("tcp {local} connected to {peer}, within the program"), None)
            }
            Some(Tcp { local, peer: Some(peer) }) => (
                Fate::Closed,
                format!("tcp {local} connected to {peer}"),
                Some("let it connect again".into()),
            ),
            None => (Fate::Kept, "tcp, not connected".to_owned(), None),
        }
    }

    /// Of a stream that leads out of the tree only an end can be dumped, which is then closed. Datagram sockets are connected again.
    fn unix(&self, inode: u32) -> Judged {
        if let Some(other) = self.outside.get(&inode) {
            return self.stream_to(*other);
        }
        match self.unix_peer(inode) {
            0 => (Fate::Kept, "unix, not connected".to_owned(), None),
            outside if self.datagram.contains(&inode) && !self.own.contains(&outside) => {
                (Fate::Carried, "unix datagrams to outside the program, connected again".to_owned(), None)
            }
            _ => (Fate::Kept, "unix, inside the program".to_owned(), None),
        }
    }

    fn stream_to(&self, other: Option<i32>) -> Judged {
        let other = other.map_or_else(
            || "another container or pod".to_owned(),
            |pid| format!("process {}, which is none of the program's", snapshot::told(pid)),
        );
        let (fate, advice) = match self.closes_unix {
            true => (Fate::Closed, "let it connect again".into()),
            false => {
                let remedy = "set unixConnections: close, or let hooks.preCheckpoint close it";
                (Fate::Refused, Advice::with(remedy, Place::Config, "unixConnections: close"))
            }
        };
        (fate, format!("a unix stream to {other}"), Some(advice))
    }
}

/// The sockets that CRIU knows besides (criu/sockets.c, `dump_socket`; criu/sk-inet.c, `can_dump_ipproto`), by the beginning of their
/// protocol's name.
const KNOWN_PROTOCOLS: [&str; 6] = ["UDP", "RAW", "PING", "NETLINK", "PACKET", "an unknown protocol"];

/// What the kernel has without a file and CRIU knows (criu/files.c, `dump_one_file`).
const KNOWN_INODES: [&str; 7] =
    ["[eventfd]", "[eventpoll]", "inotify", "[fanotify]", "[signalfd]", "[timerfd]", "[pidfd]"];

fn anonymous(kind: &str) -> Judged {
    if KNOWN_INODES.contains(&kind) {
        return (Fate::Kept, kind.to_owned(), None);
    }
    let advice = match kind {
        unfreezable::URING => Advice { told: remedies::ring!(), edit: Some(remedies::no_rings()) },
        _ => "let it close it, since CRIU does not know such descriptors".into(),
    };
    (Fate::Refused, kind.to_owned(), Some(advice))
}

/// Character devices that CRIU knows: those of memory, terminals, and tunnels (criu/files.c, `dump_chrdev`; the kernel's devices.txt).
fn is_known(device: u64) -> bool {
    match (libc::major(device), libc::minor(device)) {
        (1 | 4 | 5 | 88 | 136..=143 | 204, _) => true,
        (10, minor) => minor == 200,
        _ => false,
    }
}

fn device(told: &str) -> Judged {
    (
        Fate::Refused,
        format!("the device {told}"),
        Some("let it close it, since CRIU does not know such devices".into()),
    )
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;
    use std::os::unix::net::{UnixDatagram, UnixStream};

    use super::*;
    use crate::config::UnixConnections;
    use crate::tree::process::snapshot::Snapshot;

    fn own() -> Tree {
        let own = std::process::id().cast_signed();
        let tree = Snapshot::take().tree(own);
        Tree(tree.0.into_iter().filter(|process| process.pid == own).collect())
    }

    fn fate(fd: i32) -> (Fate, String) {
        fate_under(fd, &Config::default())
    }

    fn fate_under(fd: i32, config: &Config) -> (Fate, String) {
        let tree = own();
        let judge = Judge::new(&tree, StdioMap::default(), NextContainer::new(&|_| false).unwrap(), config);
        let all = judge.all(&tree);
        let one = all.iter().find(|one| one.fd == Some(fd)).unwrap();
        (one.fate, one.what.clone())
    }

    #[test]
    fn what_leads_out_of_the_program_is_told_from_what_does_not() {
        let (one, _other) = UnixStream::pair().unwrap();
        assert_eq!(fate(one.as_raw_fd()).0, Fate::Kept);
        let (one, _other) = UnixDatagram::pair().unwrap();
        assert_eq!(fate(one.as_raw_fd()).0, Fate::Kept);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(fate(listener.as_raw_fd()).0, Fate::Kept);
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (is, what) = fate(client.as_raw_fd());
        assert!(is == Fate::Closed && what.contains(&listener.local_addr().unwrap().to_string()), "{what}");
    }

    #[test]
    fn a_stream_to_another_process_is_told_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sock");
        let script = "import socket,sys;s=socket.socket(socket.AF_UNIX);s.bind(sys.argv[1]);s.listen();c=s.accept();c[0].recv(1)";
        let mut child =
            std::process::Command::new("python3").args(["-c", script]).arg(&path).spawn().unwrap();
        let client = loop {
            match UnixStream::connect(&path) {
                Ok(client) => break client,
                Err(_) => std::thread::yield_now(),
            }
        };
        // Until it is accepted nobody has the other side.
        let (is, what) = loop {
            let (is, what) = fate(client.as_raw_fd());
            if is == Fate::Closed && what.contains("(python3)") {
                break (is, what);
            }
            std::thread::yield_now();
        };
        let refused = Config { unix_connections: UnixConnections::Refuse, ..Config::default() };
        assert_eq!(fate_under(client.as_raw_fd(), &refused).0, Fate::Refused);
        drop(client);
        child.wait().unwrap();
        assert!(is == Fate::Closed && what.contains("none of the program's"), "{what}");
    }

    #[test]
    fn devices_and_what_has_no_file_are_known_or_not() {
        assert!(
            is_known(libc::makedev(1, 3))
                && is_known(libc::makedev(136, 0))
                && is_known(libc::makedev(10, 200))
        );
        assert!(!is_known(libc::makedev(10, 229)) && !is_known(libc::makedev(195, 0)));
        assert_eq!(anonymous("[eventfd]").0, Fate::Kept);
        assert_eq!((anonymous("[io_uring]").0, anonymous("[perf_event]").0), (Fate::Refused, Fate::Refused));
    }
}
