//! Every path and number that is fixed in the store, each with its reason.

use std::time::Duration;

/// A CRIU version as its own RPC counts it: major × 10,000 + minor × 100 + patch level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CriuVersion(pub u32);

impl std::fmt::Display for CriuVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0 / 10_000, self.0 / 100 % 100, self.0 % 100)
    }
}

/// The variable in which a container may have crik's configuration itself: what is said to crik is none of what a pod gives its program.
pub const CONFIG_VARIABLE: &str = "CRIK_CONFIG";

/// The highest number of a hold or a generation: one a second reaches it after 30,000 years. What has a higher one was made by
/// somebody else, and to count on from there would end at once.
pub const NUMBER_MAX: u64 = 1_000_000_000_000;

/// How many paths a line of the log names at most.
pub const PATHS_TOLD: usize = 5;

/// A manifest is a few hundred KiB for the largest tree; a larger file is no manifest, and reading it could exhaust
/// the container's memory.
pub const MANIFEST_MAX_BYTES: u64 = 16 << 20;

/// How much of an image is read at once for hashing: large enough for BLAKE3's widest vectors and for few system calls. Small enough
/// to be in the processor's own cache when it is hashed, and to leave the rest of that and of the memory's bandwidth to CRIU, which
/// restores meanwhile (measured: a mebibyte at once takes 6 % more); and for many threads to have one each beside a frozen program.
pub const HASH_CHUNK_BYTES: usize = 128 << 10;

/// The same where all processors share the work; BLAKE3 advises at least 128 KiB for each, and more costs memory only.
pub const PARALLEL_HASH_CHUNK_BYTES: usize = 8 << 20;

/// How much is read of an image at once before it is looked at whether that is still wanted: a volume that gives a megabyte a second,
/// of which nothing can be expected, takes a quarter of one for it.
pub const READ_PIECE_BYTES: usize = 256 << 10;

/// How many files are sealed at the same time: each takes four round trips or more to a volume, of a millisecond to ten, and a
/// program with many threads has thousands.
pub const SEALERS_MAX: usize = 32;

/// How many small files are verified at the same time, for the same reason; twice as many threads, for the images and for what is put
/// back, are some of the agent's `IDS_OF_AN_ATTEMPT`.
pub const VERIFIERS_MAX: usize = 32;

/// A thread more for so many files: those of a program with few processes are verified in some hundredths of a second by one.
pub const ITEMS_PER_VERIFIER: usize = 16;

/// A file from this size on is hashed by all processors, one after the other; for smaller ones the round trips are most of the work.
pub const LARGE_FILE_BYTES: u64 = 8 << 20;

/// How much of a large file is on its way to the volume while the next part of it is hashed: enough to keep a fast disk busy, and
/// little enough that a slow one is waited for some seconds at most when it is given up.
pub const WRITE_BACK_BYTES: u64 = 64 << 20;

/// How much of a controller's message goes into the log.
pub const SAID_MAX_CHARS: usize = 300;

/// The kernel's name for this boot of the machine (random(4)).
pub const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A key has at least as many bytes as the hash that signs, or it is the easier thing to guess.
pub const KEY_MIN_BYTES: usize = 32;

/// More than this is no key, and reading it could exhaust the container's memory.
pub const KEY_MAX_BYTES: u64 = 64 << 10;

/// Claims and holder files are a few KiB; more than this is no such file, and reading it could exhaust the container's
/// memory.
pub const SMALL_FILE_MAX_BYTES: u64 = 1 << 20;

/// How many attempts to resume, one after the other, a SIGTERM may cut off before the next ones count: a drain may meet a restore,
/// but what does it again and again is a liveness probe, and the pod would never run.
pub const INTERRUPTIONS_FREE: usize = 5;

/// How often a hold is renewed before it could expire, so that a few lost renewals are no end.
pub const RENEWALS_PER_EXPIRY: u32 = 4;

