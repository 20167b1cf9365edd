//! Every number that is fixed in the controller, each with its reason.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

/// The Go program's port, on all addresses: a cluster may have IPv6 alone.
pub const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), crik_api::DEFAULT_PORT);

/// How many connections may wait to be accepted: agents come back all at once when a replica has gone. The system lowers it
/// to `net.core.somaxconn`.
pub const BACKLOG: i32 = 4096;

/// How long a node that was shutting down must be ready without any trace of it before it counts as ready again: a
/// kubelet that was restarted in the middle of a shutdown forgets it, and reports Ready for a few seconds.
pub const LATCH: Duration = Duration::from_secs(30);

/// How long a node is remembered as one whose pods were deleted while nobody heard of it: a kubelet that is back lists its pods
/// within seconds and tells them then, but after a cut of the network everything is asked at once.
pub const ABSENCE_KEPT: Duration = Duration::from_secs(5 * 60);

/// How long a deleted node is remembered as gone: longer than any pod's grace period on it in practice.
pub const GONE_KEPT: Duration = Duration::from_secs(15 * 60);

/// How many changes are kept for a subscriber that is slow: a cluster's worth of nodes that change at once would be more,
/// and then looking at all of them again is cheaper.
pub const CHANGES_KEPT: usize = 1024;

/// The longest wait of one poll; a longer one is shortened to it. The agent asks for 50 s, and proxies cut idle connections
/// at 60 s or more. A client that sent more behind its poll and vanished is not seen before the poll ends, since hyper reads
/// nothing meanwhile; so this is how long it may keep its place.
pub const WAIT_MAX: Duration = Duration::from_secs(60);

/// The longest text of a wait: a duration in all its units has fewer.
pub const WAIT_MAX_CHARS: usize = 64;

/// How long a client that was told to wait should wait before it asks again, in seconds: one of these, by chance, so that those
/// who were refused together do not come back together.
pub const RETRY_AFTER_SECONDS: RangeInclusive<u32> = 1..=4;

/// How long a client may take to send a request's head, so that slow ones cannot use up all connections.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest request head: a node's name has at most 253 characters, a token about 1.5 KiB. The least that hyper takes.
pub const HEADER_MAX_BYTES: usize = 8 << 10;

/// How long open connections may take to end at a shutdown. Polls are answered at once, thousands within a second, so
/// what is left after this is a client that does not finish its request; it must not hold up the process.
pub const DRAIN: Duration = Duration::from_secs(5);

/// How long the answers to polls are spread over, at most, when the process is to stop: all agents of a replica come to the others, and
/// thousands of TLS handshakes in a moment would take seconds.
pub const LEAVE_SPREAD: Duration = Duration::from_secs(10);

/// The longest time to go on serving after the word to stop.
pub const SHUTDOWN_DELAY_MAX: Duration = Duration::from_secs(10 * 60);

/// How many polls may wait: every node of the largest cluster that Kubernetes promises to carry (5,000) with four pods
/// on it, all of them at one replica.
pub const WAITING_POLLS: u32 = 20_000;

/// The most polls that can be asked for: about 10 GiB of memory.
pub const WAITING_POLLS_MAX: i64 = 1_000_000;

/// Connections beyond those of waiting polls: for probes, single requests and streams.
pub const CONNECTIONS_SPARE: usize = 1024;

/// How many connections one address may have: about ten times the 110 pods that a node has by default, whose agents all come
/// from the node's address if they use its network. Twenty addresses have to work together to take all room.
pub const CONNECTIONS_PER_PEER: u32 = 1000;

/// Connections beyond all of those, which are only told that there is no room. Probes are answered there too, so that an
/// overload does not get the process killed.
pub const CONNECTIONS_REFUSED: usize = 128;

/// Descriptors that are not connections of clients: the runtime's, the log, watched files, the API server, and those
/// that are refused.
pub const DESCRIPTORS_RESERVED: usize = 64 + CONNECTIONS_REFUSED;

/// The limit of descriptors if the system does not tell: what Linux gives by default.
pub const DESCRIPTORS_ASSUMED: u64 = 1024;

/// Lists that are being sent at a time. All readers share the text, so one more costs what is on its way to it.
pub const LISTS: usize = 64;

/// Streams of changes at a time, on places of their own: a stream is open for an hour, and a list must not wait for it.
pub const STREAMS: usize = 64;

