//! Every path and number that is fixed in the agent, each with its reason.

use std::time::Duration;

pub use crik_store::base::limits::*;

/// So much of what CRIU writes of memory is taken at once: a pipe has as much at most (pipe(7)).
pub const STREAM_PART_BYTES: u64 = 1 << 20;

/// So much of what a program has in memory is read in a second where it is stored before there is a checkpoint: it costs a third of a
/// processor, which is the program's too, and in two minutes, as the notice of a spot node has, it is 24 GB.
pub const WARM_UP_RATE: u64 = 200_000_000;

/// The least that can be wished for.
pub const WARM_UP_RATE_MIN: u64 = 1_000_000;

/// After so much of it, or after this share of all, what was stored counts: a stop gives up what is under way. For each part all names of
/// the earlier ones are looked through.
pub const WARM_UP_PART_BYTES: u64 = 128 << 20;

/// See [`WARM_UP_PART_BYTES`].
pub const WARM_UP_PARTS: u64 = 16;

/// No more of it is stored, since the names of its chunks have to be kept in memory: 2.3 MB a GB.
pub const WARM_UP_MAX_BYTES: u64 = 16 << 30;

/// What is stored beforehand has the processors when nobody else wants them (nice(1)): they are the program's.
pub const WARM_UP_NICENESS: i32 = 19;

/// For how long a node must be well again before what was stored is given up: it may be told to go away again at once.
pub const WARM_UP_REGRET: Duration = Duration::from_secs(30);

/// How long is waited at a start until it is known how checkpoints are kept.
pub const WARM_UP_PATIENCE: Duration = Duration::from_secs(60);

/// How long the end of what is stored beforehand is waited for when the program has ended.
pub const WARM_UP_END: Duration = Duration::from_secs(2);

/// How often a thread that reads less than it could looks whether it is still wanted.
pub const WARM_UP_POLL: Duration = Duration::from_millis(20);

/// Where the configuration is read when no `--config-path` is given; the Go program's default.
pub const CONFIG_PATH: &str = "/etc/crik/config.yaml";

/// Where the loader looks for the libraries of the agent's image (`deploy/bundle.sh`).
pub const LIBRARIES: &str = "/usr/local/lib/crik";

/// Whom the kernel names for a user whom a user namespace does not have (user_namespaces(7), `overflowuid`).
pub const NOBODY: u32 = 65_534;

/// The image directory of the examples (README), for who has none.
pub const EXAMPLE_IMAGE_DIR: &str = "imageDir: /checkpoints/${POD_NAME}";

/// The name of crik's ConfigMap in the examples (README).
pub const EXAMPLE_CONFIG_MAP: &str = "crik";

/// The longest grace period: no node gives as much, and arithmetic with absurd ones would overflow.
pub const GRACE_PERIOD_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Names the node on which the pod runs, set by the downward API; the Go program's name for it.
pub const NODE_NAME_VARIABLE: &str = "KUBERNETES_NODE_NAME";

/// Name the pod and its namespace, set by the downward API; who shows the controller a token need not set them.
pub const POD_NAME_VARIABLE: &str = "POD_NAME";
/// See [`POD_NAME_VARIABLE`].
pub const POD_NAMESPACE_VARIABLE: &str = "POD_NAMESPACE";

/// Where the kubelet writes the pod's namespace beside the token for the API server.
pub const POD_NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// Where the kubelet puts the token for the API server, in both spellings: `/var/run` is a link to `/run` in most containers.
/// Anybody else who is shown it could act in the pod's name.
pub const API_SERVER_TOKEN: [&str; 2] =
    ["/var/run/secrets/kubernetes.io/serviceaccount", "/run/secrets/kubernetes.io/serviceaccount"];

/// The kernel never gives a process id below this one again once a PID namespace's counter has passed it
/// (`RESERVED_PIDS`, kernel/pid.c). The tree lives above, and all that a restore needs to run first lives below.
pub const FIRST_TREE_PID: i32 = 300;

/// The oldest CRIU that dumps sockets on every kernel in use: since Linux 6.16 SO_PASSCRED on a non-UNIX socket is
/// refused, which CRIU 4.2 is the first to expect.
pub const OLDEST_CRIU: CriuVersion = CriuVersion(40_200);

