//! CRIU's log: its first error, and what a person can do about it.

use crate::base::limits;

mod table;

use table::ADVICE;

/// The first error line of a CRIU log, without its time and source position. Later ones are mostly consequences, and some
/// are none. Of what only tells that something has failed the first is taken if there is nothing else.
pub fn first_error(log: &[u8]) -> Option<String> {
    let log = String::from_utf8_lossy(log);
    let error = |line: &str| Some(line.split_once("Error (")?.1.split_once("): ")?.1.trim().to_owned());
    let has = |parts: &[&str], error: &str| parts.iter().any(|part| error.contains(part));
    let errors: Vec<String> = log.lines().filter_map(error).filter(|error| !has(&HARMLESS, error)).collect();
    let first = errors.iter().find(|error| !has(&CONSEQUENCES, error)).or(errors.first())?;
    Some(politely(first))
}

/// CRIU calls a file of which it knows nothing by another name (criu/proc_parse.c, criu/files.c): `Unknown shit 100600 (/path)`.
fn politely(error: &str) -> String {
    let what = error.split_once("Unknown shit ").and_then(|(_, rest)| rest.split_once(' '));
    what.map_or_else(|| error.to_owned(), |(_, what)| format!("CRIU does not know what {what} is"))
}

/// The last lines of a CRIU log, for who has to find out what an error means of which nothing is known here.
pub fn last_lines(log: &[u8]) -> Vec<String> {
    let log = String::from_utf8_lossy(log);
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(limits::CRIU_LINES_TOLD)..].iter().map(|line| politely(line)).collect()
}

/// What CRIU logs as an error and then goes on, as its source shows: it may not lower the pod's score where the node has more memory
/// (criu/cr-restore.c, `prepare_proc_misc`), a pod has no right to tunnels (criu/tun.c, `check_tun_cr`) nor to more open files
/// (criu/util.c, `rlimit_unlimit_nofile`); what it probes or keeps of the kernel's features fails (criu/kerndat.c,
/// `kerndat_save_cache`, `kerndat_iptables_has_xtlocks`, criu/netfilter.c, criu/arch/x86/kerndat.c, criu/log.c); and what is not
/// given back exactly (criu/tty.c, `tty_do_dump_queued_data`, criu/sk-tcp.c, `restore_one_tcp`, criu/sk-unix.c, `bind_on_deleted`).
const HARMLESS: [&str; 15] = [
    "/proc/self/oom_score_adj failed",
    "Can't check tun support",
    "No proper support for tun dump/restore",
    "Unable to create tun",
    "Can't setup RLIMIT_NOFILE for self",
    "Couldn't save ",
    "using log fd for xtlocks check",
    "using log fd for net module preload",
    "Failed to kill my own child",
    "Reading kernel version failed",
    "queued data overflow",
    "Can't writeback to tty",
    "Unable to shutdown the socket id",
    "ghost: Can't unlink socket",
    "ghost: Can't rename id",
];

/// What tells that something has failed, and not why: the reason stands before or behind it.
const CONSEQUENCES: [&str; 12] = [
    "Dumping FAILED",
    "Restoring FAILED",
    "failed with -1",
    " exited, status=",
    " killed by signal ",
    "Killing processes because of failure on restore",
    "Error flushing image",
    "Message reply from daemon is trimmed",
    "Unable to detach from ",
    "For Go programs, consider using",
    "In-flight connections can be ignored",
    "Failed to clenaup ",
];

/// What can be done about an error of CRIU's, to be added to it; empty if nothing is known.
pub fn advice(message: &str) -> String {
    known(message).map(|advice| format!(" — {advice}")).unwrap_or_default()
}

