//! The loopback interface (netdevice(7)): CRIU connects to itself by it before it does anything else (criu/kerndat.c,
//! `kerndat_tcp_repair`), and fails at a dump and at a restore where it is down.

use std::io;
use std::os::fd::AsRawFd as _;

use nix::errno::Errno;
use socket2::{Domain, Socket, Type};

/// Whether there is one and it is down. Where that cannot be asked, CRIU says what it finds.
#[must_use]
pub fn is_down() -> bool {
    flags().is_ok_and(|flags| flags & UP == 0)
}

/// Brings it up, if it is down.
///
/// # Errors
/// This process may not: that takes NET_ADMIN.
pub fn bring_up() -> io::Result<()> {
    let flags = flags()?;
    if flags & UP != 0 {
        return Ok(());
    }
    ask(libc::SIOCSIFFLAGS, flags | UP).map(drop)
}

const UP: i16 = libc::IFF_UP as i16;

fn flags() -> io::Result<i16> {
    ask(libc::SIOCGIFFLAGS, 0)
}

fn ask(what: libc::c_ulong, flags: i16) -> io::Result<i16> {
    let socket = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
    // SAFETY: for this structure zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = (*from).cast_signed() as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = flags;
    // SAFETY: both ioctl(2) read and write this structure, and of its union the flags.
    unsafe {
        Errno::result(libc::ioctl(socket.as_raw_fd(), what as _, &raw mut request))?;
        Ok(request.ifr_ifru.ifru_flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_up_is_not_down_and_stays_up() {
        assert!(!is_down());
        bring_up().unwrap();
    }
}