/// Directories in which the init's program may be put, in order of preference. The first that can be written and
/// executed from is taken; the image directory is the last resort, for a read-only root file system without a `/tmp`.
pub const INIT_DIRECTORIES: [&str; 3] = ["/run/crik", "/tmp", "/var/tmp"];

/// CRIU's log inside `criu/` of a generation: level 4 (debug) is what its developers ask for in a report.
pub const CRIU_LOG_LEVEL: i32 = 4;
/// File name of CRIU's log of a dump.
pub const DUMP_LOG: &str = "dump.log";
/// Where CRIU may write what it has measured of a restore, and cannot: nobody reads it, and the tree runs already by then, so that
/// a write that hangs would keep the agent from watching over it.
pub const RESTORE_WORK: &str = "/proc";
/// File name of CRIU's log of a restore.
pub const RESTORE_LOG: &str = "restore.log";

/// Where CRIU may keep what it has learned of the kernel: on a tmpfs, which ends with the boot. `/dev` is the container's own, and root's;
/// to anybody else there is the pod's `/dev/shm`.
pub const FEATURE_DIRECTORIES: [&str; 2] = ["/dev", "/dev/shm"];
/// How the directory there is called, before what its contents depend on. It goes along with no checkpoint.
pub const FEATURE_DIRECTORY_NAME: &str = "crik-features-";

/// How much of the beginning and of the end of CRIU's log is kept. It has a line for each run of pages and for each descriptor, a
/// hundred MiB where there are many, in the memory of a container that may be at its limit.
pub const LOG_HEAD_BYTES: u64 = 2 << 20;
/// The same of its end, which has the errors.
pub const LOG_TAIL_BYTES: u64 = 6 << 20;

/// How many FIFOs for the pages of a dump lie ready beyond the one that is read. CRIU waits at the next one; a few are for its sake who
/// looks.
pub const FIFOS_AHEAD: u32 = 4;
/// How much a pipe holds of the pages of a dump or a restore: as much as any user may have it hold (pipe(7), `pipe-max-size`).
pub const PAGES_PIPE_BYTES: i32 = 1 << 20;

/// How many of the pipes of a restore hold that much at once. What a user's pipes may hold together is shared with the pipes of the tree.
pub const LARGE_PIPES: usize = 2;
/// The longest name of a pause of CRIU's.
pub const ACTION_BYTES: u64 = 64;

/// How often a call of CRIU that waits for another one to end looks whether it is still wanted.
pub const TURN_POLL: Duration = Duration::from_millis(5);

/// Files that are open but deleted are carried in the image up to this size. CRIU's own limit of 1 MiB is below what
/// databases keep in their temporary files.
pub const GHOST_LIMIT: &str = "256M";

/// How many bytes of the container's own files go along if `carry.maxBytes` is not given: more than the temporary files of most
/// programs, and little enough to be written within the time that a node gives.
pub const CARRY_MAX_BYTES: u64 = 4 << 30;

/// The list of the files that went along has some 200 bytes for each; a larger one could exhaust the container's memory.
pub const CARRIED_LIST_MAX_BYTES: u64 = 256 << 20;

/// What crik itself has in the container's layer, none of which goes along or is removed: the init, and what it tells a restored
/// application.
pub const OWN_DIRECTORY: &str = "/run/crik";

/// A file that is larger than a page and has no block on the disk is one hole: no file system keeps as much in an inode.
pub const IN_NO_BLOCK_BYTES: u64 = 4096;

/// How the directories begin in which a restore has its own copy of what it changes in an image. Where the container does not run as
/// root they lie in /tmp, which is put back to what it was meanwhile.
pub const PRIVATE_IMAGES: &str = ".crik-images-";

/// How the directories are called in which what was replaced lies until a tree runs.
pub const ASIDE: &str = ".crik-aside-";

/// How often the one who walks the files looks whether CRIU has frozen the tree, which takes some milliseconds.
pub const FROZEN_POLL: Duration = Duration::from_millis(1);

/// How many threads walk the container's files beside the dump: they wait for the kernel's locks of directories, so more gain
/// nothing, and CRIU needs a processor.
pub const WALKERS_MAX: usize = 4;

/// How many directories one user may watch (inotify(7)).
pub const WATCHES_MAX: &str = "/proc/sys/fs/inotify/max_user_watches";

