//! What this process may do.

use std::fs;
use std::io;

/// A capability, by its bit in capabilities(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// Takes capabilities away from what may ever be had.
    SetPcap = 8,
    /// Sets up networks, and repairs connections.
    NetAdmin = 12,
    /// Loads modules into the kernel.
    SysModule = 16,
    /// Reads other processes' memory and registers.
    SysPtrace = 19,
    /// Nearly everything.
    SysAdmin = 21,
    /// Goes beyond limits.
    SysResource = 24,
    /// Sets clocks, those of time namespaces too.
    SysTime = 25,
    /// Gives processes their ids back.
    CheckpointRestore = 40,
}

impl Capability {
    /// Those that matter here.
    pub const ALL: [Self; 8] = [
        Self::SetPcap,
        Self::NetAdmin,
        Self::SysModule,
        Self::SysPtrace,
        Self::SysAdmin,
        Self::SysResource,
        Self::SysTime,
        Self::CheckpointRestore,
    ];

    /// As a pod spec calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES[self as usize]
    }

    /// Its bit.
    #[must_use]
    pub fn bit(self) -> u64 {
        1 << self as u32
    }
}

/// All that there are, by their bits (linux/capability.h).
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// Those of which `mask` has the bit, as a pod spec calls them.
#[must_use]
pub fn names(mask: u64) -> Vec<&'static str> {
    NAMES.iter().enumerate().filter(|(bit, _)| mask >> bit & 1 == 1).map(|(_, name)| *name).collect()
}

/// What another process has or may take up; nothing if it has ended.
pub fn permitted(pid: i32) -> u64 {
    fs::read_to_string(format!("/proc/{pid}/status")).map_or(0, |status| mask(&status, "CapPrm"))
}

/// True if this process has `capability`.
pub fn has(capability: Capability) -> bool {
    mask(&status(), "CapEff") & capability.bit() != 0
}

/// Whether what this process may counts on the whole node, and not only in a pod with `hostUsers: false` (user_namespaces(7)).
#[must_use]
pub fn is_in_nodes_user_namespace() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// What the kernel tells of this process (proc(5), `/proc/self/status`).
pub fn status() -> String {
    fs::read_to_string("/proc/self/status").unwrap_or_default()
}

/// The value of a line of it.
pub fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
}

/// A set of capabilities that it tells, such as `CapEff`, a bit each.
pub fn mask(status: &str, set: &str) -> u64 {
    field(status, set).and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or(0)
}

/// What the file of this program permits to who executes it, a bit each (capabilities(7)).
pub fn of_own_file() -> u64 {
    permitted_by(
        &xattr::get_deref("/proc/self/exe", "security.capability").ok().flatten().unwrap_or_default(),
    )
}

/// What a file permits, as its attribute says (linux/capability.h, `vfs_cap_data`): a word that tells the layout, then two for the
/// lower and two for the upper half, all of them little-endian. The first layout had no upper half.
pub fn permitted_by(attribute: &[u8]) -> u64 {
    let word = |number: usize| attribute.as_chunks::<4>().0.get(number).map(|word| u32::from_le_bytes(*word));
    u64::from(word(1).unwrap_or_default()) | u64::from(word(3).unwrap_or_default()) << u32::BITS
}

/// What capset(2) calls itself in its third version, which has two words for each set.
const VERSION: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
struct Word {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Changes what this thread may do: what it may use, what it may take up, and what it hands on to a program that takes it. To be
/// called while there is no other thread, which would keep what it has.
///
/// # Errors
/// It is more than the thread may take up.
pub fn set(effective: u64, permitted: u64, inheritable: u64) -> io::Result<()> {
    let mut header = Header { version: VERSION, pid: 0 };
    let word = |shift: u32| {
        let part = |mask: u64| (mask >> shift) as u32;
        Word { effective: part(effective), permitted: part(permitted), inheritable: part(inheritable) }
    };
    let words = [word(0), word(u32::BITS)];
    // SAFETY: capset(2) reads a header and two words of these layouts.
    let done = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, words.as_ptr()) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Has a capability stay over an exec of any program, which must be one that it may take up and hand on (prctl(2),
/// `PR_CAP_AMBIENT`).
///
/// # Errors
/// It is not.
pub fn keep_over_exec(bit: u32) -> io::Result<()> {
    let no = 0 as libc::c_ulong;
    // SAFETY: prctl(2) takes numbers.
    let done = unsafe {
        libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, libc::c_ulong::from(bit), no, no)
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_called_as_a_pod_spec_calls_it() {
        let by_name = [
            "SETPCAP",
            "NET_ADMIN",
            "SYS_MODULE",
            "SYS_PTRACE",
            "SYS_ADMIN",
            "SYS_RESOURCE",
            "SYS_TIME",
            "CHECKPOINT_RESTORE",
        ];
        assert_eq!(Capability::ALL.map(Capability::name), by_name);
        assert_eq!(names(Capability::SysAdmin.bit() | 1), ["CHOWN", "SYS_ADMIN"]);
        assert_eq!(permitted(std::process::id().cast_signed()), mask(&status(), "CapPrm"));
    }
}
