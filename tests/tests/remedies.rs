//! Every remedy that the doctor, the looks before a checkpoint and what is known of CRIU's errors print was tried: somebody did what it
//! says, and the program was protected or went on; or it is said here why none can. They are read in the source, so a new one is noticed.

use std::fs;

use anyhow::{Context as _, Result, bail, ensure};
use crik_tests::build::workspace;

/// Where remedies are written: by whom they are told, and behind which words they begin.
const SOURCES: [(&str, &str); 20] = [
    ("agent/src/carry/files/error.rs", "; "),
    ("agent/src/carry/watched/mod.rs", "; "),
    ("agent/src/checkpoint/freeze/error.rs", "; "),
    ("agent/src/doctor/checks.rs", "; "),
    ("agent/src/doctor/clocks.rs", "; "),
    ("agent/src/doctor/descriptors.rs", ""),
    ("agent/src/doctor/examination.rs", "; "),
    ("agent/src/doctor/file_numbers.rs", "; "),
    ("agent/src/doctor/tree.rs", "; "),
    ("agent/src/doctor/volume.rs", "; "),
    ("agent/src/restore/own_ipc.rs", "; "),
    ("agent/src/restore/own_rights.rs", "; "),
    ("store/src/image_dir/probe.rs", "; "),
    ("store/src/image_dir/retention.rs", "; "),
    ("agent/src/supervise/looks.rs", "; "),
    ("agent/src/tree/criu/advice/table.rs", ": "),
    ("agent/src/tree/criu/error.rs", "; "),
    ("agent/src/tree/process/beyond_criu.rs", ""),
    ("agent/src/tree/process/lacking_rights.rs", "; "),
    ("agent/src/tree/process/unfreezable.rs", "; "),
];

/// How a remedy begins that stands alone.
const ALONE: [&str; 8] = [
    "have ",
    "let ",
    "set ",
    "make ",
    "mount ",
    "run ",
    "with loopbackConnections",
    "the volume does not let root",
];