/// One part in this many of them is watched at most while a checkpoint begins, since the kubelet and other pods' programs may be
/// the same user to the kernel.
pub const WATCHES_SHARE: usize = 2;

/// More names than this, changed between the first look at the files and the freeze, are not remembered one by one, which would
/// take the container's memory: everything is looked at again.
pub const TOUCHED_MAX: usize = 100_000;

/// How often it is read meanwhile what has changed: the kernel keeps 16,384 events (`fs.inotify.max_queued_events`), which a
/// program makes in some tens of milliseconds.
pub const WATCHES_POLL: Duration = Duration::from_millis(5);

/// How long after a start it is looked what of the tree cannot be frozen: a program makes its rings while it starts.
pub const TREE_LOOK_AFTER: Duration = Duration::from_secs(2);

/// The longest time between two looks at the tree, each a few milliseconds of work: a program changes, and its node says no minute before it goes.
pub const TREE_LOOK_PAUSE: Duration = Duration::from_secs(60);

/// Until another look where the last one has met something new: longer than an exec, and soon enough to be told in time.
pub const TREE_LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How long `crik doctor` waits for what may hang on a volume: a person waits, and a volume that is well answers in milliseconds.
pub const DOCTOR_PATIENCE: Duration = Duration::from_secs(10);

/// How long the look before a periodic checkpoint may hold that up. It is told all the same when it comes later.
pub const TREE_LOOK_PATIENCE: Duration = Duration::from_millis(200);

/// For so long the paths of what a program watches are looked for before a checkpoint; a root file system of 80,000 names takes a
/// third of a second. The program runs meanwhile, but at a stop the time is that of the checkpoint.
pub const WATCHED_PATIENCE: Duration = Duration::from_secs(10);

/// The same for a look that only warns, and comes again: what takes longer is not known by it.
pub const WATCHED_LOOK_PATIENCE: Duration = Duration::from_secs(1);

/// The IPC namespace of the machine itself (PROC_IPC_INIT_INO, include/linux/proc_ns.h): /dev/shm is then every pod's.
pub const HOST_IPC: &str = "ipc:[4026531839]";

/// What the kubelet has in the path of every emptyDir (pkg/volume/emptydir).
pub const EMPTY_DIR: &str = "/volumes/kubernetes.io~empty-dir/";

/// The same for those that NFS keeps under a name of its own, which are copied.
pub const UNNAMED_MAX_BYTES: u64 = 256 << 20;

/// Device nodes and directories that the container's runtime provides in every container, under the name that
/// links them from dump to restore. The list is the Go program's.
pub const EXTERNAL_MOUNTS: [(&str, &str); 7] = [
    ("zoneinfo", "/usr/share/zoneinfo"),
    ("null", "/dev/null"),
    ("random", "/dev/random"),
    ("urandom", "/dev/urandom"),
    ("tty", "/dev/tty"),
    ("zero", "/dev/zero"),
    ("full", "/dev/full"),
];

/// How images count real-time signals, `SIGRTMIN+3` for instance: from the kernel's first that glibc leaves to programs (signal(7)); the
/// C library that this program is built with leaves one less.
pub const FIRST_REAL_TIME_SIGNAL: i32 = 34;

/// The last signal that there is (signal(7), `SIGRTMAX`).
pub const LAST_SIGNAL: i32 = 64;

/// Where control groups are mounted (cgroups(7)); files below it differ from pod to pod.
pub const CGROUP_ROOT: &str = "/sys/fs/cgroup";

/// From which size on memory is a buffer, which goes back to the kernel as soon as it is not used any more: the allocator's own limit,
/// as long as it is left alone.
pub const BUFFER_BYTES: i32 = 128 << 10;

/// Longest wait that the agent asks of the controller in one long poll; below the idle time-outs of the load
/// balancers and proxies that may stand between (60 s is the most common).
pub const POLL_WAIT: Duration = Duration::from_secs(50);

/// What an answer may take beyond the wait that was asked for.
pub const POLL_SLACK: Duration = Duration::from_secs(5);

/// To connect takes a round trip; an address that does not answer in this time is a dying replica that is still
/// listed, and another one is tried.
pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(300);

/// How long the first answer of a replica may take before another one is asked: it has the answer in its memory.
pub const FIRST_ANSWER: Duration = Duration::from_secs(2);