/// How many of each one address may have: a dashboard and a few people behind one proxy. Eight addresses have to work together
/// to take all of them.
pub const READS_PER_PEER: usize = 8;

/// How many nodes are looked at while others wait for the index: some 100 µs.
pub const NODES_AT_ONCE: usize = 128;

/// How many texts of all nodes there are at a time, the one that is being written among them. Each reader has the newest of its
/// time, so as many readers that take their time could otherwise hold as many texts as there were changes: 27 MB each with 50,000
/// nodes before maintenance.
pub const TEXTS: usize = 4;

/// How long a text stays for those who read it when another one needs its place: a network of 25 Mbit/s carries 27 MB.
pub const TEXT_READ: Duration = Duration::from_secs(10);

/// How long it stays for those who may come.
pub const TEXT_KEPT: Duration = Duration::from_secs(10);

/// How long it stays for who has read a page of it and may come for the next, if another one needs its place: two thousand pages one
/// after the other.
pub const TEXT_PAGED: Duration = Duration::from_secs(2);

/// How many times as long as the writing of a text took the next one waits: so lists take a fifth of one processor at most,
/// however many clients ask and however often nodes change.
pub const TEXT_PAUSE: u32 = 4;

/// How long a stream may last, with up to a tenth more by chance: its client begins anew, and one that is gone without a trace
/// does not keep its place.
pub const STREAM_LIFE: Duration = Duration::from_secs(60 * 60);

/// How long the sending of an answer, or of one event of a stream, may take: a list of 15,000 nodes is some MB, which a slow
/// network carries in this time. A client that reads a little now and then would hold it in memory as long as it likes.
pub const SENDING: Duration = Duration::from_secs(30);

/// Up to here an answer is written in one piece, which the kernel takes sooner than its head and its body: a node's status is as small.
pub const SMALL_WRITE_BYTES: usize = 512;

/// How much of a list is handed over at a time: the rest can be given up.
pub const PORTION: usize = 64 << 10;

/// How long a client may leave data unread before its connection is ended.
pub const UNREAD: Duration = Duration::from_secs(10);

/// How soon a connection is probed on which nothing travels, in case its client's machine is gone.
pub const SILENCE: Duration = Duration::from_secs(60);

/// How long a TLS handshake may take.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// How often is told that a connection cannot be accepted: when descriptors run out, that is so many times a second.
pub const ACCEPT_COMPLAINT: Duration = Duration::from_secs(1);

/// How long to wait for a connection to end when there is no room for another.
pub const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// How long a watch of the API server may last: it ends it then, so that silence means that the connection is dead. Ahead of the next
/// one is proved that what it tells is not old, by a small read, of which an API server that has ten thousand nodes answers a thousand
/// a second for their leases alone. What is lost for a moment counts as fresh again this soon.
pub const WATCH_SECONDS: u32 = 5;

/// How long a connection to the API server may be silent before it is given up: longer than a watch, by what a busy API
/// server may be late with a page of a list.
pub const API_SILENCE: Duration = Duration::from_secs(18);

/// How long the API server may say nothing, or not prove that what it says is new, before what is known counts as old, whatever
/// the reason; within 30 s.
pub const API_LOST: Duration = Duration::from_secs(25);

/// How long a failure of the watch may last before it is told: a connection that is cut is taken up within it, also by an API
/// server that is rolled, and each loss that is told wakes every agent, and its end again.
pub const LOSS_GRACE: Duration = Duration::from_millis(2500);

/// How long the read that proves it may take: long for a busy API server, and two of them with a watch between fit into
/// [`API_LOST`], so that the election of another leader of etcd, which takes some seconds, makes nothing old.
pub const PROOF_TIMEOUT: Duration = Duration::from_secs(7);

/// How often it is made if the watch after it goes over another connection: one is there to choose, as a rule.
pub const PROOF_TRIES: usize = 3;

/// How long a connection to the API server may take, so that a second try fits into [`API_LOST`].
pub const API_CONNECT: Duration = Duration::from_secs(5);

/// How long a watch that was answered has to go on before it counts as good.
pub const WATCH_SETTLE: Duration = Duration::from_millis(200);

/// How long to wait before the API server is asked again, at first and at most. One that comes back is asked by all its
/// clients at once.
pub const API_RETRY_MIN: Duration = Duration::from_millis(100);
/// See [`API_RETRY_MIN`].
pub const API_RETRY_MAX: Duration = Duration::from_secs(5);