/// A part of a remedy, and the test in which it is done: a function of a suite, or a program of the corpus, whose file has the remedy.
const WALKED: [(&str, &str); 57] = [
    (
        "name it in additionalPaths if it is the pod's own",
        "carry::a_part_of_a_file_system_in_memory_stays_behind_is_told_and_goes_along_where_it_is_named",
    ),
    ("have the program listen by TCP", MENDS),
    ("raise it, or name in carry.exclude", MENDS),
    ("see carry.exclude and additionalPaths", "carry::what_is_excluded_stays_behind_and_is_left_alone"),
    ("let the program end its watch", "watches::directories_everywhere_are_watched_over_four_pods"),
    (
        "let the program watch something with fewer files beside it",
        "watches::a_hundred_directories_are_watched",
    ),
    ("let it watch a directory on a volume, or put it into additionalPaths", MENDS),
    ("start the program without an init of its own", "descendants::a_double_forked_daemon_goes_on"),
    ("name a directory on the checkpoint volume", MENDS),
    ("mount the ConfigMap there", "cluster/quick_start::a_counter_goes_on_at_another_node"),
    (
        "let the container's runtime make the streams",
        "terminal::who_reads_from_a_pipe_of_the_pods_reads_on_from_the_next_ones",
    ),
    ("or add the capability NET_ADMIN, by which crik does", MENDS),
    ("set shareProcessNamespace: false", "process_ids::ids_that_are_shared_with_other_containers_are_told"),
    ("set securityContext.seccompProfile.type: Unconfined", MENDS),
    ("set seccompProfile.type: Unconfined", MENDS),
    ("hostUsers: false with SYS_ADMIN and SYS_TIME helps, see onClockBack", MENDS),
    ("let it use a directory on a volume, or put it into additionalPaths", MENDS),
    ("let it close it, since CRIU does not know such descriptors", "workloads: userfaultfd"),
    ("let it connect again", "unix_connections::a_client_of_a_daemon_moves_three_times_and_connects_again"),
    (
        "set unixConnections: close, or let hooks.preCheckpoint close it",
        "unix_connections::a_hook_has_the_program_close_it_and_its_counterpart_open_it_again",
    ),
    (
        "start the program by crik run -- PROGRAM",
        "doctor::programs_can_read_it_too_and_a_program_that_is_not_under_crik_yet_is_looked_at",
    ),
    ("unless it is on a volume", "doctor::who_would_find_other_inodes_is_told_that"),
    (
        "have the program make them anew, or use files",
        "system_v::a_queue_of_posix_that_nobody_has_open_stays_behind_and_that_is_said",
    ),
    ("with loopbackConnections: keep and the capability NET_ADMIN", MENDS),
    ("mount a volume there", MENDS),
    ("mount the volume read-write", MENDS),
    ("make room (crik gc)", "tools::what_is_superfluous_is_removed_and_nothing_else"),
    ("securityContext.fsGroup, or chown it on the volume", MENDS),
    ("export it with no_root_squash", "nfs::a_program_moves_over_an_export_without_root_squash"),
    ("chmod 0700 it, or see signingKeyFile", MENDS),
    (
        "keep such files on another volume",
        "any_volume::a_volume_that_takes_files_from_who_has_them_open_is_told_and_serves",
    ),
    (
        "give the pod hostUsers: false and the capability SYS_ADMIN, as the one before had",
        "own_ipc_namespace::where_no_namespace_can_be_made_such_a_program_is_not_touched_and_goes_on_where_one_can",
    ),
    ("add them to securityContext.capabilities.add, as the container before had", MAY_DO_MORE),
    ("what the container before had", MAY_DO_MORE),
    ("mount it read-write, with room", MENDS),
    ("make the volume larger", MENDS),
    ("lower keepGenerations", "deadline::older_generations_make_room_for_a_newer_one"),
    ("end this pod, since the other one goes on", "holds::a_twin_that_was_cut_off_commits_nothing"),
    ("install criu {min} or newer in the container", MENDS),
    (
        "use the one of crik's image",
        "users::a_master_of_root_and_its_workers_of_other_users_move_three_times",
    ),
    ("let it do without, or hooks.preCheckpoint", "workloads: perf-event"),
    ("let it close it, or hooks.preCheckpoint have it do so", "workloads: userfaultfd"),
    ("have it make its pipe without", "workloads: packet-pipes"),
    ("have the program make its pipe without", "workloads: packet-pipes"),
    ("have the program use an ordinary eventfd", "workloads: event-semaphore"),
    ("have the program do without (a sandbox has a switch", "workloads: mount-namespace"),
    ("have the program do without", "workloads: network-namespace"),
    (
        "use the same container image, or put it into additionalPaths",
        "images::additional_paths_inotify_and_control_group_files_go_along",
    ),
    ("crik verify tells which", "tools::what_was_altered_is_found"),
    ("put it into additionalPaths, or on the volume", MENDS),
    ("add it to securityContext.capabilities.add", MENDS),
    ("leave it out, or have command begin with crik", MENDS),
    ("put it into the container's image", MENDS),
    ("in the image's Dockerfile", MENDS),
    ("end the tracer", MENDS),
    ("start the program without its sandbox", "workloads: chromium"),
    ("or run the container as root", MENDS),
];

const MENDS: &str = "doctor_mends::what_is_to_be_written_is_written_and_the_pod_is_protected";
const MAY_DO_MORE: &str =
    "users::a_program_that_may_do_more_than_its_next_container_is_not_touched_and_goes_on_where_it_may";

/// A part of a remedy that no test does, and why not.
const NOT_WALKED: [(&str, &str); 31] = [
    ("use a node with a newer kernel", ONE_KERNEL),
    (
        "use another kind of volume",
        "what lacks it is made by the harness, which has no other kind in its place but those of all suites",
    ),
    ("so use a file system: NFS", "the suites stand on one"),
    ("see what its server or its driver says", "it says where to look"),
    ("see ps", "it says where to look"),
    ("does a volume not answer?", "it says where to look"),
    ("CRIU does not know such sockets", THE_PROGRAMS),
    ("CRIU does not know such devices", THE_PROGRAMS),
    ("is it newer than this crik knows?", "there is no such CRIU"),
    ("run it once", "it is the suites' usual pod"),
    ("install it in the container", "there is no such old CRIU here; the version is compared in a unit test"),
    ("let it send it", THE_PROGRAMS),
    ("let it read more often", THE_PROGRAMS),
    ("let the program accept more often", THE_PROGRAMS),
    ("let the program close it, or keep it on a file system that has links", THE_PROGRAMS),
    ("let the program close it after each use", THE_PROGRAMS),
    ("use a UNIX socket or files for its messages", THE_PROGRAMS),
    ("let hooks.preCheckpoint close it", THE_PROGRAMS),
    ("let it listen on 0.0.0.0 or ::", THE_PROGRAMS),
    ("run nothing else in the container while it starts", NOBODY_ELSE),
    ("run nothing in the pod that listens there", NOBODY_ELSE),
    ("raise fs.pipe-user-pages-soft", WHOLE_MACHINE),
    ("raise fs.inotify.max_user_instances", WHOLE_MACHINE),
    ("keep its pods on one CPU type", ONE_CPU),
    ("start the kernels of its nodes with arm64.nosve", ONE_CPU),
    ("the first start makes it", "it says what comes next"),
    ("it is tried", "it says what comes next"),
    ("start the program again after such a change", THE_PROGRAMS),
    ("its own output, or the kernel's log", "it says where to look"),
    ("who removed link_remap.* there has removed the file", "it says what has happened"),
    ("the next one will find it, or name it", "it says what comes next"),
];