/// The same where a decision waits for it; it is doubled each time, for a controller that is only slow.
pub const DECISIVE_ANSWER: Duration = Duration::from_millis(500);

/// More addresses than this are not asked: the controller has two or three replicas.
pub const ADDRESSES_MAX: usize = 8;

/// How long a connection may be silent before the kernel asks whether the other side lives, how often it asks again, and
/// how many questions without an answer end the connection: a node that has died is noticed in 19 s.
pub const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(10), Duration::from_secs(3), 3);

/// The longest that a controller may send an agent away.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// A token has a few KiB at most; more than this is none, and reading it could exhaust the container's memory.
pub const TOKEN_MAX_BYTES: u64 = 64 << 10;

/// How long an agent stays at one replica at least, and up to twice that: agents that have come to one replica since the others were
/// replaced spread over all of them again, at a cost of one connection in so long.
pub const STAY: Duration = Duration::from_secs(15 * 60);

/// How long an agent waits at most until a replica that has lost its source has it again, before it looks for another one: each waits
/// for another part of this, since all are told at once.
pub const SOURCE_AWAITED: Duration = Duration::from_secs(5);

/// A long poll that ends before this without news was not a long one.
pub const POLL_EARLY: Duration = Duration::from_secs(1);

/// How soon the controller is asked again who ends the pod, as long as nobody does: a kubelet that evicts a pod writes that down
/// at about the moment at which it sends the SIGTERM.
pub const POD_AGAIN: Duration = Duration::from_millis(500);

/// How long a stop that is decided waits to learn who ends the pod, and how long that gives it: the answer takes one read of the
/// API server's, some milliseconds, and the shortest grace period that leaves time for anything is some seconds.
pub const POD_ANSWER: Duration = Duration::from_millis(250);

/// What a kubelet gives a container at least whose preStop hook has used up the grace period (pkg/kubelet/kuberuntime,
/// `minimumGracePeriodInSeconds`).
pub const GRACE_AFTER_HOOK: Duration = Duration::from_secs(2);

/// How long after the end of the grace period a hook is cut off at the latest: a busy kubelet needs seconds to see a deletion.
pub const HOOK_CUT_OFF: Duration = Duration::from_secs(10);

/// Pauses between failing polls: doubled from the first to the last, so that a controller that restarts is found
/// soon and one that is away costs nothing.
pub const POLL_BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(15));

/// When an eviction came is an RFC 3339 time of some 24 characters, and no proxy makes a long text of it.
pub const MOVE_MAX_CHARS: usize = 64;

/// So many moves are remembered, so that none is made twice: one takes seconds, and no replica of the controller lags so far behind.
pub const MOVES_REMEMBERED: usize = 16;

/// How long the program stands still after a checkpoint for a move, until its pod is ended: an eviction that was sent away comes again
/// after some seconds, and a person who moves pods by hand needs no more for each. Longer would be a pause that nobody wants.
pub const STAY_STOPPED: Duration = Duration::from_secs(60);

/// How long the program stands still longer until the volume has noted that it goes on: two small files, also on a volume that is slow.
/// One that hangs holds up nobody for ever.
pub const GOES_ON_PATIENCE: Duration = Duration::from_secs(5);

/// How long a replica may take to take a report: it asks the API server twice.
pub const REPORT_ANSWER: Duration = Duration::from_secs(3);

/// Pauses before a report is sent again: doubled from the first to the last. Whoever is away costs little, and nobody waits for reports
/// but a move, which is told at once.
pub const REPORT_BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

/// How long reports rest that are refused for good: until somebody has changed the controller or the pod's rights.
pub const REPORTS_REFUSED: Duration = Duration::from_secs(10 * 60);

/// How many reports wait at most: more than happens to a program in the hour in which a controller is away, and a few KB.
pub const REPORTS_WAITING: usize = 64;

/// What the agent's end may be later for reports that wait: the pod has ended for everybody else.
pub const REPORTS_AT_THE_END: Duration = Duration::from_millis(500);

/// How long a reason may be that is told in a report: a few of them have to fit into an annotation and an Event (1,024 characters).
pub const REPORT_WHY_MAX_CHARS: usize = 500;

/// Pauses before a checkpoint at a notice that failed is tried again: doubled from the first to the last. Each try stops the
/// application for a while, and what made one fail seldom passes quickly.
pub const NOTICE_BACKOFF: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// An answer of the controller is a few hundred bytes; more than this is not one.
pub const ANSWER_MAX_BYTES: usize = 64 << 10;

