//! The parts of CRIU's messages that are shown, under the numbers that its `images/*.proto` give them.

use prost::Message;

use super::sockets::{Inet, Unix};

/// `pstree_entry`.
#[derive(Clone, PartialEq, Message)]
pub struct PsTree {
    #[prost(uint32, tag = "1")]
    pub pid: u32,
    #[prost(uint32, tag = "2")]
    pub parent: u32,
    #[prost(uint32, tag = "3")]
    pub group: u32,
    #[prost(uint32, tag = "4")]
    pub session: u32,
    #[prost(uint32, repeated, packed = "false", tag = "5")]
    pub threads: Vec<u32>,
}

/// `core_entry`.
#[derive(Clone, PartialEq, Message)]
pub struct Core {
    #[prost(message, optional, tag = "3")]
    pub task: Option<Task>,
}

/// `task_core_entry`.
#[derive(Clone, PartialEq, Message)]
pub struct Task {
    #[prost(string, tag = "6")]
    pub name: String,
}

/// `task_kobj_ids_entry`.
#[derive(Clone, PartialEq, Message)]
pub struct Ids {
    #[prost(uint32, tag = "2")]
    pub files: u32,
}

/// `ipc_shm_entry`.
#[derive(Clone, PartialEq, Message)]
pub struct Segment {
    #[prost(message, required, tag = "1")]
    pub about: SystemV,
}

/// `ipc_desc_entry`.
#[derive(Clone, PartialEq, Message)]
pub struct SystemV {
    #[prost(uint32, tag = "6")]
    pub mode: u32,
    #[prost(uint32, tag = "7")]
    pub id: u32,
}

/// `pagemap_head`.
#[derive(Clone, PartialEq, Message)]
pub struct PagemapHead {
    #[prost(uint32, tag = "1")]
    pub pages: u32,
}

/// `pagemap_entry`.
#[derive(Clone, PartialEq, Message)]
pub struct Pagemap {
    #[prost(uint32, tag = "2")]
    pub pages_of_old: u32,
    #[prost(uint64, optional, tag = "5")]
    pub pages: Option<u64>,
}

/// `timerfd_entry`.
#[derive(Clone, PartialEq, Message)]
pub struct Timer {
    /// How often it has gone off since it was read.
    #[prost(uint64, tag = "5")]
    pub ticks: u64,
    /// What remains, and how often it repeats.
    #[prost(uint64, tag = "7")]
    pub seconds: u64,
    #[prost(uint64, tag = "8")]
    pub nanoseconds: u64,
    #[prost(uint64, tag = "9")]
    pub every_seconds: u64,
    #[prost(uint64, tag = "10")]
    pub every_nanoseconds: u64,
}

/// `fdinfo_entry`.
#[derive(Clone, PartialEq, Message)]
pub struct FdInfo {
    #[prost(uint32, tag = "1")]
    pub id: u32,
    #[prost(uint32, tag = "4")]
    pub fd: u32,
}

/// `mm_entry`.
#[derive(Clone, PartialEq, Message)]
pub struct Memory {
    /// The file that is executed.
    #[prost(uint32, tag = "12")]
    pub program: u32,
    #[prost(message, repeated, tag = "14")]
    pub areas: Vec<Area>,
}

/// `vma_entry`.
#[derive(Clone, PartialEq, Message)]
pub struct Area {
    /// The file that is mapped, or something else's number.
    #[prost(uint64, tag = "4")]
    pub file: u64,
}

/// `file_entry`.
#[derive(Clone, PartialEq, Message)]
pub struct FileEntry {
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    #[prost(uint32, tag = "2")]
    pub id: u32,
    #[prost(message, optional, tag = "3")]
    pub regular: Option<Regular>,
    #[prost(message, optional, tag = "4")]
    pub inet: Option<Inet>,
    #[prost(message, optional, tag = "15")]
    pub external: Option<Numbered>,
    #[prost(message, optional, tag = "16")]
    pub unix: Option<Unix>,
    #[prost(message, optional, tag = "18")]
    pub pipe: Option<Numbered>,
}

/// `remap_file_path_entry`.
#[derive(Clone, PartialEq, Message)]
pub struct Remap {
    /// The number of the file whose name leads nowhere.
    #[prost(uint32, tag = "1")]
    pub file: u32,
    /// How it is found all the same.
    #[prost(uint32, tag = "3")]
    pub kind: u32,
}

/// In `kind`: its contents are in the image (`GHOST`).
pub const GHOST: u32 = 1;

/// `reg_file_entry`.
#[derive(Clone, PartialEq, Message)]
pub struct Regular {
    #[prost(uint32, tag = "1")]
    pub id: u32,
    #[prost(uint64, tag = "3")]
    pub position: u64,
    /// Any bytes but a zero, as the kernel has it.
    #[prost(bytes = "vec", tag = "6")]
    pub name: Vec<u8>,
    #[prost(uint64, optional, tag = "8")]
    pub size: Option<u64>,
}

/// `pipe_entry`, and what else has a number in the second place.
#[derive(Clone, PartialEq, Message)]
pub struct Numbered {
    #[prost(uint32, tag = "2")]
    pub number: u32,
}

/// The names of `fd_types`, in its order.
const KINDS: [&str; 21] = [
    "?",
    "file",
    "pipe",
    "fifo",
    "inet",
    "unix",
    "eventfd",
    "epoll",
    "inotify",
    "signalfd",
    "packet",
    "tty",
    "fanotify",
    "netlink",
    "namespace",
    "tun",
    "external",
    "timerfd",
    "memfd",
    "bpf",
    "pidfd",
];

impl FileEntry {
    /// What it is, and which one.
    pub fn tell(&self) -> (&'static str, String) {
        let kind = KINDS.get(self.kind as usize).copied().unwrap_or("?");
        let what = if let Some(file) = &self.regular {
            String::from_utf8_lossy(&file.name).into_owned()
        } else if let Some(socket) = &self.inet {
            return (socket.protocol(), socket.to_string());
        } else if let Some(socket) = &self.unix {
            socket.to_string()
        } else if let Some(pipe) = &self.pipe {
            format!("[{}]", pipe.number)
        } else {
            String::new()
        };
        (kind, what)
    }
}

/// Of the kinds of locks (CRIU, `criu/include/file-lock.h`): those of fcntl(2) and of flock(2).
pub const POSIX: u32 = 1;
pub const FLOCK: u32 = 2;

/// `file_lock_entry`, of any kind of lock.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct FileLock {
    /// What kind of lock it is.
    #[prost(uint32, tag = "1")]
    pub flag: u32,
    /// `F_RDLCK` or `F_WRLCK`.
    #[prost(uint32, tag = "2")]
    pub kind: u32,
    /// Who holds it.
    #[prost(int32, tag = "3")]
    pub pid: i32,
    /// A descriptor of its file.
    #[prost(int32, tag = "4")]
    pub fd: i32,
    /// Its first byte.
    #[prost(int64, tag = "5")]
    pub start: i64,
    /// How many bytes; 0 for all there ever are.
    #[prost(int64, tag = "6")]
    pub length: i64,
}