/// The same as it stands, if anything is known.
pub fn known(message: &str) -> Option<&'static str> {
    ADVICE.iter().find(|(part, _)| message.contains(part)).map(|(_, advice)| *advice)
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

    /// Logs of criu 4.2.1, of programs that had such a thing or of which somebody has changed something, cut to their errors and the
    /// lines before; with the error that is to be told and a part of the remedy.
    const LOGS: [(&str, &str, &str); 27] = [
        ("bpf", "anon_inode:bpf-map", "let it close it"),
        ("cwd-missing", "Can't open file c/dir on restore", "additionalPaths"),
        ("disk-full", "No space left on device", "make the volume larger"),
        ("fifo-missing", "fake fifo", "additionalPaths"),
        ("file-missing", "Can't open file c/data on restore", "additionalPaths"),
        ("file-size", "has bad size 6 (expect 1)", "changed since"),
        ("fuse-device", "(chr 10:229)", "let it close it"),
        ("ghost", "Can't dump ghost file /c/ghost", "larger than the limit"),
        ("image-damaged", "Img trimmed", "crik verify"),
        ("image-missing-pages", "Can't read pages data", "crik verify"),
        ("io-uring", "send_fds failed", "kernel.io_uring_disabled"),
        ("landlock", "[landlock-ruleset]", "let it close it"),
        ("library-changed", "has bad size", "the same container image"),
        ("library-missing", "Can't open file c/libz.so", "additionalPaths"),
        ("mptcp", "Unsupported proto 262", "GODEBUG=multipathtcp=0"),
        ("netlink-queued", "has data to read", "read more often"),
        ("perf", "[perf_event]", "let it close it"),
        ("port-in-use", "Address already in use", "listens there"),
        ("process-id-taken", "File exists", "is taken"),
        ("secretmem", "CRIU does not know what (/secretmem (deleted)) is", "let it do without"),
        ("sysv-shm", "doesn't live in IPC ns", "IPC namespace"),
        ("tcp-corked", "corked dgram socket", "UDP_CORK"),
        ("unix-half", "half of stream unix connection", "LD_PRELOAD"),
        ("unix-in-flight-closed", "closed in-flight socket", "accept more often"),
        ("userfaultfd", "anon_inode:[userfaultfd]", "let it close it"),
        ("vsock", "(family 40)", "of a kind that CRIU does not know"),
        ("watch-of-removed", "Can't dump that handle", "the next one will"),
    ];

    #[test]
    fn every_real_log_gives_its_reason_and_a_remedy() {
        let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tree/criu/advice/logs");
        for (name, reason, remedy) in LOGS {
            let log = std::fs::read(directory.join(name).with_extension("log")).unwrap();
            let first = first_error(&log).unwrap();
            assert!(first.contains(reason), "{name}: {first}");
            assert!(advice(&first).contains(remedy), "{name}: {first}{}", advice(&first));
            // What CRIU says besides and then goes on hides none of them.
            let noise = HARMLESS.map(|part| format!("(00.1) Error (criu/x.c:1): {part} 7\n")).concat();
            let noisy = [noise.as_bytes(), &log].concat();
            assert_eq!(first_error(&noisy), Some(first), "{name}");
        }
        assert_eq!(std::fs::read_dir(directory).unwrap().count(), LOGS.len());
    }

    #[test]
    fn what_only_tells_that_something_failed_is_told_if_there_is_nothing_else() {
        let log = b"(00.1) Error (criu/cr-restore.c:1265): 19 exited, status=1\n(00.2) Error (criu/cr-restore.c:2331): Restoring FAILED.\n";
        assert_eq!(first_error(log).as_deref(), Some("19 exited, status=1"));
        assert_eq!(last_lines(log).len(), 2);
        let long = "a line\n".repeat(100);
        assert_eq!(last_lines(long.as_bytes()).len(), limits::CRIU_LINES_TOLD);
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
                "(criu/cr-dump.c:478): Task 7 with SysV shmem map @7f0000000000 doesn't live in IPC ns",
                "hostUsers: false",
            ),
            (
                "(criu/pie/restorer.c:285): Unable to restore capabilities: -1",
                "securityContext.capabilities.add",
            ),
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
            (
                "(criu/proc_parse.c:403): Can't open mapped [/usr/lib/a.so (deleted)]: No such file or directory",
                "deleted or replaced since",
            ),
            ("(criu/arch/x86/cpu.c:274): cpu: CPU xsave size mismatch (8192/2432)", "in another way"),
        ] {
            let log = format!("(00.000001) Restoring\n(00.000002) Error {line}\n");
            let first = first_error(log.as_bytes()).unwrap();
            assert!(super::advice(&first).contains(advice), "{first}");
        }
    }
}
