//! What a person can do about errors of CRIU's.

use crate::tree::process::remedies;

/// What a person can do about an error of CRIU's, by a part of its message. The first that matches counts.
pub(super) const ADVICE: [(&str, &str); 52] = [
    (
        "Can't obtain registers",
        "a thread of the program computes with the scalable vectors of its processor (SVE), of which CRIU keeps a part, and makes no system \
         call for long: start the kernels of its nodes with arm64.nosve, or have its library do without",
    ),
    (
        "Can't get rlimit",
        "a process of the tree belongs to another user than criu, and this criu takes no library by LD_PRELOAD (is it static?): use \
         the one of crik's image, or add the capability SYS_RESOURCE",
    ),
    ("io_uring", concat!("the program uses io_uring, which CRIU cannot dump: ", remedies::ring!())),
    ("send_fds failed (-22)", RING),
    ("Can't retrieve FDs from socket", RING),
    (
        "Can't dump file ",
        "the program has something open that CRIU does not know: let it close it, or hooks.preCheckpoint have it do so",
    ),
    (
        "CRIU does not know what ",
        "the program has something open or mapped that CRIU does not know: let it do without, or hooks.preCheckpoint have it let go of it",
    ),
    (
        "Unknown socket collected",
        "the program has a socket of a kind that CRIU does not know: let it close it, or hooks.preCheckpoint have it do so",
    ),
    (
        "corked dgram socket",
        "the program holds a datagram back (UDP_CORK): let it send it, or hooks.preCheckpoint have it do so",
    ),
    (
        "netlink: The socket has data to read",
        "the kernel has told the program something that it has not read yet (netlink): let it read more often",
    ),
    ("Img trimmed", DAMAGED),
    ("Can't read pages data", DAMAGED),
    ("No space left on device", "make the volume larger, or lower keepGenerations"),
    (
        "Unsupported proto 262",
        concat!("the program has a socket of MPTCP, which CRIU cannot dump: ", remedies::mptcp!()),
    ),
    (
        "doesn't live in IPC ns",
        concat!(
            "the program has shared memory of System V, which CRIU can dump only in an IPC namespace of its own: ",
            remedies::system_v!()
        ),
    ),
    (
        "Unable to restore capabilities",
        "a process of the program had a capability that this container does not give: add to securityContext.capabilities.add what the \
         container before had",
    ),
    (
        "suspending seccomp",
        "the pod runs under a seccomp profile: set seccompProfile.type: Unconfined; or the program has a filter of its own: start it without \
         its sandbox",
    ),
    (
        "Unable to set a pipe size",
        "the program has as much in pipes as the node allows its user: raise fs.pipe-user-pages-soft there, or have it use fewer",
    ),
    (
        "file locks are hold by dumping tasks",
        "the program holds locks on files, which CRIU dumps only if it is told to (--file-locks), as crik tells it",
    ),
    (
        "In-flight connection",
        "somebody has connected to the program, which has not accepted that yet, and CRIU leaves it out only if it is told to \
         (--skip-in-flight), as crik tells it",
    ),
    (
        "POKEDATA failed",
        "the program runs code in memory that it shares, such as a compiler's cache, and this criu takes no library by LD_PRELOAD (is it \
         static?): use the one of crik's image",
    ),
    (
        "Unable to detach",
        "a process of the program ended in the moment in which it was resumed: its own output, or the kernel's log (out of memory), tells why",
    ),
    (
        "packetized mode for pipes",
        "the program has a pipe that keeps packets apart (O_DIRECT): have it make its pipe without, or use a UNIX socket (SOCK_SEQPACKET)",
    ),
    ("Can't dump nested", OF_ITS_OWN),
    ("proper root mount", OF_ITS_OWN),
    (
        "execvp(",
        "CRIU calls a program that this container lacks: a process of the tree has a namespace of its own, have the program do without",
    ),
    ("Can't restore sub-task in NS", OF_ITS_OWN),
    ("Can't lookup mount", "a file is open that was opened outside the container"),
    (
        "CPU instruction capabilities",
        "this CPU lacks instructions that the image needs: keep its pods on one CPU type",
    ),
    ("CPU xfeatures", "this CPU lacks registers that the image needs: keep its pods on one CPU type"),
    ("FPU feature required", "this CPU lacks registers that the image needs: keep its pods on one CPU type"),
    (
        "CPU xsave",
        "this CPU lays its registers out in another way than the image needs: keep its pods on one CPU type",
    ),
    (
        "has bad ",
        "it was changed since the checkpoint: use the same container image, or put it into additionalPaths",
    ),
    ("do not match expected", TAKEN),
    ("File exists", TAKEN),
    ("Unable to create a thread: -17", TAKEN),
    (
        "Can't create link remap",
        "the program has a file open that was removed, and it can get no name where it lies: let the program close it, or keep it on a \
         file system that has links",
    ),
    (
        "link_remap",
        "the name by which a removed file was kept is gone from the volume: who removed link_remap.* there has removed the file",
    ),
    ("Address already in use", "run nothing in the pod that listens there while it starts"),
    (
        "closed in-flight socket",
        "a UNIX socket of the program has a connection that was closed before it was accepted: let the program accept more often",
    ),
    ("without peer", ELSEWHERE),
    ("Dangling connection", ELSEWHERE),
    ("half of stream unix connection", ELSEWHERE),
    (
        "unix: Unix socket",
        "a client of another network, such as a program of the node, is connected to a UNIX socket of the program, and the kernel counts \
         such a connection there: let hooks.preCheckpoint close it",
    ),
    (
        "Cannot assign requested address",
        "the program listens on an address of its old pod: let it listen on 0.0.0.0 or ::",
    ),
    ("ghost file", "a deleted file that is still open is larger than the limit"),
    ("Can't dump that handle", WATCHED),
    ("irmap: Can't stat", WATCHED),
    (
        "inotify",
        "this node allows its user no more inotify instances or watches: raise fs.inotify.max_user_instances and \
         fs.inotify.max_user_watches there",
    ),
    (
        "Can't open mapped",
        "the program runs from a file that was deleted or replaced since, and with hostUsers: false the kernel opens it to nobody: start the \
         program again after such a change, or leave out hostUsers: false",
    ),
    (
        "Can't open file sys/fs/cgroup",
        "this pod's control groups lack it: let the program close it after each use",
    ),
    (
        "No such file or directory",
        "a file that the program had open is not in this container: put it into additionalPaths, or on the volume, and \
         mount that",
    ),
];

const DAMAGED: &str = "an image of the checkpoint is damaged: crik verify tells which";

const RING: &str = concat!(
    "the program has a descriptor that the kernel lets nobody hand on, such as a ring of io_uring, which CRIU cannot dump: ",
    remedies::ring!()
);

const ELSEWHERE: &str = "a UNIX socket is connected to one of another container, and this criu takes no library by LD_PRELOAD (is it \
                         static?): use the one of crik's image, or let hooks.preCheckpoint close it";

const WATCHED: &str = "what the program watches by inotify was made, renamed or removed just when the checkpoint began: the next one will \
                       find it, or name it";

const TAKEN: &str = "a process id of the tree is taken: run nothing else in the container while it starts";

const OF_ITS_OWN: &str = "a process of the tree has a namespace of its own (unshare, a browser's sandbox), which CRIU cannot make again: have the \
                          program do without";
