//! CRIU's log: its first error, and what a person can do about it.

/// The first error line of a CRIU log, without its time and source position. Later ones are mostly consequences, and some
/// are none.
pub fn first_error(log: &[u8]) -> Option<String> {
    let log = String::from_utf8_lossy(log);
    let error = |line: &str| Some(line.split_once("Error (")?.1.split_once("): ")?.1.trim().to_owned());
    log.lines().filter_map(error).find(|error| !HARMLESS.iter().any(|part| error.contains(part)))
}

/// What CRIU logs as an error and then goes on (criu/cr-restore.c, `prepare_proc_misc`; criu/tun.c, `check_tun_netns_cr`;
/// criu/util.c, `rlimit_unlimit_nofile`): it may not lower the pod's score where the node has more memory, and a pod has no
/// right to tunnels.
const HARMLESS: [&str; 5] = [
    "/proc/self/oom_score_adj failed",
    "Can't check tun support",
    "No proper support for tun dump/restore",
    "Unable to create tun",
    "Can't setup RLIMIT_NOFILE for self",
];

/// What a person can do about an error of CRIU's, by a part of its message. The first that matches counts.
const ADVICE: [(&str, &str); 31] = [
    (
        "Can't get rlimit",
        "a process of the tree belongs to another user than criu, and this criu takes no library by LD_PRELOAD (is it static?): use \
         the one of crik's image, or add the capability SYS_RESOURCE",
    ),
    (
        "io_uring",
        "the program uses io_uring, which CRIU cannot dump: turn it off in the program or on the node (kernel.io_uring_disabled)",
    ),
    (
        "Unsupported proto 262",
        "the program has a socket of MPTCP, which CRIU cannot dump: let it listen by TCP (Go: GODEBUG=multipathtcp=0), or set \
         the pod's sysctl net.mptcp.enabled to 0",
    ),
    (
        "doesn't live in IPC ns",
        "the program uses SysV shared memory, which CRIU can only dump in an IPC namespace of its own",
    ),
    ("suspending seccomp", "the pod runs under a seccomp profile: set seccompProfile.type: Unconfined"),
    (
        "Unable to set a pipe size",
        "the program has as much in pipes as the node allows its user: raise fs.pipe-user-pages-soft there, or have it use fewer",
    ),
    (
        "Can't restore sub-task in NS",
        "a process of the tree was in a namespace of its own, which CRIU cannot make again: have the program do without",
    ),
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
        "Can't open file sys/fs/cgroup",
        "this pod's control groups lack it: let the program close it after each use",
    ),
    (
        "No such file or directory",
        "a file that the program had open is not in this container: put it into additionalPaths, or on the volume, and \
         mount that",
    ),
];

const ELSEWHERE: &str = "a UNIX socket is connected to one of another container: let hooks.preCheckpoint close it, or the program connect \
                         when it has something to say";

const WATCHED: &str = "what the program watches by inotify was made, renamed or removed just when the checkpoint began: the next one will \
                       find it, or name it";

const TAKEN: &str = "a process id of the tree is taken: run nothing else in the container while it starts";

/// What can be done about an error of CRIU's, to be added to it; empty if nothing is known.
pub fn advice(message: &str) -> String {
    let known = ADVICE.iter().find(|(part, _)| message.contains(part));
    known.map(|(_, advice)| format!(" — {advice}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_without_consequence_hides_no_other() {
        let log = "(00.1) Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted\n\
                   (00.2) Error (criu/tun.c:85): tun: Unable to create tun: Operation not permitted\n\
                   (00.3)    301: Error (criu/cr-restore.c:592): Write 900 to /proc/self/oom_score_adj failed: Permission \
                   denied\n\
                   (00.4)    301: Error (criu/files-reg.c:2480): Can't open file srv/x on restore: No such file or directory\n";
        assert_eq!(
            first_error(log.as_bytes()).as_deref(),
            Some("Can't open file srv/x on restore: No such file or directory")
        );
        assert_eq!(first_error(log.lines().next().unwrap_or_default().as_bytes()), None);
    }

    #[test]
    fn what_a_person_can_do_about_is_said() {
        for (line, advice) in [
            (
                "(criu/files-reg.c:2280): File srv/libz.so.1 has bad size 121282 (expect 121281)",
                "changed since",
            ),
            ("(criu/files-reg.c:2245): File usr/bin/job has bad build-ID", "changed since the checkpoint"),
            (
                "(criu/cr-restore.c:1240): Can't fork for 301: File exists",
                "a process id of the tree is taken",
            ),
            (
                "(criu/cr-restore.c:1311): Pid 302 do not match expected 301",
                "a process id of the tree is taken",
            ),
            (
                "(criu/files-reg.c:2480): Can't open file srv/x on restore: No such file or directory",
                "additionalPaths",
            ),
            (
                "(criu/files-reg.c:2480): Can't open file sys/fs/cgroup/memory/a/b on restore: No such file or directory",
                "control groups",
            ),
            (
                "(criu/sk-inet.c:1046): inet: Can't bind inet socket (id 5): Address already in use",
                "listens there",
            ),
            (
                "(criu/sk-inet.c:1046): inet: Can't bind inet socket (id 5): Cannot assign requested address",
                "listen on 0.0.0.0",
            ),
            ("(criu/sk-inet.c:213): inet: Unsupported proto 262 (id 8)", "GODEBUG=multipathtcp=0"),
            (
                "(criu/sk-unix.c:423): unix: Unix socket 2228535 without peer 2226284",
                "one of another container",
            ),
            (
                "(criu/pie/restorer.c:2068): Unable to create a thread: -17",
                "a process id of the tree is taken",
            ),
            (
                "(criu/sk-unix.c:889): unix: Can't dump half of stream unix connection. name: (null); peer name: /a",
                "one of another container",
            ),
            ("(criu/sk-unix.c:397): unix: Unix socket 32310331 not found", "a client of another network"),
            ("(criu/sk-unix.c:479): unix: Dangling connection 11989957", "one of another container"),
            ("(criu/sk-unix.c:525): unix: Found a closed in-flight socket to 0x1f", "accept more often"),
            (
                "(criu/arch/x86/cpu.c:223): cpu: CPU instruction capabilities do not match run time",
                "this CPU lacks instructions",
            ),
            (
                "(criu/arch/x86/cpu.c:262): cpu: CPU xfeatures has unsupported bits (0x3ff1a)",
                "lacks registers",
            ),
            (
                "(criu/pie/restorer.c:2010): Unable to create a thread: -17",
                "a process id of the tree is taken",
            ),
            (
                "(criu/files-reg.c:1220): Can't create link remap for (deleted) /data/x",
                "let the program close it",
            ),
            (
                "(criu/files-reg.c:900): Can't link link_remap.7 -> data/x: No such file or directory",
                "is gone from the volume",
            ),
            ("(criu/arch/x86/cpu.c:274): cpu: CPU xsave size mismatch (8192/2432)", "in another way"),
        ] {
            let log = format!("(00.000001) Restoring\n(00.000002) Error {line}\n");
            let first = first_error(log.as_bytes()).unwrap();
            assert!(super::advice(&first).contains(advice), "{first}");
        }
    }
}