/// How often another pod's hold is looked at by one that waits for it.
pub const HOLD_POLL: Duration = Duration::from_millis(250);

/// How often to begin again when other pods changed the holds meanwhile; each round one of them wins.
pub const HOLD_ROUNDS: u32 = 16;

/// The longest pause before something on the volume is tried again.
pub const RETRY_PAUSE_MAX: Duration = Duration::from_secs(4);

/// How long a stop tries again what an error of the volume has made fail; there is little time.
pub const STOP_RETRIES: Duration = Duration::from_secs(2);

/// How much of a program's or an option's name goes into the log.
pub const ARGUMENT_TOLD_CHARS: usize = 100;

/// A checkpoint is refused for want of room only when it needs this many times what can be had: how much it needs is an estimate,
/// and a volume may compress.
pub const ROOM_FACTOR: u64 = 2;

/// What an image has besides memory: CRIU's other files, its log and the manifest. A few MiB are usual.
pub const IMAGE_OVERHEAD_BYTES: u64 = 16 << 20;

/// The last second of the year 9999, in seconds since 1970: RFC 3339 has four digits for a year.
pub const LATEST_TIME: u64 = 253_402_300_799;

/// A configuration that a start script makes for a pod is at most as large as a ConfigMap may be (Kubernetes); what is larger is no
/// text for people, and looking for values in it would take time and memory.
pub const POD_FILE_MAX_BYTES: u64 = 1 << 20;

/// How the names of the clock library and of its page begin. What of them belongs to other containers of the pod, which share its
/// `/dev/shm`, is theirs.
pub const CLOCK_FILE_NAME: &str = "crik-clocks-";

/// A name that no other has (random(4)).
pub const RANDOM_UUID: &str = "/proc/sys/kernel/random/uuid";

/// Bytes that nobody can guess (random(4)).
pub const RANDOM: &str = "/dev/urandom";

/// The largest index: that of a program of a quarter of a tebibyte, as chunks are cut.
pub const INDEX_MAX_BYTES: u64 = 512 << 20;

/// The unit in which streams are cut, whatever the kernel's own is ([`super::kernel_pages`]): that of x86-64, and of arm64 as most
/// distributions build it; larger ones are multiples of it.
pub const PAGE_BYTES: usize = 4096;

/// How many pages a chunk of a stream has: fewer make more names than they spare bytes, as was measured ([`crate::chunks::cut`]).
pub const CHUNK_MIN_PAGES: usize = 2;
/// The same in the mean.
pub const CHUNK_MEAN_PAGES: usize = 8;
/// The same at most; so much of a stream is held in memory.
pub const CHUNK_MAX_PAGES: usize = 32;

/// From so many pages of zeros on, one after the other, they are no part of a chunk.
pub const ZERO_RUN_MIN_PAGES: usize = 4;

/// How many changes a bucket's names object remembers: one whose answer was lost is known again unless so many others were made within
/// the seconds that it takes to ask.
pub const CHANGES_NOTED: usize = 64;

/// A file up to this size is kept in the names object itself, which spares it an object and a round trip. Holds and accounts of attempts
/// are smaller, so that only what a holder dumps has objects of its own.
pub const INLINE_MAX_BYTES: usize = 4 << 10;

/// More than this is no names object, and reading it could exhaust the container's memory. One has some KiB.
pub const NAMES_MAX_BYTES: u64 = 16 << 20;

/// How often a change of a bucket's names is tried while others change them: each time one of them goes on.
pub const CHANGE_ROUNDS: u32 = 100;

/// How often a request to a bucket is made that fails in a way that may pass, for as long as one may take: a bucket to which many pods
/// write at once says «slow down» for some seconds, and they are many when a node pool is taken away. Who waits for longer begins
/// anew, above.
pub const REQUEST_TRIES: u32 = 8;