/// How long after SIGKILL the tree may take to be gone before the agent exits all the same; the end of the PID
/// namespace removes the rest.
pub const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// How long to sleep between looks at children that were sent SIGKILL; they take about a millisecond to go.
pub const REAP_PAUSE: Duration = Duration::from_millis(1);

/// How long a dump whose writes are refused may take to give the tree back: it looks at one process for a few milliseconds
/// between two writes. One that hangs in a write to a dead volume is killed after it, at the cost of `reserve`.
pub const FAIL_PATIENCE: Duration = Duration::from_millis(500);

/// How long a CRIU that was killed may take to be gone, which is at once unless the volume holds it.
pub const CANCEL_PATIENCE: Duration = Duration::from_secs(1);

/// To give a dump up gets at most this part of the time that a stop has: with a short one, that is mostly needed for the dump.
pub const GIVE_UP_SHARE: u32 = 10;

/// How long the agent may stay after its application to finish on the volume what a stop began.
pub const CLEAN_UP_PATIENCE: Duration = Duration::from_secs(1);

/// How long a program may take to load its libraries, from a cold disk, before it is said that one is missing.
pub const START_PATIENCE: Duration = Duration::from_secs(5);

/// How often it is looked at meanwhile.
pub const START_PAUSE: Duration = Duration::from_millis(50);

/// How long to wait for it between one look and the next.
pub const CANCEL_PAUSE: Duration = Duration::from_millis(5);

/// How much of a script's beginning the kernel reads to find its interpreter (`BINPRM_BUF_SIZE`, execve(2)).
pub const SCRIPT_HEAD_BYTES: u64 = 256;

/// After so long a tree that was resumed has shown that its generation works, and what ends it then is something else: a program
/// that crashes because of how it was restored does so at once.
pub const SETTLED_AFTER: Duration = Duration::from_secs(10 * 60);

/// The threads that a wait for another pod's hold has before it begins: one that looks, and one that renews the hold later. A third
/// where the volume hangs in one of them.
pub const THREADS_OF_A_WAIT: usize = 3;

/// The threads of the runtime that are there before the wait: one that looks the controller's address up, and one that calls CRIU.
pub const BLOCKING_THREADS: usize = 2;

/// How long a thread of the runtime that has nothing to do is kept: for ever, since the next one would take another process id.
pub const BLOCKING_THREAD_LIFE: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// How many process ids an attempt to restore a tree uses up beside those of the tree: CRIU, its helpers and our threads are some
/// twenty, those that verify many files [`VERIFIERS_MAX`] each time; hashing has a thread for each processor besides.
pub const IDS_OF_AN_ATTEMPT: usize = 128;

/// How many ids are used up at most to get out of a tree's way, which takes two seconds. A tree with more has gaps.
pub const IDS_PASSED_MAX: usize = 100_000;

/// How long a tree that has got its SIGKILL is waited for before the image directory is given back: it takes milliseconds to go, and
/// may have locks on files that the next pod wants. At the end of a grace period there is no time for more.
pub const GOING_PATIENCE: Duration = Duration::from_millis(200);

/// How long the agent may stay after its application to mark an end; the mark matters more than a quick exit.
pub const END_PATIENCE: Duration = Duration::from_secs(10);

/// The shortest `claimExpiry`: a busy volume may hold a renewal up for a moment.
pub const HOLD_EXPIRY_MIN: Duration = Duration::from_secs(1);

/// The shortest `interval`: below, the application would hardly run between two pauses.
pub const INTERVAL_MIN: Duration = Duration::from_secs(1);

/// How long the application may stand still for a checkpoint after which it goes on, if `maxPause` is not given. A liveness probe with
/// Kubernetes' defaults (periodSeconds 10, failureThreshold 3) ends a container whose program does not answer for 20 s at the
/// soonest; what it takes to give a dump up comes on top.
pub const MAX_PAUSE: Duration = Duration::from_secs(15);

/// A dump that was given up says how fast the program is dumped only when it has had this part of `maxPause`: CRIU looks at every
/// process first.
pub const PAUSE_SHARE: u32 = 4;

/// The smallest part of a dump that says how fast the whole goes.
pub const PAUSE_LEAST_SHARE: u64 = 16;

