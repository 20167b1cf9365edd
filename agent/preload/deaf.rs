//! Has a connection that CRIU puts together take nothing in until all are there.
//!
//! CRIU puts together one end after the other. What the first one sends meanwhile (the end of what it says, what was not acknowledged
//! and is sent again after a while) comes to nobody, which the kernel answers by a reset, and that ends a connection which was whole. CRIU's
//! own lock is one on the network of the whole pod. An end that is deaf hears no reset; the agent lets it hear again when the other one is
//! there (`tree/process/loopback.rs`). What CRIU sends to itself it marks (soccr/soccr.h, `SOCCR_MARK`), and that is heard.

use core::ffi::c_int;
use core::mem::size_of;

use crate::{kernel, told};

#[cfg(target_arch = "x86_64")]
mod nr {
    pub const GETSOCKNAME: usize = 51;
    pub const SETSOCKOPT: usize = 54;
}
#[cfg(target_arch = "aarch64")]
mod nr {
    pub const GETSOCKNAME: usize = 204;
    pub const SETSOCKOPT: usize = 208;
}

/// IPPROTO_TCP and TCP_REPAIR (tcp(7)).
const TCP: c_int = 6;
const REPAIR: c_int = 19;
/// SOL_SOCKET and SO_ATTACH_FILTER (socket(7)).
const SOCKET: usize = 1;
const ATTACH_FILTER: usize = 26;

/// `sock_filter` of linux/filter.h.
#[repr(C)]
struct Instruction {
    code: u16,
    if_so: u8,
    if_not: u8,
    value: u32,
}

/// `sock_fprog`.
#[repr(C)]
struct Program {
    length: u16,
    at: *const Instruction,
}

/// Takes in what has CRIU's mark, and nothing else. The agent knows it by its text.
static DEAF: [Instruction; 4] = [
    // BPF_LD | BPF_W | BPF_ABS of SKF_AD_MARK.
    Instruction { code: 0x20, if_so: 0, if_not: 0, value: 0xffff_f014 },
    // BPF_JMP | BPF_JEQ | BPF_K.
    Instruction { code: 0x15, if_so: 0, if_not: 1, value: 0xc114 },
    // BPF_RET | BPF_K.
    Instruction { code: 6, if_so: 0, if_not: 0, value: u32::MAX },
    Instruction { code: 6, if_so: 0, if_not: 0, value: 0 },
];

/// # Safety
/// As setsockopt(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn setsockopt(socket: c_int, level: c_int, option: c_int, value: *const c_int, bytes: u32) -> c_int {
    let begins = level == TCP && option == REPAIR && bytes as usize >= size_of::<c_int>() && unsafe { *value } == 1;
    if begins && is_new(socket) {
        let program = Program { length: DEAF.len() as u16, at: DEAF.as_ptr() };
        let arguments =
            [socket as usize, SOCKET, ATTACH_FILTER, &raw const program as usize, size_of::<Program>(), 0];
        // Without it the connection is put together as CRIU alone does it.
        unsafe { kernel::call(nr::SETSOCKOPT, arguments) };
    }
    let arguments = [socket as usize, level as usize, option as usize, value as usize, bytes as usize, 0];
    told(unsafe { kernel::call(nr::SETSOCKOPT, arguments) }) as c_int
}

/// Whether it has no port yet, unlike one that CRIU takes up again to go on with it.
fn is_new(socket: c_int) -> bool {
    // Of `sockaddr_in6`; the port is the second half word, also of `sockaddr_in`.
    let (mut name, mut bytes) = ([0_u16; 14], 28_u32);
    let arguments = [socket as usize, &raw mut name as usize, &raw mut bytes as usize, 0, 0, 0];
    unsafe { kernel::call(nr::GETSOCKNAME, arguments) == 0 && name[1] == 0 }
}
