//! What there is of System V in the IPC namespace of this process, as /proc/sysvipc lists it (proc_sysvipc(5)).

use std::fs;

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// shmget(2).
    SharedMemory,
    /// msgget(2).
    MessageQueue,
    /// semget(2).
    SemaphoreSet,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::SharedMemory, Self::MessageQueue, Self::SemaphoreSet];

    pub fn name(self) -> &'static str {
        match self {
            Self::SharedMemory => "shared memory",
            Self::MessageQueue => "a message queue",
            Self::SemaphoreSet => "a semaphore set",
        }
    }

    fn list(self) -> &'static str {
        match self {
            Self::SharedMemory => "/proc/sysvipc/shm",
            Self::MessageQueue => "/proc/sysvipc/msg",
            Self::SemaphoreSet => "/proc/sysvipc/sem",
        }
    }

    /// The columns that name processes: who has made it and who was the last, or who was the last to send and to receive.
    fn of_processes(self) -> &'static [usize] {
        match self {
            Self::SharedMemory => &[4, 5],
            Self::MessageQueue => &[5, 6],
            Self::SemaphoreSet => &[],
        }
    }

    /// That of the user who has made it (`cuid`).
    fn of_creator(self) -> usize {
        match self {
            Self::SharedMemory | Self::MessageQueue => 9,
            Self::SemaphoreSet => 6,
        }
    }

    /// Those that are zero until somebody uses it: the times of it.
    fn of_use(self) -> &'static [usize] {
        match self {
            Self::SharedMemory => &[11, 12],
            Self::MessageQueue => &[11, 12],
            Self::SemaphoreSet => &[8],
        }
    }
}

/// One of them.
#[derive(Debug, PartialEq, Eq)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// By what programs find it.
    pub key: u32,
    /// What it has in its namespace.
    pub id: i32,
    /// The user that has made it.
    pub creator: u32,
    /// The processes that have made or used it, as far as they are or were in this PID namespace.
    pub processes: Vec<i32>,
    /// Whether nobody has used it yet, so that nobody is named.
    pub is_unused: bool,
}

/// All that there is; nothing on a kernel without.
pub fn all() -> Vec<Object> {
    let of = |kind: Kind| parse(kind, &fs::read_to_string(kind.list()).unwrap_or_default());
    Kind::ALL.into_iter().flat_map(of).collect()
}

fn parse(kind: Kind, list: &str) -> Vec<Object> {
    list.lines().skip(1).filter_map(|line| object(kind, line)).collect()
}

fn object(kind: Kind, line: &str) -> Option<Object> {
    let columns: Vec<i64> = line.split_whitespace().map_while(|column| column.parse().ok()).collect();
    let column = |at: usize| columns.get(at).copied();
    let processes = kind.of_processes().iter().filter_map(|at| i32::try_from(column(*at)?).ok());
    Some(Object {
        kind,
        // A key is listed as a signed number.
        key: i32::try_from(column(0)?).ok()?.cast_unsigned(),
        id: column(1)?.try_into().ok()?,
        creator: column(kind.of_creator())?.try_into().ok()?,
        processes: processes.filter(|pid| *pid > 0).collect(),
        // Who has made shared memory is always named, if it is one of ours.
        is_unused: kind != Kind::SharedMemory && kind.of_use().iter().all(|at| column(*at) == Some(0)),
    })
}

/// Whether a process has mapped the shared memory of this id, which is its inode (ipc/shm.c, `newseg`).
pub fn maps(pid: i32, id: i32) -> bool {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    maps.lines().any(|line| is_of(line, id))
}

fn is_of(line: &str, id: i32) -> bool {
    let mut words = line.split_whitespace().skip(4);
    words.next() == Some(id.to_string().as_str())
        && words.next().is_some_and(|path| path.starts_with("/SYSV"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_of_each_list_are_known() {
        let shm = "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n         0          3  1600                  4096   301   305      1     0     0    33     0 1760000000          0 1760000000                  4096                     0\n";
        let msg = "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime      ctime\n        -1          5   600           0          0     0     0  1000  1000  1000  1000          0          0 1760000000\n";
        let sem = "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n      4242          7   600          2     0     0    33     0 1760000000 1760000000\n";
        let object = |kind, key, id, creator, processes: &[i32], is_unused| Object {
            kind,
            key,
            id,
            creator,
            processes: processes.to_vec(),
            is_unused,
        };
        assert_eq!(
            parse(Kind::SharedMemory, shm),
            [object(Kind::SharedMemory, 0, 3, 33, &[301, 305], false)]
        );
        assert_eq!(
            parse(Kind::MessageQueue, msg),
            [object(Kind::MessageQueue, u32::MAX, 5, 1000, &[], true)]
        );
        assert_eq!(parse(Kind::SemaphoreSet, sem), [object(Kind::SemaphoreSet, 4242, 7, 33, &[], false)]);
        assert_eq!(parse(Kind::SemaphoreSet, "a heading\nno line\n"), []);
    }

    #[test]
    fn shared_memory_is_told_from_files_by_its_name() {
        assert!(is_of("7f00-7f01 rw-s 00000000 00:01 3 /SYSV00000000 (deleted)", 3));
        assert!(!is_of("7f00-7f01 rw-s 00000000 00:01 3 /dev/zero (deleted)", 3));
        assert!(!is_of("7f00-7f01 rw-s 00000000 00:01 4 /SYSV00000000 (deleted)", 3));
    }
}