/// By how much more the program is believed to be dumped in a second each time when a checkpoint is not taken because of `maxPause`: a
/// volume that was slow is not slow for ever, so it is tried again, the sooner the less is missing.
pub const PAUSE_HOPE: f64 = 1.25;

/// How long a start waits for a volume before it exits with 75 (`onVolumeUnavailable: wait`): servers that fail over, and the grace
/// period of those that have started (90 s), take minutes; and a mount that is stuck for good may be made anew for another container.
pub const VOLUME_PATIENCE: Duration = Duration::from_secs(30 * 60);

/// After so long without an answer of the volume the log says that it is waited for: before a liveness probe with Kubernetes'
/// defaults (10 s, three times) ends the container.
pub const SILENCE_TOLD: Duration = Duration::from_secs(3);

/// How often the log says so again: doubled from the first to the last.
pub const WAIT_TOLD: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(600));

/// How often a restore that waits for the hashes looks whether it was given up.
pub const VERIFY_POLL: Duration = Duration::from_millis(50);

/// How often it is looked at whether a restore moves.
pub const STALL_POLL: Duration = Duration::from_secs(1);

/// After how many looks in a row at a call whose CRIU has ended that is taken for killed.
pub const CRIU_GONE_LOOKS: u32 = 3;

/// How long a CRIU that has let the tree go may take to end, which is at once unless the volume holds it.
pub const FAREWELL_PATIENCE: Duration = Duration::from_secs(1);

/// How often a socket is looked for that somebody else is to bind: a person does not notice it, and it costs one system call.
pub const PEER_POLL: Duration = Duration::from_millis(100);

/// How long a process that has an id of the tree may take to end by itself before a restore, and is ended after. Longer than a probe's
/// command may take by default (a second), and short for a program that waits to go on.
pub const ID_HOLDER_PATIENCE: Duration = Duration::from_secs(5);

/// How many lines of CRIU's log the container's log gets after an error of which nothing is known: what CRIU was at, and what followed.
pub const CRIU_LINES_TOLD: usize = 15;

/// How many of several processes or files a line of the log names.
pub const NAMED_MAX: usize = 5;

/// How long what runs beside the program may take to end before a stop, and again when it is killed. A debugger lets go of its program
/// in some milliseconds; the time is a small part of the shortest notice of a node's end, 25 seconds.
pub const SESSION_PATIENCE: Duration = Duration::from_millis(500);

/// After how long a periodic checkpoint is tried again where something ran beside the program, as most such sessions are short. Doubled
/// each time, up to `interval`.
pub const SESSION_RETRY: Duration = Duration::from_secs(2);

/// How often a process of crik's own beside the application is looked at.
pub const BESIDE_POLL: Duration = Duration::from_millis(10);

/// How much of what a program writes to is copied in memory for a trial of it: the container's memory, which the program needs too.
pub const TRIAL_COPIES_BYTES: u64 = 256 << 20;
/// Memory that is left to the program beside a copy of it.
pub const TRIAL_MEMORY_LEFT_BYTES: u64 = 64 << 20;
/// How long a copy of a program may take to be restored and to make its steps: 4 GB from a volume that gives 100 MB/s, and some more.
pub const TRIAL_COPY_PATIENCE: Duration = Duration::from_secs(60);
/// How long a restored process is given to run for the first time: each has to return from the call that it was frozen in.
pub const TRIAL_STEP_PATIENCE: Duration = Duration::from_secs(5);
/// For so long a copy is watched after that: whoever runs at all runs within a second.
pub const TRIAL_WATCH: Duration = Duration::from_secs(1);
/// For so long the image of a trial is kept for a pod that resumes it, which first has to be made and to have its container's image.
pub const TRIAL_KEPT: Duration = Duration::from_secs(15 * 60);
/// For so long such a pod may exist: less, so that nothing is taken away under it.
pub const TRIAL_POD_SECONDS: u64 = 10 * 60;
/// How often a copy is looked at meanwhile.
pub const TRIAL_POLL: Duration = Duration::from_millis(50);
/// Where programs make files that have no name, sockets, and what crik itself maps: a copy gets these in memory.
pub const TRIAL_DIRECTORIES: [&str; 4] = ["/dev/shm", "/run/crik", "/tmp", "/var/tmp"];
/// What a runtime makes read-only of a container's /proc, since who is root on the machine could change the machine there.
pub const READ_ONLY_OF_PROC: [&str; 5] = ["bus", "fs", "irq", "sys", "sysrq-trigger"];