/// After a loss of this length all nodes are listed anew. What the API server tells may have gone back meanwhile, as when
/// etcd is restored from a backup, and a watch from a later version would then be silent (kube-runtime takes it up again).
pub const RELIST_AFTER: Duration = Duration::from_secs(60);

/// How many nodes are asked for at once: with image lists and all they are up to 25 KB each, and a page is held in memory
/// as a whole.
pub const LIST_PAGE: u32 = 100;

/// How many pods are asked for at once: some KB each, and a page is held in memory as a whole.
pub const PODS_LIST_PAGE: u32 = 250;

/// The longest annotation of a pod that is read: the controller makes them of reports of 16 KiB at most, and whoever may write to a pod
/// may write much.
pub const ANNOTATION_MAX_BYTES: usize = 16 << 10;

/// The longest reason that is kept of what an agent reports, in characters: it says what to do too.
pub const WHY_MAX: usize = 500;

/// How many of the checkpoints are kept that a start has passed over: the newest say what is wrong.
pub const SKIPPED_TOLD: usize = 3;

/// How long ago what is reported may have happened: agents try for as long as the API server may be away.
pub const REPORT_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a freeze, a dump or a start may take: no grace period is as long.
pub const STEP_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a program may have run before a checkpoint: one report that was made up must not make a sum over all meaningless for ever.
pub const SAVED_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// How large a checkpoint may be: many times the memory of the largest machines, for the same reason.
pub const CHECKPOINT_BYTES_MAX: u64 = 256 << 40;

/// How large a report may be: some texts with their remedies.
pub const REPORT_MAX_BYTES: usize = 16 << 10;

/// How many reports are read at the same time, and how long that may take: 2 MiB in all.
pub const REPORTS_READ_AT_ONCE: usize = 128;
/// See [`REPORTS_READ_AT_ONCE`].
pub const REPORT_READING: Duration = Duration::from_secs(5);

/// How many reports one pod may send at once: what a start, a move and an end tell together is less.
pub const REPORTS_PER_POD: u32 = 10;

/// How many a second after that. Each costs the API server a write, and perhaps an Event.
pub const REPORTS_PER_POD_SECOND: u32 = 1;

/// How many reports are taken at the same time: a rack that goes away makes thousands of agents report within seconds, and the API server
/// has others to serve.
pub const REPORTS_AT_ONCE: usize = 32;

/// How long a report may wait for its turn, and how long the API server may take for it: the agent tells it again.
pub const REPORT_TIMEOUT: Duration = Duration::from_secs(4);

/// How often a report is tried again because its pod was changed meanwhile: a kubelet writes its status a few times as it starts and
/// ends.
pub const REPORT_TRIES: usize = 4;

/// How long an eviction is held up at most, whatever the pod says: who owns a pod must not keep a node from being drained.
pub const EVICTION_DEADLINE_MAX: Duration = Duration::from_secs(60 * 60);

/// The shortest time that evictions can be held up for, whoever says it: the agent needs some of it to hear.
pub const EVICTION_DEADLINE_MIN: Duration = Duration::from_secs(1);

/// How long before a move was asked for its checkpoint may have been durable, by the clocks of two replicas: an earlier one was for another
/// move, whose report came late.
pub const MOVE_CLOCKS_DIFFER: Duration = Duration::from_secs(1);

/// How long what came of a move counts at least. Whoever evicts comes back within a minute: one that comes after that would begin
/// another move each time, and never be let go.
pub const MOVE_OVER: Duration = Duration::from_secs(5 * 60);

/// How many pods of one node take a checkpoint for an eviction at the same time: they share its disk, its network and its processors,
/// and each is frozen for the longer the more there are.
pub const MOVES_PER_NODE: u32 = 4;

/// How many pods of all nodes: they share the volume's server.
pub const MOVES_PER_CLUSTER: u32 = 20;

/// How soon an agent that was told of a move has to say that it has begun: it hears of it within 100 ms, and a report of it that did not
/// come is sent again within seconds.
pub const MOVE_BEGINS: Duration = Duration::from_secs(10);

/// How soon an eviction is to be asked again that waits for a checkpoint, which may be there any moment and leaves the program standing
/// still until then. Clients of Kubernetes wait as long as they are told and try ten times; kubectl drain then waits 5 s.
pub const EVICTION_RETRY: Duration = Duration::from_secs(1);