const ONE_KERNEL: &str = "a test has this machine's kernel";
const ONE_CPU: &str = "there is one CPU here";
const WHOLE_MACHINE: &str = "it would change this machine";
const THE_PROGRAMS: &str =
    "it is for who writes the program, and what is left of it is any program of the corpus";
const NOBODY_ELSE: &str = "it is the suites' usual pod";

/// The string literals of a source, without its tests; those that go over several lines are joined.
fn literals(source: &str) -> Vec<String> {
    let own = source.split("#[cfg(test)]").next().unwrap_or_default();
    let code = own.lines().filter(|line| !line.trim_start().starts_with("//"));
    let joined = code.collect::<Vec<_>>().join("\n").replace("\\\"", "'").replace("'\"'", "");
    let whole: String = joined.split("\\\n").map(str::trim_start).collect();
    whole.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The remedy in what is told; none if there is none.
fn remedy<'a>(told: &'a str, behind: &str) -> Option<&'a str> {
    let remedy = match told.split_once(behind).filter(|_| !behind.is_empty()) {
        Some((_, remedy)) => remedy,
        None => ALONE.iter().any(|start| told.starts_with(start)).then_some(told)?,
    };
    // What is put together of parts has its words elsewhere, and what CRIU says is none.
    let words = remedy.split_whitespace().filter(|word| !word.contains('{'));
    (words.count() > 1 && !remedy.starts_with(char::is_uppercase)).then_some(remedy)
}

fn remedies() -> Result<Vec<String>> {
    let mut all = Vec::new();
    for (path, behind) in SOURCES {
        let source = fs::read_to_string(workspace().join(path)).context(path)?;
        let before = all.len();
        all.extend(literals(&source).iter().filter_map(|told| remedy(told, behind)).map(str::to_owned));
        ensure!(all.len() > before, "{path} has no remedy any more");
    }
    // They are put together with what is wrong by whoever tells of it.
    let shared = fs::read_to_string(workspace().join("agent/src/tree/process/remedies.rs"))?;
    all.extend(literals(&shared).into_iter().filter(|told| told.starts_with("have the program")));
    Ok(all)
}

/// Expects that there is such a test.
fn is_there(walk: &str) -> Result<()> {
    let read = |path: String| fs::read_to_string(workspace().join("tests").join(&path)).context(path);
    if let Some(program) = walk.strip_prefix("workloads: ") {
        let file = read(format!("workloads/{program}.toml"))?;
        ensure!(file.contains("\nremedy = ") || !file.contains("\nrefused = "), "{program} has no remedy");
        return Ok(());
    }
    let Some((suite, function)) = walk.split_once("::") else { bail!("{walk} is no test") };
    ensure!(read(format!("tests/{suite}.rs"))?.contains(&format!("fn {function}(")), "there is no {walk}");
    Ok(())
}

#[test]
fn each_is_done_in_a_test_or_it_is_said_why_that_cannot_be_here() -> Result<()> {
    let (remedies, known) = (remedies()?, || WALKED.iter().chain(&NOT_WALKED));
    ensure!(remedies.len() > 70, "{remedies:#?}");
    let unknown: Vec<_> =
        remedies.iter().filter(|one| !known().any(|(part, _)| one.contains(part))).collect();
    ensure!(unknown.is_empty(), "nobody has tried {unknown:#?}");
    let stale: Vec<_> = known()
        .map(|(part, _)| part)
        .filter(|part| !remedies.iter().any(|one| one.contains(*part)))
        .collect();
    ensure!(stale.is_empty(), "nobody says {stale:#?}");
    WALKED.iter().try_for_each(|(_, walk)| is_there(walk))
}