/// How long the trial of two small processes may take, which takes a third of a second: it may wait for a volume or a processor,
/// and tells nothing then.
pub const TRIAL_PATIENCE: Duration = Duration::from_secs(30);

/// How many ask for checkpoints at a time.
pub const CONTROL_PEERS_MAX: usize = 8;

/// What is written to measure the volume's speed: enough that latency matters little, little enough to be no burden.
pub const PROBE_BYTES: u64 = 16 << 20;

/// The least that is written for it where there is no room for more: less than the smallest image of any program.
pub const PROBE_LEAST_BYTES: u64 = PROBE_BYTES / 64;

/// How often a volume is measured at a start that does not seem fast: a moment's load costs it no more than some hundredths of a second.
pub const SPEED_TRIES: u32 = 3;

/// For how long a volume is measured again that would be too slow by what is known of it.
pub const SPEED_AGAIN: Duration = Duration::from_millis(500);

/// From so many bytes per second on CRIU's own images are written, though a slower volume gains by chunks: those take 1.7 processor seconds a
/// GB (`make bench-store`), so that two processors make 1.2 GB a second of them, of which a pod often has a third.
pub const FAST_VOLUME: f64 = 400e6;

/// A checkpoint is refused before it begins only when it would take this many times the time that is left: the speed was
/// measured earlier and with less data, and a dump that proves too slow is given up on the way.
pub const HOPELESS_FACTOR: f64 = 3.0;

/// A dump on its way is given up when it needs this many times the time that is left: its pace varies, and the deadline
/// holds in any case.
pub const PACE_FACTOR: f64 = 1.5;

/// Over how long, at least, the present pace of a dump is measured: a volume takes what it gets in bursts.
pub const PACE_WINDOW: Duration = Duration::from_secs(2);

/// How often the pace is looked at.
pub const PACE_POLL: Duration = Duration::from_millis(200);

/// How many times longer than it takes to look the volume is left alone afterwards.
pub const PACE_POLL_SHARE: u32 = 10;

/// How long at most: one that hung for long may be well again.
pub const PACE_POLL_MOST: Duration = Duration::from_secs(5);

/// How often the log tells how far a dump is.
pub const PROGRESS_PAUSE: Duration = Duration::from_secs(2);

/// Pauses before it is looked whether a checkpoint of the program would find room: doubled from the first to the last. Most programs
/// have what they need after some seconds or minutes, and what grows later does so over hours; each look walks the container's files.
pub const ROOM_PAUSES: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(60 * 60));

/// How often a hook that runs is looked at.
pub const HOOK_POLL: Duration = Duration::from_millis(5);

/// Where a restored application finds which generation it is.
pub const RESTORED: &str = "/run/crik/restored.json";

/// The start of the name of the agent's control socket, which is in no file system (unix(7), abstract), since a container
/// may have none that can be written. The PID namespace follows, so that containers that share a network do not meet.
pub const CONTROL_SOCKET: &str = "crik-agent-";

/// A request on the control socket is one short line.
pub const REQUEST_MAX_BYTES: u64 = 4 << 10;

/// How long who connects may take to say what is wanted, and how long an answer may take to be read before the agent
/// exits.
pub const CONTROL_PATIENCE: Duration = Duration::from_secs(5);

/// How long the control socket rests after a connection that could not be taken, which is when descriptors or memory have run
/// out: the next try would fail as well, and who asks waits meanwhile.
pub const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// After this a person wants to see that something happens.
pub const PROGRESS_AFTER: Duration = Duration::from_secs(2);

/// CRIU's images other than pages have a few KiB; a larger one is none, and reading it could exhaust the memory.
pub const METADATA_MAX_BYTES: u64 = 64 << 20;

/// The beginning of the image of a connection in which its record is, a dozen numbers; what was received follows.
pub const STREAM_HEAD_BYTES: u64 = 4096;

/// So much below the end of its stack a function may use without saying so (System V ABI for x86-64, 3.2.2; AArch64 has none).
pub const RED_ZONE_BYTES: u64 = 128;

