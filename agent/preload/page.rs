//! The page that a tree and the agent share: how far each clock is set, what its threads wait for, and what numbers its files had.
//!
//! The one definition of a file that outlives both sides: the library that wrote it goes along with a checkpoint, and a later
//! agent reads it. A change of the layout therefore is another `MAGIC`, and the agent keeps to the older ones.
//!
//! A program's time is the machine's plus an offset. Whoever restores a tree sets the offsets anew and computes for every slot
//! what the kernel must be given now; the processes are frozen meanwhile and see all of it or nothing.

use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64};

/// The first eight bytes: "crikclk" and the layout's number.
pub const MAGIC: u64 = u64::from_le_bytes(*b"crikclk2");

/// The kernel has 16 clocks of fixed number (`MAX_CLOCKS`, uapi/linux/time.h); the page has an offset for each, so that a number
/// is all that has to be looked up.
pub const CLOCKS: usize = 16;

/// clock_gettime(2).
pub const REALTIME: i32 = 0;
/// Counts from the machine's start.
pub const MONOTONIC: i32 = 1;
/// The same, not corrected by NTP.
pub const MONOTONIC_RAW: i32 = 4;
/// `MONOTONIC` of the last tick.
pub const MONOTONIC_COARSE: i32 = 6;
/// `MONOTONIC` and the time in suspend.
pub const BOOTTIME: i32 = 7;
/// `BOOTTIME`, for timers that wake the machine.
pub const BOOTTIME_ALARM: i32 = 9;

/// The clocks that count from the machine's start, a bit each.
pub const SHIFTED: u32 =
    1 << MONOTONIC | 1 << MONOTONIC_RAW | 1 << MONOTONIC_COARSE | 1 << BOOTTIME | 1 << BOOTTIME_ALARM;

/// One wait a thread, rarely two (a signal handler's), so this many threads of a tree may wait at once. A power of two, since a
/// slot is found by the thread's id. Only the parts that are used take memory: 64 threads a page.
pub const SLOTS: usize = 4096;

/// The size of the file; CRIU maps a file only if it is as long as it was.
pub const BYTES: usize = size_of::<Page>();

/// How many files that a tree has open it finds under their old numbers. What is not used takes no memory.
pub const OPEN_FILES: usize = 4096;

/// What each may take: its inode and its device, and for either who has the old number here.
pub const NUMBERS: usize = OPEN_FILES * 4;

/// Stands in place of a device's number in the entries that are about devices; no file system has it.
pub const DEVICES: u64 = 0;

/// In a second.
pub const NANOSECONDS: i64 = 1_000_000_000;

/// What the agent writes over the first bytes of the vDSO's clock for programs that read it by themselves: a jump, whose distance the
/// mask leaves out, and a mark. Where it stands, the offset is in what the vDSO says, and must not be added again.
#[cfg(target_arch = "x86_64")]
pub const STUB_HEAD: u64 = u64::from_le_bytes(*b"\xe9\0\0\0\0crk");
#[cfg(target_arch = "x86_64")]
pub const STUB_MASK: u64 = u64::from_le_bytes(*b"\xff\0\0\0\0\xff\xff\xff");
/// The mark is an instruction that is none (`udf`).
#[cfg(target_arch = "aarch64")]
pub const STUB_HEAD: u64 = u64::from_le_bytes(*b"\0\0\0\x14cr\0\0");
#[cfg(target_arch = "aarch64")]
pub const STUB_MASK: u64 = u64::from_le_bytes(*b"\0\0\0\xfc\xff\xff\xff\xff");

/// struct timespec on every 64-bit machine.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Time {
    pub seconds: i64,
    /// From 0 to 999,999,999, also where the seconds are negative.
    pub nanoseconds: i64,
}

impl Time {
    /// The kernel refuses any other (`timespec64_valid`).
    pub const fn is_valid(self) -> bool {
        self.seconds >= 0 && self.nanoseconds >= 0 && self.nanoseconds < NANOSECONDS
    }

    /// Saturates: who waits until the end of time does so on every machine.
    pub const fn plus(self, offset: Time) -> Time {
        let seconds = self.seconds.saturating_add(offset.seconds);
        let nanoseconds = self.nanoseconds.wrapping_add(offset.nanoseconds);
        if nanoseconds < NANOSECONDS {
            Time { seconds, nanoseconds }
        } else {
            Time { seconds: seconds.saturating_add(1), nanoseconds: nanoseconds - NANOSECONDS }
        }
    }

    /// Saturates as well.
    pub const fn minus(self, offset: Time) -> Time {
        let seconds = self.seconds.saturating_sub(offset.seconds);
        let nanoseconds = self.nanoseconds.wrapping_sub(offset.nanoseconds);
        if nanoseconds >= 0 {
            Time { seconds, nanoseconds }
        } else {
            Time { seconds: seconds.saturating_sub(1), nanoseconds: nanoseconds + NANOSECONDS }
        }
    }

    /// What the kernel must be given, when this is what the program wants: what lies before the machine's start is over, and said
    /// so by the first nanosecond, since none at all would disarm a timer.
    pub const fn on_machine(self, offset: Time) -> Time {
        let given = self.minus(offset);
        if given.seconds < 0 || (given.seconds == 0 && given.nanoseconds == 0) {
            Time { seconds: 0, nanoseconds: 1 }
        } else {
            given
        }
    }
}

/// A wait, or a timer that is being set. The first two fields are what the kernel reads: a struct itimerspec.
#[repr(C, align(64))]
pub struct Slot {
    /// Of a timer that repeats.
    pub interval: Time,
    /// In the machine's time.
    pub given: Time,
    /// In the program's time.
    pub wanted: Time,
    /// The thread that waits; zero for a free slot.
    pub owner: AtomicU32,
    pub clock: AtomicI32,
    /// Where on its stack it waits: what lies below a frame that runs is left over from one that has gone.
    pub frame: AtomicU64,
}

/// The whole file.
#[repr(C, align(4096))]
pub struct Page {
    pub magic: u64,
    /// How often the offsets were set anew. Who finds another number after its work than before has mixed the times of two
    /// machines, and begins again.
    pub moves: AtomicU64,
    /// By the clock's number.
    pub offsets: [Time; CLOCKS],
    /// What times(2) returns counts from the machine's start too, in ticks of `sysconf(_SC_CLK_TCK)`.
    pub ticks: i64,
    /// Whether the programs may make rings of io_uring: not where it is zero, as in all pages of releases that did not know it.
    pub rings: u64,
    pub slots: Slots,
    pub renumbered: Renumbered,
}

/// The numbers that files have here, and those that programs are told instead: which they had when they were opened. Each is a
/// permutation, so that two files never have one number.
#[repr(C, align(4096))]
pub struct Renumbered {
    /// How many of the numbers are used.
    pub count: u64,
    /// In the order of device and number.
    pub numbers: [Number; NUMBERS],
}

/// A device, or an inode on a device.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number {
    /// Where it is an inode: as the kernel calls the device. [`DEVICES`] where it is one itself.
    pub device: u64,
    /// What it is here.
    pub here: u64,
    /// What the program is told.
    pub told: u64,
}

/// On pages of their own: the offsets are read all the time.
#[repr(C, align(4096))]
pub struct Slots(pub [Slot; SLOTS]);