/// So many pauses before a request is made again for the first time would fill the time that one may take: it is 50 ms. It doubles, and
/// is up to half longer or shorter, so that those who met once do not meet again.
pub const PAUSES_IN_A_REQUEST: u32 = 200;

/// How long a request to a bucket may take, besides the time for its bytes. Answers come in some 10 ms; after this long the connection
/// is dead.
pub const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// A link to a bucket that is slower than this is none: so much is waited for the bytes of a request.
pub const SLOWEST_BYTES_PER_SECOND: u64 = 256 << 10;

/// After how long a trial object that is still in a bucket was left by a pod that died.
pub const TRIAL_AGE: Duration = Duration::from_secs(24 * 3600);

/// A pack is closed when it has so many bytes: large enough that the largest program is a few thousand objects, and small enough that
/// one in which little is needed any more is soon stored anew.
pub const PACK_BYTES: u64 = 64 << 20;

/// So much of a pack is written before the kernel is told to begin with it, and then waited for one step behind: enough to keep a fast
/// disk busy, and little enough to be done soon after the last byte.
pub const PACK_SYNC_BYTES: u64 = 8 << 20;

/// So much of streams is handed on at once: enough that handing it on costs nothing.
pub const BATCH_BYTES: usize = 512 << 10;

/// How many batches wait at most for a processor, and as many for the volume: with what is worked on less than 32 MiB, which the pod
/// must have beside the program, and enough that a volume which pauses now and then does not keep the program frozen.
pub const BATCHES_WAITING: usize = 24;

/// Of so many chunks one is tried with each codec, to know what is best by now.
pub const CHUNKS_PER_TRIAL: usize = 96;

/// How long somebody waits for a place in a queue before he looks whether it is still wanted.
pub const QUEUE_POLL: Duration = Duration::from_millis(20);

/// So much of a stream is read at once by one processor.
pub const READ_GROUP_BYTES: usize = 512 << 10;

/// How many of these are read ahead of who takes the stream: some for each processor, and 8 MiB at most.
pub const READ_AHEAD_GROUPS: usize = 16;

/// A stream of so many groups is read by more threads than that of who takes it.
pub const GROUPS_OF_HELPERS: usize = 4;

/// How many threads read ahead in all, for one checkpoint: each takes one of the agent's `IDS_OF_AN_ATTEMPT`.
pub const READERS_MAX: usize = 24;

/// So much of a large file in a bucket is one object: enough that a request costs little beside its bytes, and little enough that several
/// can be held in memory. A part of an upload in parts would have 5 MiB at least; these are objects of their own.
pub const PART_BYTES: usize = 4 << 20;

/// How many of these are on their way to a bucket at once, since one connection alone is slower than most links: 16 MiB, with one that
/// is being filled.
pub const PARTS_UNDER_WAY: usize = 3;

/// So much of a large file in a bucket is asked for at once.
pub const BLOCK_BYTES: usize = 1 << 20;

/// How many of these are asked for before they are read, where one is read after the other: together they hide the time that an answer
/// takes.
pub const BLOCKS_AHEAD: usize = 8;

/// How many are held in memory at most, of all files that are read at once.
pub const BLOCKS_KEPT: usize = 24;

/// How long it may take until a server is connected. Where nobody answers, as where a cloud would tell credentials, it is not there.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// The largest answer of a bucket that is taken: more than the largest part of an object or the longest list of names has.
pub const ANSWER_MAX_BYTES: usize = 32 << 20;

/// How long a bucket that says when to come again is left alone at most: less than a request may take.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(5);

/// How much of what a bucket says for a refusal is told.
pub const SAID_BY_A_BUCKET: usize = 400;

/// How many connections to a bucket are kept for the next requests: as many as are made at once.
pub const CONNECTIONS_KEPT: usize = 12;

/// How long one is kept that nobody needs. The servers end them after some 20 s, some after 5.
pub const KEPT_CONNECTION_LIFE: Duration = Duration::from_secs(4);