/// The environment variable by which CRIU finds its configuration file (criu(8)).
pub const CRIU_CONFIG_VARIABLE: &str = "CRIU_CONFIG_FILE";

/// Who owns what belongs to nobody in this user namespace, as the kernel shows it (user_namespaces(7), `overflowuid`).
pub const OVERFLOW_UID: u32 = 65534;

/// The first piece of carried files that is written, and the smallest: a volume that takes a kilobyte a second, of which nothing
/// can be expected, still takes it in a second, and that is less than any reserve.
pub const SMALLEST_PIECE_BYTES: usize = 1 << 10;

/// The largest: more at once is hardly faster.
pub const LARGEST_PIECE_BYTES: usize = 1 << 20;

/// A piece that takes less than this may be followed by a larger one.
pub const PIECE_AT_ONCE: Duration = Duration::from_millis(20);

/// Directories for the page of the clock library, in order of preference. It is written to whenever a thread waits, and where a file lies on a disk, a
/// write may have to wait for that.
pub const CLOCK_PAGE_DIRECTORIES: [&str; 1] = ["/dev/shm"];

/// The vDSO has two pages on all kernels in use; more than this is none.
pub const VDSO_MAX_BYTES: usize = 1 << 20;

/// How many instructions a thread may take to leave the vDSO. Its longest function, which makes random numbers, takes hundreds.
pub const VDSO_STEPS_MAX: usize = 100_000;

/// The least that the kernel's clocks tell apart (clock_getres(2)): what took none of it took about as much.
pub const CLOCK_STEP: Duration = Duration::from_nanos(1);

/// The coarse clocks say the time of the last tick, of which there are at least 100 a second.
pub const COARSE_CLOCK_TICK: Duration = Duration::from_millis(10);

/// Where the kubelet reads a container's last words, unless `terminationMessagePath` says otherwise.
pub const TERMINATION_LOG: &str = "/dev/termination-log";

/// The kubelet shows 4,096 bytes at most, and the program may have something to say too.
pub const TERMINATION_MESSAGE_MAX_CHARS: usize = 1000;

/// How often a pod that waits for the image directory notes what it has seen: so much of the wait is lost with its container.
pub const WAITED_NOTED: Duration = Duration::from_secs(1);

/// Names the kubectl that `kubectl crik` asks by, where it is not the one in PATH.
pub const KUBECTL_VARIABLE: &str = "KUBECTL";

/// How long kubectl waits for one answer of the API server, unless it is told otherwise: it would wait for ever.
pub const KUBECTL_PATIENCE: &str = "--request-timeout=30s";

/// How often `kubectl crik` looks whether what it waits for has come. A pod takes seconds to start, and each look is a process and a
/// connection.
pub const KUBECTL_POLL: Duration = Duration::from_millis(500);

/// For how long the API server may give no answer while something is waited for: as long as a control plane of one machine takes to be
/// upgraded.
pub const KUBECTL_OUTAGE: Duration = Duration::from_secs(120);

/// How often `kubectl crik status --watch` looks.
pub const KUBECTL_WATCH_PAUSE: Duration = Duration::from_secs(2);

/// How much of a pod's log is read to find out how its program started: that is told before its own output.
pub const KUBECTL_LOG_BYTES: &str = "--limit-bytes=1048576";

/// How long `kubectl crik` waits for the next pod to go on, unless it is told otherwise: as long as a restore may take by default.
pub const KUBECTL_TIMEOUT: &str = "10m";

/// Checkpoints of one workload that `kubectl crik suspend` has taken at the same time: more would share the volume's speed, and stand still
/// for longer.
pub const KUBECTL_AT_ONCE: &str = "8";

/// For how long all programs of a workload have to stand still when its last checkpoint is durable: until the API server, controllers and
/// kubelets have told each pod to end. One that has gone on by itself by then would be told to stop on a node that is well, and begin anew.
pub const UNTIL_ALL_END: Duration = Duration::from_secs(20);

/// How long before its program goes on by itself a pod that is moved has to be deleted: until its kubelet has told it to end, and for what
/// the answer of its checkpoint has taken to come.
pub const UNTIL_IT_ENDS: Duration = Duration::from_secs(10);

/// A checkpoint of a pod whose node goes away is fresh if it is no older: it costs no more work than an `interval` of the README's examples.
pub const FRESH_CHECKPOINT: Duration = Duration::from_secs(10 * 60);