/// The same of one that waits for others.
pub const QUEUE_RETRY: Duration = Duration::from_secs(2);

/// For how long an eviction counts as wanted after it was last asked for: clients ask again after 5 s.
pub const EVICTION_WANTED: Duration = Duration::from_secs(15);

/// How long after it was written that an eviction waits that is written again, for the few that are next on a node: the other replica
/// may not have been asked.
pub const WAITING_WRITTEN: Duration = Duration::from_secs(10);

/// How long the answer to an eviction may take: the chart has the API server wait for 3 s.
pub const EVICTION_ANSWER: Duration = Duration::from_secs(2);

/// For how many evictions the API server is asked and written to at a time. More would take it longer than an eviction waits for, which
/// then goes on without a checkpoint.
pub const MOVES_WRITTEN_AT_ONCE: usize = 16;

/// How often it is looked at again when a pod was changed meanwhile, as by the other replica or by the kubelet.
pub const EVICTION_LOOKS: usize = 3;

/// How long to wait before an Event is written again, at first; then twice as long each time.
pub const EVENT_RETRY_MIN: Duration = Duration::from_secs(1);

/// How often an Event is written again: about a minute, in which an API server restarts.
pub const EVENT_RETRIES: usize = 6;

/// The longest message of an Event (kubernetes/pkg/apis/core/validation).
pub const EVENT_MESSAGE_MAX: usize = 1024;

/// How soon after a change the nodes file is read: a file that is written in place changes several times.
pub const FILE_SETTLE: Duration = Duration::from_millis(5);

/// How often a nodes file that cannot be used is tried again, in case its directory was replaced and so is not watched.
pub const FILE_RETRY: Duration = Duration::from_secs(1);

/// How often a good nodes file is looked at without being told: network file systems and directories that were moved
/// away tell nothing (inotify(7)).
pub const FILE_RECHECK: Duration = Duration::from_secs(5);

/// The longest text that is kept of what was observed, in characters: messages and annotations may be of any length, and
/// there are many nodes.
pub const OBSERVED_MAX: usize = 256;

/// The longest name of a Kubernetes object (RFC 1123 subdomain).
pub const NAME_MAX: usize = 253;

/// The longest name of a namespace (RFC 1123 label).
pub const LABEL_MAX: usize = 63;

/// How long the API server may take to say whose token it is: the agent has given up by then.
pub const REVIEW_TIMEOUT: Duration = Duration::from_secs(5);

/// How many tokens are checked at a time, so that a flood of them becomes none of the API server.
pub const REVIEWS_AT_ONCE: usize = 16;

/// How long one who shows a token that was good waits for the API server to say so again; then the old verdict counts until
/// the answer comes. An agent that has to decide waits 500 ms for its answer.
pub const RENEWAL_PATIENCE: Duration = Duration::from_millis(250);

/// How soon the API server is asked again about a token that was good, after it could not be asked.
pub const REVIEW_RETRY: Duration = Duration::from_secs(5);

/// How soon it is asked again about one that only its signature speaks for, if there were too many other questions: as soon as the one
/// who shows it is told to come again.
pub const BUSY_RETRY: Duration = Duration::from_secs(1);

/// How long a token counts without the API server's word that its pod is there, from when that was to be asked for again, or from the token's first sight:
/// while it is away nothing new is known of nodes either, and a pod that was ended may still have its token. The kubelet renews one
/// that lives for an hour, as most do, before that, for which it needs the API server too.
pub const UNCONFIRMED_MAX: Duration = Duration::from_secs(60 * 60);

/// How long what is known of a token is kept at most, however long that lives: the kubelet renews a projected token after 24
/// hours at the latest.
pub const TOKEN_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// How soon the API server may be asked again about a token that it found good: at each request is too often.
pub const TOKEN_TTL_MIN: Duration = Duration::from_secs(1);

/// How late at most: a pod's token must not open anything for long after the pod is gone.
pub const TOKEN_TTL_MAX: Duration = Duration::from_secs(60 * 60);

/// How long a token that was found bad is refused without asking again: a caller that repeats it costs the API server
/// little, and a mistake that was put right counts soon.
pub const BAD_TOKEN_KNOWN: Duration = Duration::from_secs(10);

/// How many verdicts on tokens are kept for each poll that may wait, of a few hundred bytes each: the kubelet renews a token when a
/// fifth of its life is left, in which the old verdict is there too.
pub const TOKENS_PER_POLL: u64 = 2;

