//! Has CRIU take connections over UNIX sockets that lead out of the tree for such as are over, which leaves them as they are: CRIU dumps
//! no half of one, and what it restores then reads its end.
//!
//! CRIU asks the kernel for all UNIX sockets at once (criu/sockets.c, `collect_sockets`) and reads the answers by recvmsg(2)
//! (criu/libnetlink.c, `do_rtnl_req`). One without a peer that is shut down in both directions it calls semi-closed, and keeps what
//! the program has not read yet (criu/sk-unix.c, `dump_one_unix_fd`). All other messages pass as they are.

use core::ffi::c_int;
use core::mem::MaybeUninit;
use core::slice;

use crate::{kernel, told};

#[cfg(target_arch = "x86_64")]
const RECVMSG: usize = 47;
#[cfg(target_arch = "aarch64")]
const RECVMSG: usize = 212;

/// The inodes of the sockets, of four bytes each. The agent writes them when the tree is frozen.
const LIST: &[u8] = b"/proc/self/fd/195\0";
/// Sixteen thousand connections.
const LIST_BYTES: usize = 64 << 10;

/// AF_NETLINK and AF_UNIX (socket(2)).
const NETLINK: u16 = 16;
const UNIX: u8 = 1;
/// SOCK_DIAG_BY_FAMILY of linux/sock_diag.h. Other kinds of netlink have a message of the same number, of no such family.
const BY_FAMILY: u16 = 20;
/// UNIX_DIAG_PEER and UNIX_DIAG_SHUTDOWN of linux/unix_diag.h.
const PEER: u16 = 2;
const SHUTDOWN: u16 = 6;
/// Neither of it can be read nor written (RCV_SHUTDOWN and SEND_SHUTDOWN of net/sock.h).
const BOTH: u8 = 3;

/// Sizes of `nlmsghdr`, `unix_diag_msg` and `nlattr`, and where in the second the inode is.
const HEADER: usize = 16;
const MESSAGE: usize = 16;
const ATTRIBUTE: usize = 4;
const INODE: usize = 4;

/// The beginning of `msghdr` (recvmsg(2)).
#[repr(C)]
pub struct Received {
    from: *const u16,
    from_bytes: u32,
    parts: *const Part,
    count: usize,
}

/// `iovec`.
#[repr(C)]
struct Part {
    start: *mut u8,
    bytes: usize,
}

/// # Safety
/// As recvmsg(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn recvmsg(socket: c_int, into: *mut Received, flags: c_int) -> isize {
    let arguments = [socket as usize, into as usize, flags as usize, 0, 0, 0];
    let bytes = told(unsafe { kernel::call(RECVMSG, arguments) });
    if let Ok(bytes) = usize::try_from(bytes)
        && let Some(messages) = unsafe { of_the_kernel(into, bytes) }
    {
        let mut file = MaybeUninit::<[u8; LIST_BYTES]>::uninit();
        cut_off(messages, unsafe { kernel::read_file(LIST.as_ptr(), &mut file) });
    }
    bytes
}

/// What was received, if it is of netlink and in one piece.
unsafe fn of_the_kernel<'a>(received: *const Received, bytes: usize) -> Option<&'a mut [u8]> {
    let received = unsafe { &*received };
    let is_netlink = !received.from.is_null()
        && received.from_bytes as usize >= size_of::<u16>()
        && unsafe { *received.from } == NETLINK;
    if !is_netlink || received.count != 1 {
        return None;
    }
    let part = unsafe { &*received.parts };
    // A message that was cut is longer than the room for it.
    Some(unsafe { slice::from_raw_parts_mut(part.start, bytes.min(part.bytes)) })
}

fn cut_off(mut messages: &mut [u8], list: &[u8]) {
    while let Some(length) = word(messages, 0).map(|length| length as usize)
        && (HEADER..=messages.len()).contains(&length)
    {
        let next = length.next_multiple_of(4).min(messages.len());
        let (message, rest) = core::mem::take(&mut messages).split_at_mut(next);
        messages = rest;
        if half(message, 4) == Some(BY_FAMILY)
            && message.get(HEADER) == Some(&UNIX)
            && word(message, HEADER + INODE).is_some_and(|inode| is_in(list, inode))
            && let Some(attributes) = message.get_mut(HEADER + MESSAGE..length)
        {
            end(attributes);
        }
    }
}

fn is_in(list: &[u8], inode: u32) -> bool {
    list.chunks_exact(4).any(|one| word(one, 0) == Some(inode))
}

fn end(mut attributes: &mut [u8]) {
    while let (Some(length), Some(kind)) = (half(attributes, 0), half(attributes, 2))
        && (ATTRIBUTE..=attributes.len()).contains(&usize::from(length))
    {
        let length = usize::from(length);
        let next = length.next_multiple_of(4).min(attributes.len());
        let (attribute, rest) = core::mem::take(&mut attributes).split_at_mut(next);
        attributes = rest;
        let value = attribute.get_mut(ATTRIBUTE..length).into_iter().flatten();
        match kind {
            PEER => value.for_each(|byte| *byte = 0),
            SHUTDOWN => value.take(1).for_each(|byte| *byte = BOTH),
            _ => {}
        }
    }
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}