/// How far the clock of the API server may be ahead of this machine's.
pub const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// How long the API server may take to show its keys: an agent's first answer may take 2 s.
pub const KEYS_TIMEOUT: Duration = Duration::from_millis(1500);

/// How soon they are read again for the sake of a token that none of them has signed: as often as anyone likes to show such a one.
pub const KEYS_PAUSE: Duration = Duration::from_secs(10);

/// How long they count: a key that is not published any more is one that somebody has lost.
pub const KEYS_KEPT: Duration = Duration::from_secs(5 * 60);

/// How many questions about tokens that the API server may not have signed an address may cause at once: a node has 110 pods by default,
/// which may have its address and start together. Those that it has signed are not counted: each is asked about once, and then
/// so rarely that whoever has many of them has cost it more already, by having them made.
pub const QUESTIONS_PER_PEER: u32 = 128;

/// How many a second after that: so many addresses as a large cluster has pods make no flood of them, and without the API server's
/// keys the 110 pods of a node need one a second.
pub const QUESTIONS_PER_PEER_SECOND: u32 = 2;

/// How long the API server may take to show a pod: an agent has little time for its decision, and asks again.
pub const POD_TIMEOUT: Duration = Duration::from_secs(2);

/// How many pods are looked at at a time: a rack that goes away makes thousands of agents ask within a second, and the API server
/// has others to serve.
pub const PODS_AT_ONCE: usize = 32;

/// How many of these one address may have; its others wait for them. Four addresses have to work together to hold up the rest.
pub const PODS_PER_PEER: usize = 8;

/// How many questions about pods an address may cause at once: a node has 110 pods by default, which may have its address and
/// be told to stop together.
pub const POD_QUESTIONS_PER_PEER: u32 = 128;

/// How many a second after that: those of one pod that asks all the time, and of a few more behind one address. The API server
/// counts all that the controller asks together, the watch too.
pub const POD_QUESTIONS_PER_PEER_SECOND: u32 = 8;

/// How large an object may be that is read of the API server: etcd takes none above 1.5 MiB by default.
pub const OBJECT_MAX_BYTES: usize = 4 << 20;

/// How long what was said of a pod is said again: half the time after which an agent asks anew, so that asking in a loop, or
/// from each container of a pod, costs the API server four requests a second.
pub const POD_FRESH: Duration = Duration::from_millis(250);

/// Of how many pods that is kept, of a few hundred bytes each: all that are told to stop at once in a large cluster.
pub const PODS_FRESH: u64 = 5_000;

/// How many questions of the API servers are read at the same time, each of which may be as large as an object.
pub const PODS_READ_AT_ONCE: usize = 8;

/// How many connections the API servers may have to the webhook, and half of it one of them: each keeps a few open for all that it asks.
pub const API_SERVER_CONNECTIONS: usize = 256;

/// How long the API server may take to send what it asks of a pod; the chart gives the whole answer 3 s.
pub const REVIEW_READING: Duration = Duration::from_secs(3);

/// How long the API server may take to show a namespace while it waits for what becomes of a pod.
pub const NAMESPACE_TIMEOUT: Duration = Duration::from_secs(1);

/// How often the Secret with the webhook's own certificate is looked at, and whether the API server still knows its authority: whoever
/// has written either anew waits no longer than this.
pub const CERTIFICATE_LOOK: Duration = Duration::from_secs(30);

/// How soon that is tried again, such as when two replicas have renewed it at the same time.
pub const CERTIFICATE_RETRY: Duration = Duration::from_secs(1);

/// How long the API server may take for one step of it.
pub const CERTIFICATE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long after it was told of another authority each API server believes it: they hear of it by a watch, within a second.
pub const AUTHORITY_SPREAD: Duration = Duration::from_secs(3);

/// How far an API server's clock may be behind.
pub const CLOCKS_DIFFER: Duration = Duration::from_secs(60 * 60);

/// For how long a certificate of the webhook's own may be good.
pub const CERTIFICATE_LIFE: RangeInclusive<Duration> =
    Duration::from_secs(10)..=Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// How long the labels of a namespace count: who changes them and creates a pod is slower, and a rollout of a thousand pods asks for
/// them once in so long.
pub const NAMESPACE_FRESH: Duration = Duration::from_secs(2);

/// Of how many namespaces they are kept, of a few hundred bytes each.
pub const NAMESPACES_KNOWN: u64 = 1_000;

/// How long `check` asks before it gives up: DNS names a replica up to 30 s after it is ready.
pub const CHECK_PATIENCE: Duration = Duration::from_secs(45);

/// How soon it asks again.
pub const CHECK_RETRY: Duration = Duration::from_secs(1);

/// How long one replica may take for its answer to `check`: many times what it takes.
pub const CHECK_ANSWER: Duration = Duration::from_secs(10);

/// How often a stream on which nothing happens gets a comment: proxies cut connections that are silent for 60 s, and a
/// client that is gone is noticed only by sending.
pub const HEARTBEAT: Duration = Duration::from_secs(15);

/// What the client of a stream that ended should wait before it connects again.
pub const STREAM_RETRY: Duration = Duration::from_secs(1);

/// How long a pod that is created waits for what its image starts: with [`NAMESPACE_TIMEOUT`] and [`CLAIM_TIMEOUT`] less than the 3 s that
/// the chart gives the whole answer.
pub const LOOKUP_PATIENCE: Duration = Duration::from_millis(1250);

/// How long a lookup goes on after that, for the pods that come next: five answers of a registry, each after a handshake, from far away.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);

/// How many images are looked up at the same time, each of which has two answers in memory at most.
pub const LOOKUPS_AT_ONCE: usize = 16;

/// How many of these one namespace may have; its others wait for them. Four namespaces have to work together to hold up the rest.
pub const LOOKUPS_PER_NAMESPACE: usize = 4;

/// How long a lookup waits for its namespace's turn, and then for a place: less than [`LOOKUP_PATIENCE`], so that whoever creates the pod
/// is told what has held it up.
pub const LOOKUP_QUEUE: Duration = Duration::from_secs(1);

/// How many pods may wait for what their images start, of a few KiB each: many times the 200 changes that an API server has under way
/// at once (`--max-mutating-requests-inflight`).
pub const LOOKUPS_WAITING: usize = 4096;

/// The longest name of an image that is looked up, in bytes: a host of 253, a repository of 255, a tag of 128 and a digest of 135 have
/// room.
pub const IMAGE_NAME_MAX: usize = 1024;

/// How long it counts what an image starts whose name has a digest, which never changes.
pub const DIGEST_KNOWN: Duration = Duration::from_secs(24 * 60 * 60);

/// How long it counts by a tag, which somebody may move; a rollout of a thousand pods asks once.
pub const TAG_KNOWN: Duration = Duration::from_secs(5 * 60);

/// How long it counts that a registry could not be asked: a pod that is created anew all the time asks no more often.
pub const FAILED_LOOKUP_KNOWN: Duration = Duration::from_secs(10);

/// How many bytes are kept of what images start: some thousand images.
pub const IMAGES_KNOWN_BYTES: u64 = 4 << 20;

/// What one takes besides its words and what it is remembered by, in bytes.
pub const IMAGE_KNOWN_OVERHEAD: usize = 512;

/// How large an answer of a registry may be: a configuration has a line for each step of the image's making, some 10 KiB.
pub const REGISTRY_ANSWER_BYTES: usize = 1 << 20;

/// How large what it says with a token may be: a token has a few KiB.
pub const REGISTRY_TOKEN_BYTES: usize = 64 << 10;

/// How often a registry may lead elsewhere: to where it keeps its blobs, and from there to the nearest copy.
pub const REGISTRY_REDIRECTS: usize = 3;

/// How long a connection to a registry is kept for the next image.
pub const REGISTRY_IDLE: Duration = Duration::from_secs(15);

/// How much is told of why a registry cannot be reached, in characters: a warning of an API server has 256.
pub const LOOKUP_WHY_MAX: usize = 40;

/// How long the API server may take to show a claim while it waits for what becomes of a pod.
pub const CLAIM_TIMEOUT: Duration = Duration::from_millis(500);

/// How many pull secrets of a pod are read.
pub const PULL_SECRETS_MAX: usize = 8;

/// How long an API server's connection to the webhook may be silent: it keeps one for 90 s (IdleConnTimeout of Go's `http.Transport`, as
/// client-go sets it), and a question that comes on a connection that is closed at that moment is lost, and its pod starts without crik.
pub const API_SERVER_IDLE: Duration = Duration::from_secs(180);

/// How much is shown of a value that has a wrong form, in characters: a warning of an API server has 256.
pub const VALUE_SHOWN_MAX: usize = 32;
